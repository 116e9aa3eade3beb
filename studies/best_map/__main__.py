"""Which map of a pathway is the best one.

    python -m studies.best_map choose [--photographs 80]     ResNet-50, one half of the photographs, all candidates
    python -m studies.best_map report [--networks resnet18]  the chosen map and the controls on the other half
    python -m studies.best_map page                          results/ -> docs/studies-best-map.md

A run may be stopped at any time and goes on where it was. It needs the trained networks and photographs that
CRITPATH_ASSETS names.
"""

from __future__ import annotations

import argparse

COUNTS = {"resnet50": 60, "resnet18": 100, "squeezenet1_1": 100, "mobilenet_v2": 100, "efficientnet-lite0": 60}
COSTLY_PHOTOGRAPHS = 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="studies.best_map", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=["choose", "report", "page"])
    parser.add_argument("--networks", default=",".join(COUNTS))
    parser.add_argument("--photographs", type=int, help="how many, in place of the study's own number")
    options = parser.parse_args()
    from studies.best_map.candidates import CANDIDATES, CONTROLS, COSTLY
    from studies.best_map.run import ORDERS, RESULTS, areas, halves

    chosen_on, tried_on = halves()
    if options.what == "choose":
        files = chosen_on[: options.photographs or 80]
        areas("resnet50", {**CONTROLS, **CANDIDATES}, files, ("lerf",), RESULTS / "choose-resnet50.json")
        areas("resnet50", COSTLY, files[:COSTLY_PHOTOGRAPHS], ("lerf",), RESULTS / "choose-costly-resnet50.json")
    if options.what == "report":
        from studies.best_map.page import reported

        for name in options.networks.split(","):
            files = tried_on[: options.photographs or COUNTS[name]]
            areas(name, reported(), files, ORDERS, RESULTS / f"report-{name}.json")
    if options.what == "page":
        from studies.best_map.page import write_page

        write_page()


if __name__ == "__main__":
    main()
