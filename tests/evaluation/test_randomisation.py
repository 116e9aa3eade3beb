"""Parameter randomisation: what changes and when, and that the model comes back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from tests.evaluation.randomisation_nets import (
    IMAGES,
    HeadFirst,
    Patches,
    TiedAndScaled,
    bits_of,
    built,
    gradient_of,
    same_bits,
)
from tests.network.test_untouched import assert_untouched, state_of
from tests.tiny import numbers
from torch import Tensor, nn

import critpath as cp
from critpath.errors import InputError, NumericalError, OptionError, TargetError, TrainingModeError
from critpath.evaluation.randomisation import (
    Randomisation,
    UnmovedMapsWarning,
    parameter_randomisation,
    randomised,
)
from critpath.evaluation.removal import reduced
from critpath.evaluation.similarity import SIMILARITIES, spearman, ssim
from critpath.evaluation.values import Explain

NETS: dict[str, Callable[[], nn.Module]] = {"head first": HeadFirst, "patches": Patches, "tied": TiedAndScaled}


def snapshots(model: nn.Module, x: Tensor = IMAGES, **options: Any) -> tuple[Randomisation, list[dict[str, Tensor]]]:
    """The result, and the model's tensors at each explanation after the original one."""
    seen: list[dict[str, Tensor]] = []
    explain = gradient_of(model)

    def watched(inputs: Tensor, target: Tensor) -> Tensor:
        seen.append(bits_of(model))
        return explain(inputs, target)

    result = parameter_randomisation(model, watched, x, similarities=("ssim",), **options)
    return result, seen[1:]


def changed(now: dict[str, Tensor], before: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(now[name], before[name])}


# ------------------------------------------------------------------------------------------ stages and order
HEAD_FIRST_STAGES = ["head", "norm", "second", "first", "stem"]


def test_stages_go_back_through_the_execution() -> None:
    """Not through the order of registration, in which the head is first."""
    model = built(HeadFirst)
    before = bits_of(model)
    result, seen = snapshots(model)
    assert list(result.stages) == ["original", *HEAD_FIRST_STAGES]
    owners = [{name.partition(".")[0] for name in changed(now, before)} for now in seen]
    assert owners[:4] == [set(HEAD_FIRST_STAGES[: i + 1]) for i in range(4)]
    assert owners[4] == {*HEAD_FIRST_STAGES, "spare"}  # what is never used goes with the last


def test_independent_stages_are_alone() -> None:
    model = built(HeadFirst)
    before = bits_of(model)
    result, seen = snapshots(model, mode="independent", repeats=2)
    owners = [{name.partition(".")[0] for name in changed(now, before)} for now in seen]
    assert owners == [{"head"}, {"norm"}, {"second"}, {"first"}, {"stem", "spare"}] * 2
    assert result.values["ssim"].shape == (3, 6, 2)


def test_cascading_keeps_what_is_randomised() -> None:
    _, seen = snapshots(built(HeadFirst))
    for earlier, later in pairwise(seen):
        assert torch.equal(earlier["head.weight"], later["head.weight"])


def test_each_repeat_starts_from_the_original() -> None:
    model = built(HeadFirst)
    before = bits_of(model)
    _, seen = snapshots(model, repeats=2)
    assert changed(seen[5], before) == {"head.weight", "head.bias"}
    assert not torch.equal(seen[0]["head.weight"], seen[5]["head.weight"])


def test_patterns_join_modules() -> None:
    model = built(HeadFirst)
    result, _ = snapshots(model, stages=("n*", ("first", "stem")))
    assert list(result.stages[1:]) == ["head", "norm", "second", "first + stem"]
    result, _ = snapshots(built(Patches), stages=["layer", "mix"])
    assert list(result.stages[1:]) == ["head", "layer", "mix", "token + positions", "cut"]
    result, _ = snapshots(built(Patches), stages=["layer.*"])
    assert "layer.self_attn" in result.stages
    assert "layer.self_attn.out_proj" not in result.stages
    assert "layer" not in result.stages


