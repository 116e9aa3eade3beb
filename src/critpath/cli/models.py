"""``critpath models``: what can be named."""

from __future__ import annotations

import json

import click

from critpath.cli.shared import errors_in_one_line


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--all", "everything", is_flag=True, help="Also models that have to be downloaded or installed first.")
@errors_in_one_line
def models(as_json: bool, everything: bool) -> None:
    """List the models that can be named, and whether they load without a network."""
    from critpath.zoo import available

    found = available()
    if as_json:
        click.echo(json.dumps([vars(info) for info in found], indent=2))
        return
    shown = [info for info in found if everything or info.offline or "NAME" in info.name or "FOLDER" in info.name]
    width = max(len(info.name) for info in shown)
    for info in shown:
        click.echo(f"{info.name:<{width}}  {info.description}{f'  ({info.note})' if info.note else ''}")
    if len(shown) < len(found):
        click.echo(f"torchvision:NAME, {len(found) - len(shown)} more, downloaded on first use: critpath models --all")
