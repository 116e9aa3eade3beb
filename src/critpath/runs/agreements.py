"""Who agrees with whom: maps of the methods, and rankings by the metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from critpath.evaluation.agreement import rank_agreement
from critpath.intervals import bootstrap_interval
from critpath.report import AgreementTable, Estimate
from critpath.runs.measures import Group, Measure, Values, all_images, by_image

KIND = "map_agreement"


def agreement_tables(groups: Sequence[Group], measures: Sequence[Measure]) -> tuple[AgreementTable, ...]:
    """Similarity of the methods' maps for each group that measured it, and of the rankings in each evaluation."""
    maps = [table for group in groups if group.kind == KIND for table in _of_maps(group)]
    names = dict.fromkeys(measure.group.evaluation for measure in measures)
    return (*maps, *(table for name in names for table in _of_rankings(name, measures)))


def _of_maps(group: Group) -> Iterator[AgreementTable]:
    if not group.facts.get("pairs") or not any("spearman" in record.values for record in group.records.values()):
        return
    (values,) = by_image(group, "spearman").values()
    low, high = bootstrap_interval(values.T)
    pairs = [(str(one), str(other)) for one, other in group.facts["pairs"]]
    methods = tuple(dict.fromkeys(method for pair in pairs for method in pair))
    ends = zip(values.nanmean(dim=0).tolist(), low.tolist(), high.tolist(), strict=True)
    cells = {pair: Estimate(*cell) for pair, cell in zip(pairs, ends, strict=True)}
    yield AgreementTable(
        f"Maps of the methods: {group.evaluation}",
        "Spearman rank correlation of two methods’ maps of the same image, the mean over images; 1 on the diagonal."
        + _uneven((~values.isnan()).sum(dim=0)),
        methods,
        tuple(tuple(cells.get((a, b), cells.get((b, a), Estimate(1.0))) for b in methods) for a in methods),
        int((~values.isnan()).any(dim=1).sum()),
        "image",
    )


def _uneven(counts: Tensor) -> str:
    """That pairs are over different numbers of images [pairs], if they are."""
    least, most = int(counts.min()), int(counts.max())
    return "" if least == most else f" Some pairs are over fewer images, where a map is missing: {least:,} at least."


def _of_rankings(evaluation: str, measures: Sequence[Measure]) -> Iterator[AgreementTable]:
    """Kendall's tau-b between the rankings by the first column of each metric."""
    of = {m.group.metric: m for m in measures if m.group.evaluation == evaluation and m.better != "neither"}
    values = {name: dict(next(iter(m.columns.values()))) for name, m in of.items()}
    known = {name: own for name, own in values.items() if _shares_methods(name, values)}
    if not known:
        return
    better, units = {name: of[name].better for name in known}, {name: unit_of(of[name]) for name in known}
    found = rank_agreement(known, better, units=units)
    yield AgreementTable(
        f"Rankings of the methods by the metrics: {evaluation}",
        "Kendall’s tau-b of two metrics’ rankings of the methods, best first; controls are ranked too. 1 is the same "
        "ranking, −1 the reverse.",
        found.metrics,
        _cells(found.tau, found.low, found.high),
        int(found.methods.max()),
        "method",
    )


def unit_of(measure: Measure) -> str:
    """What a metric's numbers are of: its images, seeds or label sets, so that only equal ones are drawn together."""
    group = measure.group
    of: Mapping[str, object] = {"image": all_images(group).tolist(), "label set": group.facts.get("sets")}
    return f"{measure.unit} {of.get(measure.unit, group.seeds)}"


def _shares_methods(name: str, values: Mapping[str, Values]) -> bool:
    """Whether another metric has two of this one's methods."""
    return any(len(values[name].keys() & other.keys()) > 1 for n, other in values.items() if n != name)


def _cells(mean: Tensor, low: Tensor, high: Tensor) -> tuple[tuple[Estimate, ...], ...]:
    return tuple(
        tuple(Estimate(*cell) for cell in zip(*row, strict=True))
        for row in zip(mean.tolist(), low.tolist(), high.tolist(), strict=True)
    )
