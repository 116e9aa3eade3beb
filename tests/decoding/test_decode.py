"""Pictures that raise an objective, of the network or of its pathway alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests import tiny
from tests.reference.twins import Case, case_of
from torch import Tensor, nn

import critpath as cp
from critpath.decoding import Decoded, Warp, decode, top_neuron
from critpath.decoding.ascent import Model, Studio
from critpath.decoding.settings import settings_of
from critpath.errors import (
    CritpathError,
    InputError,
    MismatchError,
    ModelError,
    NumericalError,
    OptionError,
    StorageError,
    TargetError,
)
from critpath.response import keeping, respond
from critpath.targets import Direction, Each, Logit, SiteActivation

SMALL: dict[str, Any] = {"shape": tiny.IMAGE, "size": 6, "steps": 12, "normalise": (0.5, 0.2)}
GENTLE = (Warp(pad=1, jitter=2, second_jitter=0),)


@pytest.fixture(scope="module")
def net() -> cp.Network:
    return cp.Network(tiny.NETWORKS["conv"].build())


@pytest.fixture(scope="module")
def x() -> Tensor:
    return tiny.numbers(3, *tiny.IMAGE)


@pytest.fixture(scope="module")
def pathway(net: cp.Network, x: Tensor) -> cp.Pathway:
    return cp.find_pathway(net, x, "taylor", 0.4, target=[0, 1, 2])


def unbounded(pictures: Tensor) -> Tensor:
    """From (0, 1) to the real line, on which the small networks' inputs are."""
    return torch.logit(pictures, eps=1e-6)


def restricted(case: Case, p: cp.Pathway, values: cp.NeuronValues | None) -> Callable[[int, Tensor], Tensor]:
    """The rule of a twin that lets a pathway act, spelled out."""

    def rule(number: int, a: Tensor) -> Tensor:
        keep = p.keep.tensors[number].to(a.dtype)
        return a * keep if values is None else a * keep + values.tensors[number] * (1 - keep)

    return rule


