"""The pathway paper's figures 1 to 3, measured again: who finds which pathways, and what is in them.

    python -m studies.pathways run [--networks resnet18] [--parts ranked,searched] [--photographs 4]
    python -m studies.pathways fold      work/ -> results/, figures and docs/studies-pathways.md
    python -m studies.pathways page      results/ -> docs/studies-pathways.md

A run may be stopped at any time and goes on where it was. It needs the trained networks and photographs that
CRITPATH_ASSETS names.
"""

from __future__ import annotations

import argparse

from studies.pathways.plan import SUBJECTS, subject


def main() -> None:
    parser = argparse.ArgumentParser(prog="studies.pathways", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=["run", "fold", "page"])
    parser.add_argument("--networks", default=",".join(one.name for one in SUBJECTS))
    parser.add_argument("--parts", default="ranked,searched,connected,released,linear,decoded,iterations")
    parser.add_argument("--photographs", type=int, help="at most as many in every part")
    options = parser.parse_args()
    if options.what == "run":
        _run(options)
    if options.what == "fold":
        from studies.pathways.fold import fold

        fold()
    if options.what in ("fold", "page"):
        from studies.pathways.page import write_page

        write_page()


def _run(options: argparse.Namespace) -> None:
    from studies.pathways.run import run

    for part in options.parts.split(","):
        for name in options.networks.split(","):
            count = subject(name).counts.get(part, 0)
            run(subject(name), part, count if options.photographs is None else min(count, options.photographs))


if __name__ == "__main__":
    main()