def test_the_papers_stages() -> None:
    """fc, the bottlenecks from the last, and the stem as one."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
            blocks = [nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)) for _ in range(4)]
            self.layer1, self.layer2 = nn.Sequential(*blocks[:2]), nn.Sequential(*blocks[2:])
            self.fc = nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.layer2(self.layer1(self.bn1(self.conv1(x)).relu()).relu()).relu().mean((2, 3)))

    result, _ = snapshots(built(Net), stages=("layer*.*", ("conv1", "bn1")))
    assert list(result.stages[1:]) == ["fc", "layer2.1", "layer2.0", "layer1.1", "layer1.0", "conv1 + bn1"]


def test_a_tied_tensor_is_randomised_once_at_its_last_use() -> None:
    model = built(TiedAndScaled)
    result, seen = snapshots(model, IMAGES)
    assert [len(changed(now, bits_of(model))) for now in seen] == sorted(len(changed(n, bits_of(model))) for n in seen)
    for now in seen:
        assert torch.equal(now["up.weight"], now["down.weight"])
    row = next(row for row in result.coverage.rows if row.name == "down.weight")
    assert row.also == ("up.weight",)
    assert result.stages[1:3] == ("up", "down")
    assert row.stage == "down"


def test_a_stage_stands_at_its_last_use() -> None:
    """Also where it is used before, or joins modules that are apart."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared, self.other = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.shared(self.other(self.shared(x)).relu()).mean(dim=(2, 3))

    assert snapshots(built(Twice))[0].stages[1:] == ("shared", "other")
    joined, _ = snapshots(built(HeadFirst), stages=[["stem", "head"]])
    assert joined.stages[1:] == ("stem + head", "norm", "second", "first")


# ------------------------------------------------------------------------------------------------- new values
@pytest.mark.parametrize("how", ["gaussian", "reinitialised", "shuffled"])
@pytest.mark.parametrize("name", NETS)
def test_every_parameter_changes(name: str, how: str) -> None:
    """Attention's projections, tokens, norms and scales too; what is kept is named."""
    model = built(NETS[name])
    before = bits_of(model)
    result, seen = snapshots(model, how=how)
    wanted = {n for n, p in model.named_parameters(remove_duplicate=False) if p.is_floating_point() or p.is_complex()}
    assert changed(seen[-1], before) == wanted
    covered = {n for row in result.coverage.rows if row.differs for n in (row.name, *row.also)}
    assert covered == wanted
    kept = {row.name: row.change for row in result.coverage.rows if not row.stage}
    assert kept == {n: f"kept: {_why(n)}" for n in before if n not in wanted}
    assert all(tensor.isfinite().all() for tensor in seen[-1].values())


def _why(name: str) -> str:
    return "not floating-point" if name == "table" else "a buffer"


def test_equal_shapes_get_different_values() -> None:
    for how in ("gaussian", "reinitialised"):
        _, seen = snapshots(built(HeadFirst), how=how, repeats=2)
        first, second = seen[4], seen[9]
        assert not torch.equal(first["first.weight"], first["second.weight"])
        assert not torch.equal(first["first.weight"], second["first.weight"])


@pytest.mark.parametrize("how", ["gaussian", "reinitialised", "shuffled"])
def test_seed_decides(how: str) -> None:
    runs = [snapshots(built(Patches), how=how, seed=seed) for seed in (0, 0, 1)]
    assert changed(runs[0][1][-1], runs[1][1][-1]) == set()
    assert torch.equal(runs[0][0].values["ssim"], runs[1][0].values["ssim"])
    assert len(changed(runs[0][1][-1], runs[2][1][-1])) > 10


def test_values_of_a_tensor_do_not_depend_on_the_stages() -> None:
    one, two = (snapshots(built(Patches), stages=stages)[1][-1] for stages in ((), ("layer",)))
    assert changed(one, two) == set()


def test_gaussian_has_its_std() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 500, bias=False), nn.Linear(500, 5)).double().eval()
    with torch.no_grad():
        model[1].weight.normal_(3, 0.5, generator=torch.Generator().manual_seed(0))
    weights = {}
    for std in (0.1, 0.01, "matched"):
        with randomised(model, IMAGES, std=std):
            weights[std] = model[1].weight.detach().clone()
    assert weights[0.1].std().item() == pytest.approx(0.1, rel=0.01)
    assert weights[0.1].mean().item() == pytest.approx(0, abs=0.002)
    torch.testing.assert_close(weights[0.1], weights[0.01] * 10)
    assert weights["matched"].std().item() == pytest.approx(0.5, rel=0.01)
    assert weights["matched"].mean().item() == pytest.approx(3, rel=0.01)