class TestWhatRises:
    @pytest.mark.parametrize(
        "objective",
        [
            2,
            cp.Probability(1),
            cp.Margin(3),
            cp.Neuron("1#0", (2, 3, 4)),
            cp.Channel("1#0", 1),
            SiteActivation("1#0"),
            Direction("4#0", [1.0, -1.0, 2.0, 0.0, 0.5, 0.0]),
            Direction("4#0", [1.0, -1.0, 2.0, 0.0, 0.5, 0.0], cosine=2),
            Logit(1) - 0.5 * Logit(2),
            lambda output: output[:, 3] - output[:, 0],
        ],
        ids=lambda objective: type(objective).__name__,
    )
    @pytest.mark.parametrize("parametrisation", ["fourier", "pixels"])
    def test_every_objective(self, net: cp.Network, objective: Any, parametrisation: str) -> None:
        options = {**SMALL, "parametrisation": parametrisation, "transforms": "none", "pictures": 2}
        found = decode(net, None, objective, **options)
        assert found.images.shape == (2, 3, 6, 6)
        assert found.curve.shape == (12, 2)
        assert (found.value > found.curve[0]).all()
        assert found.images.min() >= 0
        assert found.images.max() <= 1

    def test_picture_of_a_linear_neuron_is_its_weight(self) -> None:
        """What is seen most is white where the weight is positive and black where it is negative."""
        model = tiny.seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(48, 2), nn.Sigmoid()))
        found = decode(
            cp.Network(model), None, cp.Neuron("2#0", 1), shape=(3, 4, 4), parametrisation="pixels", decorrelate=False,
            transforms="none", steps=300, lr=0.3,
        )  # fmt: skip
        weight = model[1].weight[1].detach().view(3, 4, 4)
        assert torch.equal(found.images[0] > 0.5, weight > 0)
        assert float(torch.cosine_similarity((found.images[0] - 0.5).flatten(), weight.sign().flatten(), dim=0)) > 0.95

    def test_value_is_of_the_finished_picture(self, net: cp.Network) -> None:
        mean, std = [0.2, 0.5, 0.7], [0.5, 0.4, 0.3]
        found = decode(net, None, 2, **{**SMALL, "size": (8, 8), "normalise": (mean, std)})
        normal = (found.images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        with torch.no_grad():
            assert torch.allclose(net.model(normal)[:, 2], found.value, atol=1e-6)

    def test_first_step_is_adams(self, net: cp.Network) -> None:
        """One step moves every parameter by the rate, the way of its gradient (Adam's first)."""
        options = {**SMALL, "parametrisation": "pixels", "decorrelate": False, "transforms": "none", "size": 8}
        before = decode(net, None, 1, **{**options, "steps": 1, "lr": 1e-12}).images
        after = decode(net, None, 1, **{**options, "steps": 1}).images
        moved = torch.logit(after) - torch.logit(before)
        leaf = torch.logit(before).requires_grad_()
        (gradient,) = torch.autograd.grad(net.model((torch.sigmoid(leaf) - 0.5) / 0.2)[:, 1].sum(), leaf)
        clear = gradient.abs() > 1e-5
        assert clear.float().mean() > 0.5
        assert torch.allclose(moved[clear], 0.05 * gradient[clear].sign(), rtol=1e-2)


class TestRestricted:
    @pytest.mark.parametrize("name", ["nn.ReLU in place", "GELU", "reused", "dense"])
    @pytest.mark.parametrize("restriction", ["zeroed", "frozen"])
    def test_only_the_pathway_acts(self, name: str, restriction: str) -> None:
        """Value and gradient on the way, and the value at the end, are those of a twin that is masked by hand."""
        case = case_of(name)
        net = cp.Network(case.model)
        p = cp.find_pathway(net, case.x, "taylor", 0.5, target=1)
        values = net.run(case.x).values() if restriction == "frozen" else None
        rule, shape = restricted(case, p, values), tuple(case.x.shape[1:])
        studio = Studio(net, case.x[:1], lambda t: t, settings_of(None, shape, None, restriction=restriction))
        value, gradient = Model(studio, Logit(1), keeping(p, values), torch.arange(3)).climb(case.x)
        leaf = case.x.clone().requires_grad_()
        expected = case.logits(case.twin(case.model, leaf, rule))[:, 1]
        assert torch.allclose(value, expected)
        assert torch.allclose(gradient, torch.autograd.grad(expected.sum(), leaf)[0])
        found = decode(
            net, p, 1, shape=shape, restriction=restriction, elsewhere=values, steps=4, transforms=GENTLE,
            normalise=unbounded, start=torch.sigmoid(case.x), decorrelate=False,
        )  # fmt: skip
        assert len(found) == 3
        with torch.no_grad():
            at_end = case.logits(case.twin(case.model, unbounded(found.images), rule))[:, 1]
            whole = case.logits(case.twin(case.model, unbounded(found.images), lambda number, a: a))[:, 1]
        assert torch.allclose(found.value, at_end)
        assert not torch.allclose(found.value, whole)

    def test_all_neurons_are_the_network(self, net: cp.Network, pathway: cp.Pathway) -> None:
        everything = pathway | ~pathway
        together = decode(net, everything, [0, 1, 2], **SMALL)
        assert torch.allclose(together.images, decode(net, None, [0, 1, 2], **SMALL).images)

    def test_one_pathway_for_all_pictures(self, net: cp.Network, pathway: cp.Pathway) -> None:
        found = decode(net, pathway.sample(1), 1, pictures=3, **SMALL)
        assert len(found) == 3
        assert not torch.allclose(found.images[0], found.images[1])

    def test_the_responses_class(self, net: cp.Network, x: Tensor, pathway: cp.Pathway) -> None:
        response = respond(net, x, [0, 1, 2])
        expected = decode(net, pathway, [0, 1, 2], **SMALL)
        assert torch.equal(decode(net, pathway, response, **SMALL).images, expected.images)


class TestBatchIsLoop:
    @pytest.mark.parametrize("transforms", ["none", "robust", GENTLE])
    @pytest.mark.parametrize("parametrisation", ["fourier", "pixels"])
    def test_seeds(self, net: cp.Network, transforms: Any, parametrisation: str) -> None:
        options = {**SMALL, "parametrisation": parametrisation, "transforms": transforms}
        together = decode(net, None, 1, pictures=3, seed=5, **options)
        for i in range(3):
            alone = decode(net, None, 1, seed=5 + i, **options)
            assert torch.allclose(together.images[i], alone.images[0], atol=1e-9)
            assert torch.allclose(together.curve[:, i], alone.curve[:, 0])
            assert torch.allclose(together.value[i], alone.value[0])

    @pytest.mark.parametrize("frozen", [True, False])
    def test_pathways_and_objectives(self, net: cp.Network, x: Tensor, pathway: cp.Pathway, frozen: bool) -> None:
        values = net.run(x).values() if frozen else None
        options = {**SMALL, "restriction": "frozen" if frozen else "zeroed"}
        together = decode(net, pathway, [0, 1, 2], elsewhere=values, **options)
        for i in range(3):
            own = values.sample(i) if values else None
            alone = decode(net, pathway.sample(i), i, elsewhere=own, seed=i, **options)
            assert torch.allclose(together.images[i], alone.images[0], atol=1e-9)

    def test_memory_parts(self, net: cp.Network, pathway: cp.Pathway) -> None:
        """A limit that has room for one or two pictures at once changes nothing."""
        objective = Each((Logit(0), Logit(1) - Logit(3), SiteActivation("1#0")))
        whole, words = decode(net, pathway, objective, **SMALL), []
        need = 4 * net.footprint(torch.zeros(1, *tiny.IMAGE, dtype=torch.float64))
        for limit in (need // 3, 2 * need):
            parts = decode(net, pathway, objective, memory=limit, progress=words.append, **SMALL)
            assert torch.allclose(parts.images, whole.images, atol=1e-9)
        assert words[0].startswith("picture 0: step 1 of 12, objective ")
        assert len(words) == (3 + 2) * 12

    def test_seed_decides(self, net: cp.Network) -> None:
        state = torch.get_rng_state()
        first, again, other = (decode(net, None, 1, seed=seed, **SMALL) for seed in (3, 3, 4))
        assert torch.equal(first.images, again.images)
        assert torch.equal(first.curve, again.curve)
        assert not torch.allclose(first.images, other.images)
        assert torch.equal(torch.get_rng_state(), state)


class TestOptions:
    def test_preset_of_the_paper(self, net: cp.Network) -> None:
        found = decode(net, None, 1, shape=tiny.IMAGE, preset="khakzar2021", steps=2).settings
        assert (found.parametrisation, found.decorrelate, found.transforms) == ("pixels", False, "none")
        assert (found.lr, found.deviation, found.steps) == (0.05, 0.01, 2)
        assert settings_of("khakzar2021", (3, 224, 224), None).steps == 512
        assert settings_of("lucid", (3, 224, 224), None).size == (128, 128)

    def test_functions_as_transforms(self, net: cp.Network) -> None:
        seen = []

        def flipped(pictures: Tensor) -> Tensor:
            seen.append(pictures.shape)
            return pictures.flip(-1)

        found = decode(net, None, 1, **{**SMALL, "transforms": [flipped, flipped]})
        assert torch.allclose(found.images, decode(net, None, 1, **{**SMALL, "transforms": "none"}).images)
        assert set(seen) == {torch.Size([1, 3, 6, 6])}

    def test_normalise_in_three_ways(self, net: cp.Network) -> None:
        pair, column = ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7)), torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
        scale = torch.tensor(pair[1]).view(3, 1, 1)
        by_hand = decode(net, None, 1, **{**SMALL, "normalise": lambda p: (p - column) / scale})
        for way in (pair, SimpleNamespace(mean=pair[0], std=pair[1])):
            assert torch.allclose(decode(net, None, 1, **{**SMALL, "normalise": way}).images, by_hand.images, atol=1e-5)

    def test_grey_pictures_of_any_shape(self) -> None:
        model = tiny.seeded(lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(30, 2)))
        found = decode(cp.Network(model), None, 0, shape=(1, 7, 5), steps=3, normalise=(0.5, 0.2))
        assert found.images.shape == (1, 1, 7, 5)
        assert found.pil().mode == "L"

    def test_a_start(self, net: cp.Network, x: Tensor) -> None:
        start = torch.sigmoid(x[0])
        options = {**SMALL, "size": 8, "steps": 1, "lr": 1e-9, "transforms": "none"}
        assert torch.allclose(decode(net, None, 1, start=start, **options).images[0], start, atol=0.02)

    def test_like(self) -> None:
        """Pictures of a model in bfloat16 are made in float32."""
        model = tiny.NETWORKS["conv"].build().bfloat16()
        like = torch.zeros(1, *tiny.IMAGE, dtype=torch.bfloat16)
        found = decode(cp.Network(model), None, 1, like=like, steps=20)
        assert found.images.dtype == torch.float32
        assert float(found.value) > float(found.curve[0])

    def test_a_silent_neuron_is_woken(self) -> None:
        """Grey noise leaves it silent; noise of more contrast does not."""
        model = tiny.seeded(lambda: nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU()))
        model[0].weight.data.fill_(1)
        model[0].bias.data.fill_(-0.7)
        found = decode(cp.Network(model), None, cp.Channel("1#0", 0), shape=(1, 6, 6), steps=30, pictures=2)
        assert (found.value > 0.02).all()
        alone = decode(cp.Network(model), None, cp.Channel("1#0", 0), shape=(1, 6, 6), steps=30, seed=1)
        assert torch.allclose(found.images[1], alone.images[0], atol=1e-9)

    def test_under_no_grad_and_the_model_as_it_was(self, net: cp.Network) -> None:
        before = {name: value.clone() for name, value in net.model.state_dict().items()}
        with torch.inference_mode():
            found = decode(net, None, 1, **SMALL)
        assert torch.equal(found.images, decode(net, None, 1, **SMALL).images)
        assert all(torch.equal(before[name], value) for name, value in net.model.state_dict().items())
        assert all(p.requires_grad and p.grad is None for p in net.model.parameters())


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({"objective": None}, OptionError, "the objective names no class"),
            ({"objective": cp.Margin() + Logit(1)}, OptionError, "the objective names no class"),
            ({"objective": 7}, TargetError, "out of range"),
            ({"objective": cp.Neuron("nowhere#0", 0)}, MismatchError, "no site is called"),
            ({"objective": Direction("4#0", [1.0])}, TargetError, "6 channels"),
            ({"preset": "khakzar"}, OptionError, "Did you mean 'khakzar2021'"),
            ({"parametrisation": "wavelet"}, OptionError, "no parametrisation is called"),
            ({"transforms": "rubust"}, OptionError, "Did you mean 'robust'"),
            ({"transforms": [3]}, OptionError, "functions of pictures"),
            ({"transforms": [Warp(pad=0, jitter=9)]}, OptionError, "leaves nothing"),
            ({"restriction": "removed"}, OptionError, "no restriction is called"),
            ({"restriction": "frozen"}, OptionError, "elsewhere="),
            ({"steps": 0}, OptionError, "steps is 0"),
            ({"size": 1}, OptionError, "size is 1"),
            ({"size": (1, 2, 3)}, OptionError, "height and width"),
            ({"lr": -1.0}, OptionError, "lr is -1.0; it is a finite number, above 0"),
            ({"lr": "x"}, OptionError, "lr is 'x'"),
            ({"size": 0.5}, OptionError, "size is 0.5; it is a whole number, at least 2"),
            ({"size": "ab"}, OptionError, "height and width"),
            ({"shape": 5}, OptionError, r"\[channels, height, width\]; got 5"),
            ({"shape": (3, 8.5, 8)}, OptionError, r"got \(3, 8.5, 8\)"),
            ({"transforms": 5}, OptionError, "a list of functions of pictures"),
            ({"transforms": Warp()}, OptionError, "a list of functions of pictures"),
            ({"decorrelate": "x"}, OptionError, "decorrelate is 'x'; it is True or False"),
            ({"start": [1]}, OptionError, "start is of type list, not Tensor"),
            ({"like": [1]}, OptionError, "like is of type list, not Tensor"),
            (
                {"pathway": torch.zeros(3, 8, 8)},
                OptionError,
                "pathway is of type Tensor, not Pathway: the objective comes",
            ),
            ({"elsewhere": 3, "restriction": "frozen"}, OptionError, "elsewhere is of type int, not NeuronValues"),
            ({"normalise": ("a", "b")}, OptionError, r"normalise is \('a', 'b'\) for 3 channels"),
            ({"seed": 1.5}, OptionError, "seed is 1.5"),
            ({"seed": -1}, OptionError, "seed is -1"),
            ({"pictures": 0}, OptionError, "pictures is 0"),
            ({"shape": (3, 8)}, OptionError, "channels, height, width"),
            ({"normalise": (0.5,)}, OptionError, "normalise is tuple"),
            ({"normalise": ((0.5, 0.5), (1, 1))}, OptionError, "for 3 channels"),
            ({"normalise": (0.5, 0)}, OptionError, "positive standard deviation"),
            ({"start": torch.full((3, 6, 6), 2.0)}, InputError, "in \\[0, 1\\]"),
            ({"start": torch.zeros(2, 6, 6)}, InputError, "channels=3"),
            ({"objective": [1, 2], "pictures": 3}, MismatchError, "3 pictures, 2 objectives"),
            ({"memory": 10}, OptionError, "memory=10"),
        ],
    )
    def test_options(self, net: cp.Network, options: dict[str, Any], error: type[CritpathError], words: str) -> None:
        with pytest.raises(error, match=words):
            decode(net, **{**SMALL, "objective": 1, **options})

    def test_no_network(self) -> None:
        with pytest.raises(ModelError, match="wrap the model"):
            decode(nn.Linear(2, 2), None, 1)  # type: ignore[arg-type]

    def test_another_networks_pathway(self, net: cp.Network, x: Tensor, pathway: cp.Pathway) -> None:
        other = cp.Network(tiny.NETWORKS["residual"].build())
        with pytest.raises(MismatchError, match="another network or input shape"):
            decode(net, cp.find_pathway(other, x), 1, **SMALL)
        with pytest.raises(MismatchError, match="another network or input shape"):
            decode(other, pathway, 1, **SMALL)
        values = other.run(x).values()
        with pytest.raises(MismatchError, match="another network or input shape"):
            decode(net, pathway, 1, restriction="frozen", elsewhere=values, **SMALL)

    def test_as_many_pictures_as_samples(self, net: cp.Network, pathway: cp.Pathway) -> None:
        for pictures in (1, 2):
            with pytest.raises(MismatchError, match=f"{pictures} pictures, 3 samples of the pathway"):
                decode(net, pathway, 1, pictures=pictures, **SMALL)

    def test_elsewhere_without_frozen(self, net: cp.Network, x: Tensor, pathway: cp.Pathway) -> None:
        with pytest.raises(OptionError, match="zeroed neurons are 0"):
            decode(net, pathway, 1, elsewhere=net.run(x).values(), **SMALL)

    def test_a_pathway_that_is_cut_off(self, net: cp.Network, pathway: cp.Pathway) -> None:
        nothing = pathway & ~pathway
        with pytest.raises(NumericalError, match=r"does not change with the picture .* the pathway cuts it off"):
            decode(net, nothing, 1, **SMALL)

    def test_not_finite_says_the_step(self, net: cp.Network) -> None:
        calls = []

        def late(output: Tensor) -> Tensor:
            calls.append(1)
            return output[:, 1] * (float("inf") if len(calls) > 5 else 1)

        with pytest.raises(NumericalError, match="at step 4 of 12: the objective is NaN or infinite"):
            decode(net, None, late, **SMALL)


