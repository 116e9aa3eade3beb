"""``critpath doctor``: what is covered of a model, and what methods will cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from critpath.cli.shared import DEFAULT_MODEL, errors_in_one_line, model_options, warnings_in_one_line
from critpath.errors import OptionError

TEXT = "A short sentence to see what runs."

if TYPE_CHECKING:
    from critpath.zoo import LoadedModel


@click.command()
@click.argument("model", default=DEFAULT_MODEL)
@click.option("--image", type=click.Path(path_type=Path), help="What to run.  [default: a grey picture]")
@click.option("--text", help="The text to run, for a text model.  [default: a short sentence]")
@click.option("--shape", help="Shape of one input without preprocessing, for instance 3x224x224.")
@click.option("--batch", default=1, show_default=True, help="Samples in the batch that is examined.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@model_options
@errors_in_one_line
def doctor(
    model: str, image: Path | None, text: str | None, shape: str | None, batch: int, as_json: bool, **options: Any
) -> None:
    """Examine MODEL: its sites, what is not covered and why, and what each method will cost."""
    import critpath.attribution  # noqa: F401  (every method registers)
    from critpath.network import Network, map_tensors
    from critpath.zoo import load

    loaded = load(model, **options)
    with warnings_in_one_line():
        x = _trial_input(loaded, image, text, shape, batch)
    diagnosis = Network(loaded.model).doctor(map_tensors(x, lambda tensor: tensor.to(options["device"])))
    click.echo(json.dumps(diagnosis.to_dict(), indent=2) if as_json else str(diagnosis))


def _trial_input(loaded: LoadedModel, image: Path | None, text: str | None, shape: str | None, batch: int) -> Any:
    import torch
    from PIL import Image

    from critpath.zoo import read_image

    if batch < 1:
        raise OptionError(f"--batch is {batch}; it has to be 1 at least")
    if shape is not None:
        return torch.randn(batch, *_sizes(shape), generator=torch.Generator().manual_seed(0))
    if text is not None and loaded.tokenizer is None:
        raise OptionError(f"{loaded.name} has no tokenizer for --text; name a text model, for instance hf:FOLDER")
    if loaded.tokenizer is not None and image is None:
        return loaded.tokenizer([TEXT if text is None else text] * batch).x
    if loaded.preprocess is None:
        raise OptionError(f"{loaded.name} comes without its preprocessing: give --shape, for instance 3x224x224")
    picture = read_image(image) if image is not None else Image.new("RGB", (256, 256), "grey")
    return loaded.preprocess(picture).expand(batch, -1, -1, -1)


def _sizes(shape: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(size) for size in shape.split("x"))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise OptionError(f"--shape {shape!r} is not sizes joined by x, such as 3x224x224")
    return sizes