def test_shuffled_is_a_permutation() -> None:
    model = built(Patches)
    before = bits_of(model)
    _, seen = snapshots(model, how="shuffled")
    for name, tensor in seen[-1].items():
        assert torch.equal(tensor.flatten().sort().values, before[name].flatten().sort().values)


def test_reinitialised_is_the_modules_own() -> None:
    """Also where attention calls its initialiser ``_reset_parameters``; what has none is named and by shape."""
    model = built(Patches)
    with randomised(model, IMAGES, how="reinitialised") as coverage:
        assert model.mix.in_proj_weight.abs().max() <= (6 / (8 + 24)) ** 0.5
        assert model.mix.in_proj_weight.abs().max() > 0.9 * (6 / (8 + 24)) ** 0.5
        assert model.mix.in_proj_bias.count_nonzero() == 0
        assert torch.equal(model.layer.norm1.weight, torch.ones(8).double())
        assert model.positions.abs().max() <= 1 / (17 * 8) ** 0.5
    words = {row.name: row.change for row in coverage.rows}
    assert {name for name in words if "no initialiser" in words[name]} == {"token", "positions"}


def test_an_initialiser_that_sets_nothing_is_no_initialiser() -> None:
    """A parametrised linear layer initialises a computed weight; an initialiser may want arguments or replace."""

    class Odd(nn.Linear):
        def reset_parameters(self, *, scale: float | None = None) -> None:
            self.weight = nn.Parameter(torch.full((8, 8), 7.0))

    class Asking(nn.Linear):
        def __init__(self) -> None:
            super().__init__(8, 5)
            self.reset_parameters = lambda scale: self.weight.data.fill_(scale)

    torch.manual_seed(0)
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
    model = nn.Sequential(normed, Odd(8, 8), Asking()).double().eval()
    for p in model.parameters():
        p.data.normal_()
    before, parameters = bits_of(model), list(model.parameters())
    x = numbers(2, 3, 8, 8)
    with randomised(model, x, how="reinitialised") as coverage:
        assert (model[1].weight == 7).all()
        assert model[0].weight.isfinite().all()
    words = {row.name: row.change for row in coverage.rows}
    assert {name for name in words if "no initialiser" in words[name]} == {
        "0.parametrizations.weight.original0",
        "0.parametrizations.weight.original1",
        "1.bias",
        "2.weight",
        "2.bias",
    }
    assert coverage.share == 1
    assert same_bits(model, before)
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))


def test_running_statistics() -> None:
    model = built(HeadFirst)
    before = bits_of(model)
    _, seen = snapshots(model, buffers="kept")
    assert torch.equal(seen[-1]["norm.running_mean"], before["norm.running_mean"])
    result, seen = snapshots(model, buffers="reset", how="reinitialised")
    assert torch.equal(seen[0]["norm.running_var"], before["norm.running_var"])
    assert seen[1]["norm.running_mean"].count_nonzero() == 0
    assert torch.equal(seen[1]["norm.running_var"], torch.ones(4).double())
    assert {row.change for row in result.coverage.rows if row.kind == "buffer"} == {"reset"}
    assert same_bits(model, before)


def test_other_types() -> None:
    """The same draws in every type, and bfloat16 works."""
    for dtype in (torch.float32, torch.bfloat16):
        model, wide = built(HeadFirst).to(dtype), built(HeadFirst)
        with randomised(model, IMAGES.to(dtype)), randomised(wide, IMAGES):
            for narrow, exact in zip(model.parameters(), wide.parameters(), strict=True):
                assert torch.equal(narrow, exact.to(dtype))
        snapshots(model, IMAGES.to(dtype))