@pytest.fixture(scope="module")
def found(net: cp.Network) -> Decoded:
    return decode(net, None, [0, 1], **{**SMALL, "steps": 2})


class TestDecoded:
    def test_pil(self, found: Decoded) -> None:
        shown = np.asarray(found.pil(1), dtype=float)
        assert np.abs(shown - found.images[1].permute(1, 2, 0).numpy() * 255).max() <= 0.5
        with pytest.raises(InputError, match="no picture 2 among 2"):
            found.pil(2)

    def test_files(self, found: Decoded, tmp_path: Path) -> None:
        assert [p.name for p in found.save(tmp_path)] == ["000.png", "001.png"]
        with Image.open(tmp_path / "001.png") as shown:
            assert np.array_equal(np.asarray(shown), np.asarray(found.pil(1)))
        (row,) = found.save(tmp_path / "row.png")
        with Image.open(row) as shown:
            assert shown.size == (12, 6)
        assert [p.parent.name for p in found.save(tmp_path / "new")] == ["new", "new"]
        with pytest.raises(InputError, match=r"written as '\.xyz'"):
            found.save(tmp_path / "a.xyz")
        with pytest.raises(StorageError):
            found.save(tmp_path / "missing" / "a.png")
        (tmp_path / "file").write_bytes(b"")
        for folder in (tmp_path / "file", tmp_path / "file" / "inside"):
            with pytest.raises(StorageError, match="cannot make the folder"):
                found.save(folder)

    def test_shown(self, found: Decoded) -> None:
        assert found._repr_html_().count('<img src="data:image/png;base64,') == 2
        assert repr(found).startswith("Decoded(pictures=2, 6 x 6, steps=2, value=[")


