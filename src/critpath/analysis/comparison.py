"""Pathways of several finders on the same inputs: what they are made of, share, and keep of the response."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from critpath.neurons import NeuronSpace


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """What a ranking's pathways do to the response, over their size.

    ``sizes`` [sizes]: shares of neurons kept (``kept``) or taken out (``lost``), ascending, in (0, 1].
    ``kept`` and ``lost`` [images, sizes]: the response when only the pathway acts, and when only the pathway is taken
    out, as shares of the way from ``floor`` to ``whole``: (Φ - floor) / (whole - floor). ``whole`` and ``floor``
    [images]: the response of the unmodified network, and of the network without any neuron. ``ablation`` is what the
    neurons that do not act are set to. The areas [images] are means over the logarithm of the size: for ``kept``
    higher is better, for ``lost`` lower.
    """

    ablation: str
    sizes: Tensor
    kept: Tensor
    lost: Tensor
    whole: Tensor
    floor: Tensor


@dataclass(frozen=True, eq=False)
class AtSparsity:
    """Several finders' pathways at one requested sparsity, over all images.

    ``realised``, ``dead``, ``keeps_class`` (0 or 1, NaN where there is no class) and ``connected`` are [finders,
    images], shares; ``jaccard``, ``chance`` and ``compared`` are [finders, finders, images]: the pair's Jaccard at
    equal realised size, what chance gives at these sizes, and the share of neurons that both were cut to (NaN where
    sizes differ and neither can be cut). ``site_jaccard`` [finders, finders, sites] is the mean over images of the
    per-site Jaccard, ``site_counted`` over how many (a site where both are empty does not count). ``nesting``
    [finders, images]: the share of this pathway that is not on the finder's pathway of the next lower sparsity, NaN
    at the lowest.
    """

    sparsity: float
    realised: Tensor
    dead: Tensor
    keeps_class: Tensor
    connected: Tensor
    jaccard: Tensor
    chance: Tensor
    compared: Tensor
    site_jaccard: Tensor
    site_counted: Tensor
    nesting: Tensor


@dataclass(frozen=True, eq=False)
class FinderComparison:
    """Several finders over many images, one ``AtSparsity`` for each sparsity, ascending.

    ``seconds`` [finders, images] is the time that each finder took. ``base_dead`` [images] is the share of all neurons
    that are dead. ``stopped``: for each finder, (image, sparsity, why) of every search that ended elsewhere than asked.
    ``faithfulness`` has one entry for each finder that can rank, per kind of ablation asked for.
    """

    space: NeuronSpace
    finders: tuple[str, ...]
    images: int
    base_dead: Tensor
    at: tuple[AtSparsity, ...]
    seconds: Tensor
    stopped: dict[str, tuple[tuple[int, float, str], ...]]
    faithfulness: dict[str, dict[str, Faithfulness]]