# ------------------------------------------------------------------------------------------------- coverage
def test_coverage_tells_everything() -> None:
    model = built(HeadFirst)
    nn.init.zeros_(model.first.bias)
    coverage = snapshots(model, how="shuffled")[0].coverage
    rows = {row.name: row for row in coverage.rows}
    assert {*rows} == {*model.state_dict()}
    assert not rows["spare.weight"].used
    assert rows["spare.weight"].stage == "stem"
    assert not rows["first.bias"].differs  # a permutation of zeros
    numbers_in = sum(p.numel() for p in model.parameters())
    assert coverage.share == pytest.approx(1 - 4 / numbers_in)
    text = str(coverage)
    assert text.startswith(f"11 of 12 parameters changed, {numbers_in - 4} of {numbers_in} numbers")
    assert "never used in the forward pass" in next(line for line in text.splitlines() if "spare.bias" in line)
    assert "values as before" in next(line for line in text.splitlines() if "first.bias" in line)
    assert "kept: a buffer" in next(line for line in text.splitlines() if "running_mean" in line)


# ------------------------------------------------------------------------------------------------- similarity
def test_values_are_similarities_with_the_original() -> None:
    model = built(HeadFirst)
    explain = gradient_of(model)
    result = parameter_randomisation(model, explain, IMAGES, similarities=tuple(SIMILARITIES), repeats=2)
    assert set(result.values) == set(SIMILARITIES)
    classes = model(IMAGES).argmax(dim=1)
    assert torch.equal(result.target, classes)
    original = reduced(explain(IMAGES, classes))
    for repeat in range(2):
        with randomised(model, IMAGES, repeat=repeat):
            maps = reduced(explain(IMAGES, classes))
        for name, alike in SIMILARITIES.items():
            assert torch.equal(result.values[name][:, -1, repeat], alike(original, maps))
    for name in SIMILARITIES:
        assert result.values[name].dtype == torch.float64
        assert result.values[name].shape == (3, 6, 2)
        torch.testing.assert_close(result.values[name][:, 0], torch.ones(3, 2).double())
        assert (result.values[name][:, -1] < 0.99).any()


def test_batch_is_a_loop() -> None:
    model = built(Patches)
    explain = gradient_of(model)
    whole = parameter_randomisation(model, explain, IMAGES).values
    for i in range(3):
        alone = parameter_randomisation(model, explain, IMAGES[i : i + 1]).values
        for name in whole:
            torch.testing.assert_close(alone[name][0], whole[name][i], rtol=0, atol=1e-6)


def test_own_similarities_and_maps_of_any_kind() -> None:
    model = built(HeadFirst)
    explain = gradient_of(model)

    def summed(x: Tensor, target: Tensor) -> Tensor:
        return explain(x, target).sum(dim=1)

    found = parameter_randomisation(model, summed, IMAGES, similarities={"mine": spearman, "other": ssim})
    assert set(found.values) == {"mine", "other"}


def test_constant_maps_have_no_ranks() -> None:
    model = built(HeadFirst)
    explain = gradient_of(model)

    def flat_at_first(x: Tensor, target: Tensor) -> Tensor:
        return explain(x, target) * torch.tensor([1.0, 0.0, 1.0]).view(-1, 1, 1, 1)

    found = parameter_randomisation(model, flat_at_first, IMAGES).values
    assert found["spearman"][1].isnan().all()
    assert found["hog"][1].isnan().all()
    assert found["ssim"].isfinite().all()
    assert found["spearman"][[0, 2]].isfinite().all()


# ------------------------------------------------------------------------------------------ cost and classes
class Counting:
    def __init__(self, explain: Explain) -> None:
        self.explain, self.targets = explain, list[Tensor]()

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        self.targets.append(target.clone())
        return self.explain(x, target)


@pytest.mark.parametrize("mode", ["cascading", "independent"])
def test_nothing_is_explained_twice(mode: str) -> None:
    model = built(HeadFirst)
    explain = Counting(gradient_of(model))
    result = parameter_randomisation(model, explain, IMAGES, mode=mode, repeats=3)
    assert len(explain.targets) == 1 + 5 * 3
    maps = explain.explain(IMAGES, result.target)
    explain.targets.clear()
    for given in (maps, reduced(maps)):
        again = parameter_randomisation(model, explain, IMAGES, mode=mode, repeats=3, original=given)
        for name in result.values:
            torch.testing.assert_close(again.values[name], result.values[name], rtol=0, atol=0, equal_nan=True)
    assert len(explain.targets) == 2 * 5 * 3


