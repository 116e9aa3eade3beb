"""The command line: thin, and quick to start (torch is loaded when a command needs it)."""

from __future__ import annotations

import click

from critpath.cli.doctor import doctor
from critpath.cli.evaluate import evaluate
from critpath.cli.explain import explain
from critpath.cli.models import models
from critpath.cli.pathways import pathways
from critpath.cli.run import run
from critpath.cli.shared import DEFAULT_MODEL
from critpath.cli.show import show
from critpath.version import __version__

__all__ = ["DEFAULT_MODEL", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="critpath")
def main() -> None:
    """The critical pathway of a neural network's response.

    Which neurons made this output, which sparse pathway they form, which input features it encodes, and how far
    that answer can be trusted.
    """


for command in (explain, pathways, evaluate, run, show, doctor, models):
    main.add_command(command)
