"""Which map of a pathway is the best one.

    python -m studies.best_map choose                        ResNet-50, one half of the photographs, two rounds
    python -m studies.best_map report [--networks resnet18]  the chosen map and the controls on the other half
    python -m studies.best_map roar FILE                     the JSON of the run of roar.yaml -> results/
    python -m studies.best_map page                          results/ -> docs/studies-best-map.md

A run may be stopped at any time and goes on where it was. It needs the trained networks and photographs that
CRITPATH_ASSETS names.
"""

from __future__ import annotations

import argparse
from pathlib import Path

COUNTS = {"resnet18": 60, "squeezenet1_1": 60, "resnet50": 32}
FIRST, SECOND, COSTLY_PHOTOGRAPHS, IMPUTED = 20, 28, 8, 28


def main() -> None:
    parser = argparse.ArgumentParser(prog="studies.best_map", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=["choose", "report", "roar", "page"])
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--networks", default=",".join(COUNTS))
    parser.add_argument("--photographs", type=int, help="how many, in place of the study's own number")
    options = parser.parse_args()
    from studies.best_map.candidates import CANDIDATES, CONTROLS, COSTLY, SECOND_ROUND
    from studies.best_map.run import RESULTS, areas, halves

    chosen_on, tried_on = halves()
    if options.what == "choose":
        areas("resnet50", {**CONTROLS, **CANDIDATES}, chosen_on[:FIRST], ("lerf",), RESULTS / "first-resnet50.json")
        areas("resnet50", SECOND_ROUND, chosen_on[:SECOND], ("lerf",), RESULTS / "second-resnet50.json")
        areas("resnet50", COSTLY, chosen_on[:COSTLY_PHOTOGRAPHS], ("lerf",), RESULTS / "costly-resnet50.json")
    if options.what == "report":
        from studies.best_map.page import reported

        for name in options.networks.split(","):
            files = tried_on[: options.photographs or COUNTS[name]]
            areas(name, reported(), files, ("lerf", "morf"), RESULTS / f"report-{name}.json")
            areas(name, reported(), files[:IMPUTED], ("road",), RESULTS / f"report-{name}.json")
    if options.what == "roar":
        from studies.best_map.page import keep_retrained

        keep_retrained(options.file)
    if options.what == "page":
        from studies.best_map.page import write_page

        write_page()


if __name__ == "__main__":
    main()