def test_the_class_is_that_of_the_original_network() -> None:
    model = built(HeadFirst)
    explain = Counting(gradient_of(model))
    classes = model(IMAGES).argmax(dim=1)
    parameter_randomisation(model, explain, IMAGES, std=5.0)
    assert all(torch.equal(target, classes) for target in explain.targets)
    assert all(target.dtype == torch.int64 for target in explain.targets)
    for given in (2, [2, 2, 2], torch.tensor([2, 2, 2])):
        explain.targets.clear()
        parameter_randomisation(model, explain, IMAGES, given)
        assert all(target.tolist() == [2, 2, 2] for target in explain.targets)


def test_the_class_may_be_selected_anew() -> None:
    model = built(HeadFirst)
    inner = gradient_of(model)
    pairs: list[tuple[Tensor, Tensor]] = []

    def explain(x: Tensor, target: Tensor) -> Tensor:
        pairs.append((target, model(x).argmax(dim=1)))
        return inner(x, target)

    parameter_randomisation(model, explain, IMAGES, std=5.0, reselect=True)
    assert all(torch.equal(given, now) for given, now in pairs)
    assert any(not torch.equal(given, pairs[0][0]) for given, _ in pairs)


# ----------------------------------------------------------------------------------------- as it was before
OPTIONS: list[dict[str, Any]] = [
    {},
    {"how": "reinitialised", "buffers": "reset", "mode": "independent"},
    {"how": "shuffled", "repeats": 2, "reselect": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("gradients", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_model_comes_back(name: str, options: dict[str, Any], gradients: Callable[[], Any]) -> None:
    model = built(NETS[name])
    next(model.parameters()).requires_grad_(False)
    before = state_of(model)
    with gradients():

        def explain(x: Tensor, target: Tensor) -> Tensor:
            return model(x)[:, :1, None, None] * x.clone() + x

        parameter_randomisation(model, explain, IMAGES.clone(), similarities=("ssim",), **options)
    assert_untouched(before, model)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("failure", [ValueError("no"), KeyboardInterrupt()], ids=repr)
def test_the_model_comes_back_where_explain_raises(options: dict[str, Any], failure: BaseException) -> None:
    model = built(HeadFirst)
    before = state_of(model)
    inner = Counting(gradient_of(model))

    def explain(x: Tensor, target: Tensor) -> Tensor:
        if len(inner.targets) == 3:
            raise failure
        return inner(x, target)

    with pytest.raises(type(failure)) as caught:
        parameter_randomisation(model, explain, IMAGES, **options)
    assert_untouched(before, model)
    if isinstance(failure, ValueError):
        assert "while stage 'second' of the" in caught.value.__notes__[0]


def test_nan_maps_are_an_error() -> None:
    model = built(HeadFirst)
    before = state_of(model)
    inner = gradient_of(model)

    def explain(x: Tensor, target: Tensor) -> Tensor:
        return inner(x, target) / (model.stem.weight.detach() == stem).all()

    stem = model.stem.weight.detach().clone()
    with pytest.raises(NumericalError, match="NaN or infinity") as caught:
        parameter_randomisation(model, explain, IMAGES)
    assert "stage 'stem'" in caught.value.__notes__[0]
    assert_untouched(before, model)


def test_the_context_restores_when_left_by_an_error() -> None:
    model = built(HeadFirst)
    before = bits_of(model)

    def stop() -> None:
        assert not same_bits(model, before)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), randomised(model, IMAGES):
        stop()
    assert same_bits(model, before)


# --------------------------------------------------------------------------------- does explain see the model
def test_a_copy_of_the_model_is_noticed() -> None:
    model = built(HeadFirst)
    for explain in (gradient_of(copy.deepcopy(model)), lambda x, target: x):
        with pytest.warns(UnmovedMapsWarning, match="bit-identical") as caught:
            parameter_randomisation(model, explain, IMAGES)
        assert caught[0].filename == __file__


SEEING: dict[str, Callable[[cp.Network, Tensor, Tensor], Tensor]] = {
    "gradient": lambda net, x, target: cp.attribute(net, x, "gradient", target=target),
    "pathway_gradient": lambda net, x, target: cp.attribute(net, x, "pathway_gradient", target=target),
    "intgrad pathway": lambda net, x, target: cp.attribute(
        net,
        x,
        "pathway_gradient",
        target=target,
        pathway=cp.find_pathway(net, x, "intgrad", target=target, points=2),
    ),
}


@pytest.mark.parametrize("method", SEEING)
def test_explanations_see_the_new_weights(method: str) -> None:
    """A wrapped network that has run before, its exported graph included, explains like one wrapped anew."""
    model = built(HeadFirst)
    target = torch.tensor([0, 1, 2])
    net = cp.Network(model, export=True)
    original = SEEING[method](net, IMAGES, target)
    kept = net.fingerprint()
    if method.startswith("intgrad"):
        assert "exported graph" in net.doctor(IMAGES).reruns
    with randomised(model, IMAGES, std=0.5):
        found = SEEING[method](net, IMAGES, target)
        anew = SEEING[method](cp.Network(model, export=False), IMAGES, target)
        assert net.fingerprint() != kept
    torch.testing.assert_close(found, anew, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(found, original, rtol=0.1)
    assert net.fingerprint() == kept
    assert torch.equal(SEEING[method](net, IMAGES, target), original)


def test_intgrad_scores_see_the_new_weights() -> None:
    model = built(HeadFirst)
    net = cp.Network(model, export=True)
    original = cp.score(net, IMAGES, "intgrad", points=2, target=0)
    with randomised(model, IMAGES, std=0.5):
        found = cp.score(net, IMAGES, "intgrad", points=2, target=0).flatten()
        anew = cp.score(cp.Network(model, export=False), IMAGES, "intgrad", points=2, target=0).flatten()
    torch.testing.assert_close(found, anew, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(found, original.flatten(), rtol=0.1)


# ------------------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "both"}, "mode is 'both'"),
        ({"how": "zero"}, "how is 'zero'"),
        ({"std": 0}, "std is 0"),
        ({"std": "own"}, "std is 'own'"),
        ({"buffers": "gone"}, "buffers is 'gone'"),
        ({"repeats": 0}, "repeats is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"stages": ("layer*",)}, r"stages has 'layer\*', which matches no module of HeadFirst.*head"),
        ({"stages": ("head", ("norm", "nrom"))}, "stages has 'nrom'"),
        ({"stages": "head"}, "stages is 'head'"),
        ({"similarities": ("cosine",)}, "similarities is 'cosine'"),
        ({"similarities": ()}, "similarities is"),
        ({"reselect": 1}, "reselect is 1"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], words: str) -> None:
    model = built(HeadFirst)
    with pytest.raises(OptionError, match=words):
        parameter_randomisation(model, gradient_of(model), IMAGES, **options)


def test_other_bad_input() -> None:
    model = built(HeadFirst)
    explain = gradient_of(model)
    with pytest.raises(TrainingModeError):
        parameter_randomisation(built(HeadFirst).train(), explain, IMAGES)
    with pytest.raises(InputError, match="uses no floating-point parameter"):
        parameter_randomisation(nn.Sequential(nn.ReLU(), nn.Flatten()).eval(), explain, IMAGES)
    with pytest.raises(InputError, match="the maps are"):
        parameter_randomisation(model, explain, IMAGES, original=numbers(3, 3, 8, 7))
    for target in ([0, 1], 0.5, "cat", torch.ones(3)):
        with pytest.raises(TargetError, match="the target is"):
            parameter_randomisation(model, explain, IMAGES, target)
    with pytest.raises(TargetError, match="not class scores"):
        parameter_randomisation(nn.Conv2d(3, 4, 3).double().eval(), explain, IMAGES)


def test_training_mode_that_was_asked_for() -> None:
    model = built(HeadFirst).train()
    before = state_of(model)
    result = parameter_randomisation(cp.Network(model, allow_training=True), lambda x, t: model(x)[0, 0] * x, IMAGES, 0)
    assert len(result.stages) == 6
    del before["buffers"]  # explain itself runs the batch norm
    assert_untouched(before, model)
