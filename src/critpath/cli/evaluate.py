"""``critpath evaluate``: every kind of metric, small and offline, on data and a network that need no download."""

from __future__ import annotations

import tempfile
from importlib.resources import files
from pathlib import Path

import click

from critpath.cli.run import begun, carry_out, finish
from critpath.cli.shared import errors_in_one_line

FOLDER = "critpath-evaluation"
SEEDS = ("\nseed: 0\n", "seeds: [0, 1, 2]")
"""What stands for the seed in the default plan."""


@click.command()
@click.option(
    "-o", "--output", default=FOLDER, show_default=True, type=click.Path(path_type=Path), help="Folder of the run."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**62), help="Of everything that draws.")
@click.option(
    "--engine",
    default="local",
    show_default=True,
    type=click.Choice(["local", "ray"]),
    help="One process, or workers of Ray.",
)
@click.option("--workers", type=click.IntRange(1), help="How many workers of Ray.  [default: as the cores allow]")
@click.option("--plan", "only_plan", is_flag=True, help="Only print the plan, to copy and change it.")
@errors_in_one_line
def evaluate(output: Path, seed: int, engine: str, workers: int | None, only_plan: bool) -> None:
    """Try every kind of evaluation on scikit-learn's digits: minutes on two cores, nothing is downloaded.

    Parameter randomisation (also smoothed and by complexity), pixel perturbation (LeRF, MoRF, ROAD, superpixels),
    deletion and insertion, F-Fidelity, retraining (ROAR, KAR), feature selection and agreement, for ten attribution
    methods. In a folder that holds this run already it goes on where
    it was stopped. For your own model and data, print the plan and change it.
    """
    text = default_plan(seed)
    if only_plan:
        click.echo(text, nl=False)
        return
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "plan.yaml"
        file.write_text(text, "utf-8")
        folder, plan = begun(file, output)
    outcome = carry_out(folder, plan, engine=engine, workers=workers)
    finish(folder, outcome)


def default_plan(seed: int = 0) -> str:
    """The plan that comes with the package, with this seed."""
    text = files("critpath.runs").joinpath("default_plan.yaml").read_text("utf-8")
    whole, several = SEEDS
    return text.replace(whole, f"\nseed: {seed}\n").replace(several, f"seeds: [{seed}, {seed + 1}, {seed + 2}]")