class TestTopNeuron:
    def test_against_a_search(self, net: cp.Network, x: Tensor) -> None:
        scores = cp.score(net, x, target=[0, 1, 2])
        flat = scores.flatten().abs()
        for i in range(3):
            place = int(flat[i].argmax())
            site, index = scores.space.locate(place)
            found = top_neuron(scores.sample(i))
            assert (found.site, found.index) == (site.name, index)
        assert [t.index for t in top_neuron(scores).targets] == [top_neuron(scores.sample(i)).index for i in range(3)]

    def test_within_a_site_and_as_channel(self, net: cp.Network, x: Tensor) -> None:
        scores = cp.score(net, x[:1], target=0)
        found = top_neuron(scores, site="4#0", channel=True)
        place = int(scores["4#0"].abs().flatten().argmax())
        assert (found.site, found.channel) == ("4#0", place // 16)

    def test_on_the_pathway(self, net: cp.Network, x: Tensor) -> None:
        scores = cp.score(net, x, target=1)
        weak = ~cp.select(scores, 0.9)
        for i, found in enumerate(top_neuron(scores, weak).targets):
            mine = scores.flatten()[i].abs() * weak.keep.flatten()[i]
            site, index = scores.space.locate(int(mine.argmax()))
            assert (found.site, found.index) == (site.name, index)

    def test_decodes(self, net: cp.Network, x: Tensor) -> None:
        scores = cp.score(net, x, target=1)
        found = decode(net, cp.select(scores, 0.3), top_neuron(scores), **SMALL)
        assert (found.value > found.curve[0]).all()

    def test_nothing_to_find(self, net: cp.Network, x: Tensor) -> None:
        scores = cp.score(net, x, target=1)
        nothing = cp.select(scores, 0.5) & ~cp.select(scores, 0.5)
        with pytest.raises(OptionError, match=r"no neuron of the network has a score other than zero, for samples \[0"):
            top_neuron(scores, nothing)
        with pytest.raises(MismatchError, match="no site is called"):
            top_neuron(scores, site="nowhere#0")
