"""Agreement of methods and of metrics against scipy, one image and one resample at a time."""

from __future__ import annotations

import math

import pytest
import torch
from tests.tiny import numbers
from torch import Tensor

from critpath.errors import InputError, MismatchError, OptionError
from critpath.evaluation import agreement
from critpath.evaluation.agreement import kendall, map_agreement, rank_agreement
from critpath.intervals import resample_weights

N = 6
MAPS = {
    "a": numbers(N, 3, 5, 4),
    "b": numbers(N, 1, 5, 4, seed=2).clamp_min(0),
    "c": numbers(N, 3, 5, 4) + numbers(N, 3, 5, 4, seed=3),
}
METRICS = {
    "lerf": {name: numbers(N, seed=i) for i, name in enumerate("pqrs")},
    "roar": {name: numbers(9, seed=i + 9) for i, name in enumerate("qsrt")},
    "ssim": {name: -numbers(N, seed=i) + 0.3 * numbers(N, seed=i + 20) for i, name in enumerate("pqrs")},
}
BETTER = {"lerf": "lower", "roar": "lower", "ssim": "higher"}


def signed(m: Tensor) -> Tensor:
    """The channel with the largest absolute value of each pixel."""
    flat = m.flatten(1)
    return torch.stack([max(flat[:, i], key=abs) for i in range(flat.shape[1])])


@pytest.mark.parametrize("with_sign", [False, True])
def test_maps_against_scipy(with_sign: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stats = pytest.importorskip("scipy.stats")
    monkeypatch.setattr(agreement, "AT_ONCE", 130)
    found = map_agreement(MAPS, signed=with_sign, resamples=50)
    assert found.methods == ("a", "b", "c")
    for i, one in enumerate(MAPS.values()):
        for j, other in enumerate(MAPS.values()):
            for k in range(N):
                pair = [signed(m[k]) if with_sign else m[k].abs().amax(0).flatten() for m in (one, other)]
                expected = stats.spearmanr(*(p.numpy() for p in pair)).statistic
                assert float(found.values[i, j, k]) == pytest.approx(expected, abs=1e-12)
    torch.testing.assert_close(found.mean, found.values.mean(dim=-1))
    assert (found.low <= found.mean + 1e-12).all()
    assert (found.mean <= found.high + 1e-12).all()


def test_constant_maps_are_left_out() -> None:
    maps = {"a": MAPS["a"], "b": MAPS["b"].clone()}
    maps["b"][2] = 1.0
    found = map_agreement(maps)
    assert found.values[0, 1].isnan().nonzero().flatten().tolist() == [2]
    assert found.counted.tolist() == [[N, N - 1], [N - 1, N - 1]]
    assert not found.mean.isnan().any()


def test_kendall_against_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    a = torch.randint(4, (20, 7), generator=torch.Generator().manual_seed(0)).double()
    b = torch.randint(4, (20, 7), generator=torch.Generator().manual_seed(1)).double()
    expected = [stats.kendalltau(p.numpy(), q.numpy()).statistic for p, q in zip(a, b, strict=True)]
    assert kendall(a, b).tolist() == pytest.approx(expected)
    assert kendall(torch.ones(3), torch.arange(3.0)).isnan()


def means(values: Tensor, weights: Tensor) -> float:
    return float((values * weights).sum() / weights.sum())


def test_metrics_against_a_loop() -> None:
    stats = pytest.importorskip("scipy.stats")
    found = rank_agreement(METRICS, BETTER, resamples=40, seed=3)
    for i, one in enumerate(METRICS):
        for j, other in enumerate(METRICS):
            common = sorted(set(METRICS[one]) & set(METRICS[other]))
            sizes = {m: len(METRICS[m]["q"]) for m in (one, other)}
            draws = {m: torch.cat([torch.ones(1, n), *resample_weights(n, 3, 40)]) for m, n in sizes.items()}
            taus = []
            for k in range(41):
                pair = [
                    [means(METRICS[m][name], draws[m][k]) * (1 if BETTER[m] == "higher" else -1) for name in common]
                    for m in (one, other)
                ]
                taus.append(stats.kendalltau(*pair).statistic)
            ends = torch.tensor(taus[1:]).double().quantile(torch.tensor([0.025, 0.975]).double()).tolist()
            assert float(found.tau[i, j]) == pytest.approx(taus[0])
            assert [float(found.low[i, j]), float(found.high[i, j])] == pytest.approx(ends)
            assert int(found.methods[i, j]) == len(common)
    assert found.tau.diagonal().tolist() == pytest.approx([1, 1, 1])


def test_directions() -> None:
    """A metric and its negative rank alike where one is better low and the other high."""
    values = {"a": METRICS["lerf"], "b": {name: -v for name, v in METRICS["lerf"].items()}}
    assert float(rank_agreement(values, {"a": "lower", "b": "higher"}).low[0, 1]) == pytest.approx(1)
    assert float(rank_agreement(values, {"a": "lower", "b": "lower"}).high[0, 1]) == pytest.approx(-1)


def test_only_the_same_units_are_resampled_together() -> None:
    """A metric on label sets agrees with its own negative exactly, and with one on as many images only as drawn."""
    values = {"a": METRICS["lerf"], "b": METRICS["lerf"]}
    better = {"a": "lower", "b": "lower"}
    assert float(rank_agreement(values, better).low[0, 1]) == pytest.approx(1)
    same = rank_agreement(values, better, units={"a": "label set", "b": "label set"})
    assert float(same.low[0, 1]) == pytest.approx(1)
    other = rank_agreement(values, better, units={"a": "label set", "b": "image"})
    assert float(other.tau[0, 1]) == pytest.approx(1)
    assert float(other.low[0, 1]) < 0.9


def test_nothing_in_common() -> None:
    values = {"a": {"p": numbers(4)}, "b": {"q": numbers(4)}}
    found = rank_agreement(values, {"a": "lower", "b": "lower"})
    assert found.methods.tolist() == [[1, 0], [0, 1]]
    assert found.tau.isnan().all()


def test_bad_inputs() -> None:
    with pytest.raises(InputError, match="the same images"):
        map_agreement({"a": MAPS["a"], "b": MAPS["b"][:2]})
    with pytest.raises(InputError, match="none"):
        map_agreement({})
    with pytest.raises(InputError, match="channels"):
        map_agreement({"a": MAPS["a"][0]})
    with pytest.raises(OptionError, match="reduce is 'mean'"):
        map_agreement(MAPS, reduce="mean")
    with pytest.raises(OptionError, match="signed is 1"):
        map_agreement(MAPS, signed=1)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="no metric"):
        rank_agreement({}, {})
    with pytest.raises(OptionError, match="which values of 'roar'"):
        rank_agreement(METRICS, {"lerf": "lower"})
    with pytest.raises(OptionError, match="is 'up'"):
        rank_agreement(METRICS, {"lerf": "up"})
    with pytest.raises(MismatchError, match="the same images"):
        rank_agreement({"a": {"p": numbers(4), "q": numbers(5)}}, {"a": "lower"})
    assert math.isnan(float(rank_agreement({"a": {"p": numbers(4)}}, {"a": "lower"}).tau[0, 0]))
