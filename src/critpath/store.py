"""Values and pathways in files: safetensors, with what is needed to refuse the wrong ones."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from critpath.errors import MismatchError, OptionError, StorageError
from critpath.files import write_whole
from critpath.neurons import NeuronSpace, NeuronValues, Site
from critpath.pathway import Pathway

SCHEMA = 1
"""Version of the file format; a file of another version is refused."""


def save_pathway(pathway: Pathway, path: str | os.PathLike[str]) -> None:
    """Write a pathway, eight neurons to a byte. The file appears whole or not at all.

    Raises StorageError where it cannot be written.
    """
    tensors = {f"{i}": _packed(keep) for i, keep in enumerate(pathway.keep.tensors)}
    _write(path, "pathway", pathway.space, tensors, {"batch": pathway.batch, "requested": pathway.requested})


def load_pathway(path: str | os.PathLike[str], network: NeuronSpace | None = None) -> Pathway:
    """Read a pathway; with ``network`` (``net.sites(x)``) refuse one of another network or input shape.

    Raises StorageError where the file cannot be read or is of another kind or version, MismatchError where
    the network or its shapes differ.
    """
    space, tensors, facts = _read(path, "pathway", network)
    batch = facts["batch"]
    keep = [_unpacked(t, (batch, *site.shape), path) for t, site in zip(tensors, space, strict=True)]
    return Pathway(NeuronValues(space, tuple(keep)), facts["requested"])


def save_values(values: NeuronValues, path: str | os.PathLike[str]) -> None:
    """Write scores or other values per neuron. The file appears whole or not at all."""
    tensors = {f"{i}": tensor.detach().cpu().contiguous() for i, tensor in enumerate(values.tensors)}
    _write(path, "values", values.space, tensors, {})


def load_values(path: str | os.PathLike[str], network: NeuronSpace | None = None) -> NeuronValues:
    """Read values per neuron, with the same checks as ``load_pathway``."""
    space, tensors, _ = _read(path, "values", network)
    return NeuronValues(space, tuple(tensors))


def _write(
    path: str | os.PathLike[str],
    kind: str,
    space: NeuronSpace,
    tensors: dict[str, Tensor],
    facts: dict[str, Any],
) -> None:
    sites = [asdict(site) for site in space]
    header = {"schema": SCHEMA, "kind": kind, "network": space.network, "sites": sites, **facts}
    write_whole(path, save(tensors, metadata={"critpath": json.dumps(header)}))


def _read(
    path: str | os.PathLike[str], kind: str, network: NeuronSpace | None
) -> tuple[NeuronSpace, list[Tensor], dict[str, Any]]:
    if network is not None and not isinstance(network, NeuronSpace):
        raise OptionError(f"network= takes the sites to compare with, net.sites(x), not {type(network).__name__}")
    if os.path.isdir(path):
        raise StorageError(f"cannot read {os.fspath(path)}: it is a folder, name a file in it")
    try:
        with safe_open(path, framework="pt") as file:
            header = _header(path, file.metadata(), kind)
            space = _space(header)
            if network is not None:
                _check_same(path, space, network)
            if kind == "pathway":
                header |= {"batch": operator.index(header["batch"]), "requested": header["requested"]}
            return space, [file.get_tensor(f"{i}") for i in range(len(space))], header
    except (OSError, SafetensorError) as error:
        raise StorageError(f"cannot read {os.fspath(path)}: {error}") from error
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise StorageError(f"{os.fspath(path)} is damaged: its header is not one of critpath's ({error!r})") from error


def _header(path: str | os.PathLike[str], metadata: dict[str, str] | None, kind: str) -> dict[str, Any]:
    if not metadata or "critpath" not in metadata:
        raise StorageError(f"{os.fspath(path)} was not written by critpath: it has no critpath header")
    header: dict[str, Any] = json.loads(metadata["critpath"])
    if header.get("schema") != SCHEMA:
        raise StorageError(
            f"{os.fspath(path)} has format version {header.get('schema')}, this critpath reads version {SCHEMA}: "
            "compute it again, or use the critpath that wrote it"
        )
    if header["kind"] != kind:
        raise StorageError(f"{os.fspath(path)} holds {header['kind']}, not {kind}")
    return header


def _space(header: dict[str, Any]) -> NeuronSpace:
    sites = (Site(**{**site, "shape": tuple(site["shape"])}) for site in header["sites"])
    return NeuronSpace(tuple(sites), header["network"])


def _check_same(path: str | os.PathLike[str], stored: NeuronSpace, network: NeuronSpace) -> None:
    if difference := stored.difference(network):
        raise MismatchError(
            f"{os.fspath(path)} is of another network or input shape: file against network, {difference}"
        )
    if stored.network != network.network:
        raise MismatchError(
            f"{os.fspath(path)} is of a network with other weights (fingerprint {stored.network}, this one has "
            f"{network.network}); leave out the network to read it all the same"
        )


def _packed(keep: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(keep.cpu().numpy()))


def _unpacked(bits: Tensor, shape: Sequence[int], path: str | os.PathLike[str]) -> Tensor:
    count = int(np.prod(shape))
    if bits.dtype != torch.uint8 or len(bits) != (count + 7) // 8:
        raise StorageError(f"{os.fspath(path)} is damaged: {len(bits)} bytes where shape {list(shape)} was expected")
    return torch.from_numpy(np.unpackbits(bits.numpy(), count=count).astype(bool)).view(tuple(shape))
