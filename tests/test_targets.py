"""From a model's output to one scalar per sample."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import critpath as cp
from critpath.errors import CritpathError, MismatchError, NumericalError, TargetError
from critpath.response import respond
from critpath.targets import Logit
from tests import tiny

Pair = namedtuple("Pair", "logits hidden")


def mlp(answer: Any = None, classes: int = tiny.CLASSES) -> cp.Network:
    return cp.Network(tiny.seeded(lambda: tiny.Answering(answer or (lambda y: y), classes)))


@pytest.fixture(scope="module")
def net() -> cp.Network:
    return mlp()


@pytest.fixture(scope="module")
def x() -> Tensor:
    return tiny.numbers(4, 6) * 30


@pytest.fixture(scope="module")
def logits(net: cp.Network, x: Tensor) -> Tensor:
    with torch.no_grad():
        return net.model(x)


def value(net: cp.Network, x: Any, target: Any = None) -> Tensor:
    return respond(net, x, target).value.detach()


class TestClasses:
    def test_default_is_the_predicted_class(self, net: cp.Network, x: Tensor, logits: Tensor) -> None:
        assert len(set(logits.argmax(1).tolist())) > 1
        assert torch.equal(value(net, x), logits.max(dim=1).values)

    def test_default_stays_what_the_unmodified_network_predicts(
        self, net: cp.Network, x: Tensor, logits: Tensor
    ) -> None:
        response = respond(net, x)
        pruned = response.rerun(lambda site, a: a * 0)
        with torch.no_grad():
            changed = pruned.run.output
        assert (changed.argmax(1) != logits.argmax(1)).any()
        assert torch.equal(pruned.value, changed.gather(1, logits.argmax(1, keepdim=True))[:, 0])

    @pytest.mark.parametrize("class_", [0, 4, np.int64(3), torch.tensor(2), torch.tensor(1, dtype=torch.uint8)])
    def test_one_class(self, net: cp.Network, x: Tensor, logits: Tensor, class_: Any) -> None:
        assert torch.equal(value(net, x, class_), logits[:, int(class_)])

    @pytest.mark.parametrize(
        "classes", [[0, 4, 2, 2], (0, 4, 2, 2), torch.tensor([0, 4, 2, 2]), torch.tensor([0, 4, 2, 2]).int()]
    )
    def test_one_class_a_sample(self, net: cp.Network, x: Tensor, logits: Tensor, classes: Any) -> None:
        assert torch.equal(value(net, x, classes), logits[range(4), [0, 4, 2, 2]])

    def test_scores_follow_the_class(self, net: cp.Network, x: Tensor) -> None:
        together = cp.score(net, x, target=[0, 4, 2, 2]).flatten()
        for i, class_ in enumerate([0, 4, 2, 2]):
            assert torch.allclose(together[i], cp.score(net, x[i : i + 1], target=class_).flatten()[0])

    @pytest.mark.parametrize("class_", [5, -1, 1000, [0, 1, 2, 5], torch.tensor([0, 0, 0, -1])])
    def test_out_of_range(self, net: cp.Network, x: Tensor, class_: Any) -> None:
        with pytest.raises(TargetError, match="out of range: the model has 5, 0 to 4"):
            respond(net, x, class_)

    @pytest.mark.parametrize(
        "wrong",
        [
            1.0,
            "3",
            "tabby",
            b"3",
            torch.tensor(1.0),
            torch.tensor([True, False, True, True]),
            torch.zeros(4, 1, dtype=torch.long),
            [0.0, 1.0, 2.0, 3.0],
            ["a", "b", "c", "d"],
            np.array([0.5, 1, 2, 3]),
            {"class": 1},
            {1, 2},
            Ellipsis,
        ],
        ids=repr,
    )
    def test_no_class_at_all(self, net: cp.Network, x: Tensor, wrong: Any) -> None:
        with pytest.raises(TargetError):
            respond(net, x, wrong)

    @pytest.mark.parametrize("wrong", [[0], [0, 1, 2], torch.tensor([0, 1, 2, 3, 4]), []])
    def test_wrong_number_of_classes(self, net: cp.Network, x: Tensor, wrong: Any) -> None:
        with pytest.raises(TargetError, match="target classes for 4 samples"):
            respond(net, x, wrong)

    def test_no_error_is_a_bare_python_one(self, net: cp.Network, x: Tensor) -> None:
        for wrong in (10**30, -(10**30)):
            with pytest.raises(TargetError):
                respond(net, x, wrong)


class TestProbability:
    def test_is_softmax(self, net: cp.Network, x: Tensor, logits: Tensor) -> None:
        assert torch.allclose(value(net, x, cp.Probability()), logits.softmax(1).max(1).values)
        assert torch.allclose(value(net, x, cp.Probability(3)), logits.softmax(1)[:, 3])
        assert torch.allclose(value(net, x, cp.Probability([0, 1, 2, 3])), logits.softmax(1).diagonal())

    def test_out_of_range(self, net: cp.Network, x: Tensor) -> None:
        with pytest.raises(TargetError, match="0 to 4"):
            respond(net, x, cp.Probability(5))


class TestMargin:
    def test_default_is_first_against_second(self, net: cp.Network, x: Tensor, logits: Tensor) -> None:
        best = logits.topk(2, dim=1).values
        assert torch.allclose(value(net, x, cp.Margin()), best[:, 0] - best[:, 1])

    def test_default_foil_of_a_given_class(self, net: cp.Network, x: Tensor, logits: Tensor) -> None:
        others = logits[:, [0, 1, 3, 4]].max(dim=1).values
        assert torch.allclose(value(net, x, cp.Margin(2)), logits[:, 2] - others)

    def test_given_foil(self, net: cp.Network, x: Tensor, logits: Tensor) -> None:
        assert torch.allclose(value(net, x, cp.Margin(2, 0)), logits[:, 2] - logits[:, 0])
        best = logits.max(1).values
        assert torch.allclose(value(net, x, cp.Margin(foil=[1, 1, 0, 0])), best - logits[range(4), [1, 1, 0, 0]])

    def test_foil_is_fixed(self, net: cp.Network, x: Tensor, logits: Tensor) -> None:
        response = respond(net, x, cp.Margin())
        first, second = logits.topk(2, dim=1).indices.unbind(1)
        rerun = response.rerun(lambda site, a: a * 0)
        out = rerun.run.output
        assert torch.equal(rerun.value, out[range(4), first] - out[range(4), second])

    @pytest.mark.parametrize("wrong", [cp.Margin(9), cp.Margin(0, 9), cp.Margin(0, "1"), cp.Margin(0, [1, 2])])
    def test_wrong(self, net: cp.Network, x: Tensor, wrong: cp.Margin) -> None:
        with pytest.raises(TargetError):
            respond(net, x, wrong)

    def test_one_class_has_no_foil(self, x: Tensor) -> None:
        with pytest.raises(TargetError):
            respond(mlp(classes=1), x, cp.Margin())


@pytest.fixture(scope="module")
def conv() -> cp.Network:
    return cp.Network(tiny.NETWORKS["conv"].build())


@pytest.fixture(scope="module")
def image() -> Tensor:
    return tiny.NETWORKS["conv"].inputs(3)


class TestHidden:
    def test_neuron(self, conv: cp.Network, image: Tensor) -> None:
        with torch.no_grad():
            naive = conv.model[:5](image)
        assert torch.equal(value(conv, image, cp.Neuron("4#0", (5, 3, 0))), naive[:, 5, 3, 0])
        assert torch.equal(value(conv, image, cp.Neuron("4#0", (-1, -1, 0))), naive[:, 5, 3, 0])
        assert torch.equal(value(conv, image, cp.Neuron("8#0", 7)), conv.run(image).values()["8#0"][:, 7])

    def test_channel(self, conv: cp.Network, image: Tensor) -> None:
        with torch.no_grad():
            naive = conv.model[:5](image)
        assert torch.allclose(value(conv, image, cp.Channel("4#0", 2)), naive[:, 2].mean(dim=(1, 2)))
        kind = tiny.NETWORKS["transformer"]
        net, x = cp.Network(kind.build()), kind.inputs(2)
        (site,) = net.sites(x)
        assert site.channel_dim == 1
        naive = net.run(x).values()[site.name][:, :, 9].mean(dim=1)
        assert torch.allclose(value(net, x, cp.Channel(site.name, 9)), naive)

    def test_channel_of_a_site_without_positions(self, conv: cp.Network, image: Tensor) -> None:
        naive = conv.run(image).values()["8#0"][:, 4]
        assert torch.equal(value(conv, image, cp.Channel("8#0", 4)), naive)

    def test_later_neurons_score_nothing(self, conv: cp.Network, image: Tensor) -> None:
        scores = cp.score(conv, image, target=cp.Channel("4#0", 2))
        assert not scores["8#0"].any()
        assert not scores["4#0"][:, [0, 1, 3, 4, 5]].any()
        assert scores["1#0"].any()

    @pytest.mark.parametrize(
        "target",
        [
            cp.Neuron("4#0", (6, 0, 0)),
            cp.Neuron("4#0", (0, 0, -5)),
            cp.Neuron("4#0", (0, 0)),
            cp.Neuron("4#0", 3),
            cp.Neuron("8#0", (0, 0)),
            cp.Channel("4#0", 6),
            cp.Channel("4#0", -7),
        ],
        ids=repr,
    )
    def test_not_there(self, conv: cp.Network, image: Tensor, target: Any) -> None:
        with pytest.raises(TargetError, match="is not in site"):
            respond(conv, image, target)

    @pytest.mark.parametrize("target", [cp.Neuron("4#1", 0), cp.Channel("layer", 0)], ids=repr)
    def test_unknown_site(self, conv: cp.Network, image: Tensor, target: Any) -> None:
        with pytest.raises((TargetError, MismatchError), match="no site is called"):
            respond(conv, image, target)

    @pytest.mark.parametrize(
        "target",
        [cp.Neuron("8#0", 1.5), cp.Neuron("8#0", (1.0,)), cp.Neuron("8#0", "1"), cp.Channel("4#0", 1.0)],
        ids=repr,
    )
    def test_no_index(self, conv: cp.Network, image: Tensor, target: Any) -> None:
        with pytest.raises(TargetError):
            respond(conv, image, target)

    def test_numpy_index(self, conv: cp.Network, image: Tensor) -> None:
        expected = value(conv, image, cp.Neuron("8#0", 7))
        assert torch.equal(value(conv, image, cp.Neuron("8#0", np.int64(7))), expected)
        assert torch.equal(value(conv, image, cp.Channel("8#0", np.int64(7))), expected)


class TestFunctions:
    def test_of_the_output(self, net: cp.Network, x: Tensor, logits: Tensor) -> None:
        assert torch.allclose(value(net, x, lambda y: y[:, 0] * y[:, 1]), logits[:, 0] * logits[:, 1])
        kind = tiny.NETWORKS["dict_output"]
        mapping = cp.Network(kind.build())
        given = kind.inputs(2)
        with torch.no_grad():
            hidden = mapping.model(**given)["hidden"]
        assert torch.equal(value(mapping, given, lambda out: out["hidden"][:, 3]), hidden[:, 3])

    @pytest.mark.parametrize(
        "function",
        [lambda y: y, lambda y: y.sum(), lambda y: y[:2, 0], lambda y: 3.0, lambda y: None, lambda y: y[:, :1]],
    )
    def test_not_one_scalar_a_sample(self, net: cp.Network, x: Tensor, function: Any) -> None:
        with pytest.raises(TargetError, match=r"one scalar per sample, \[4\]; it gave"):
            respond(net, x, function)

    def test_not_finite(self, net: cp.Network, x: Tensor) -> None:
        with pytest.raises(NumericalError, match="response is NaN or infinite"):
            respond(net, x, lambda y: y[:, 0] / 0)

    @pytest.mark.parametrize(
        "function", [lambda y: y[:, 0].detach(), lambda y: y.argmax(1), lambda y: torch.ones(4).double()]
    )
    def test_not_differentiable(self, net: cp.Network, x: Tensor, function: Any) -> None:
        with pytest.raises(NumericalError, match="constant"):
            cp.score(net, x, target=function)

    def test_a_target_class_is_not_a_function(self, net: cp.Network, x: Tensor) -> None:
        with pytest.raises(TargetError):
            respond(net, x, cp.Margin)  # forgot to call it


OUTPUTS = {
    "dict with logits": lambda y: {"loss": y.sum(), "logits": y},
    "dict with one tensor": lambda y: {"scores": y, "note": "text"},
    "ordered dict": lambda y: OrderedDict(logits=y, hidden=y + 1),
    "object": tiny.with_logits,
    "tuple of one": lambda y: (y,),
    "tuple with None": lambda y: (None, y),
    "list": lambda y: [y],
    "named tuple": lambda y: Pair(y, y + 1),
}
UNCLEAR = {
    "dict of several": lambda y: {"a": y, "b": y + 1},
    "tuple of two": lambda y: (y, y + 1),
    "empty": lambda y: {},
    "nothing": lambda y: None,
    "string": lambda y: "tabby",
    "nested": lambda y: ([y], 3),
}


class TestOutputs:
    @pytest.mark.parametrize("answer", OUTPUTS.values(), ids=OUTPUTS)
    def test_logits_are_found(self, x: Tensor, logits: Tensor, answer: Any) -> None:
        assert torch.equal(value(mlp(answer), x, 2), logits[:, 2])
        assert torch.equal(value(mlp(answer), x), logits.max(1).values)

    def test_transformers_output(self, x: Tensor, logits: Tensor) -> None:
        outputs = pytest.importorskip("transformers.modeling_outputs")
        net = mlp(lambda y: outputs.SequenceClassifierOutput(logits=y, hidden_states=(y,)))
        assert torch.equal(value(net, x, 2), logits[:, 2])

    @pytest.mark.parametrize("answer", UNCLEAR.values(), ids=UNCLEAR)
    def test_unclear(self, x: Tensor, answer: Any) -> None:
        with pytest.raises(TargetError, match=r"not clear which are the class scores"):
            respond(mlp(answer), x)

    def test_object_whose_logits_are_no_tensor(self, x: Tensor) -> None:
        with pytest.raises(TargetError):
            respond(mlp(lambda y: tiny.with_logits((y,))), x)

    @pytest.mark.parametrize(
        "answer",
        [
            lambda y: y[:, :, None].expand(-1, -1, 3),
            lambda y: y.mean(),
            lambda y: y.repeat(2, 1),
            lambda y: y[:2],
            lambda y: y[:, :0],
        ],
        ids=["three dimensions", "scalar", "twice the batch", "half the batch", "no classes"],
    )
    def test_other_shapes(self, x: Tensor, answer: Any) -> None:
        with pytest.raises(TargetError):
            respond(mlp(answer), x)

    def test_a_function_helps_where_the_shape_does_not(self, x: Tensor, logits: Tensor) -> None:
        net = mlp(lambda y: y[:, :, None].expand(-1, -1, 3))
        assert torch.equal(value(net, x, lambda y: y[:, 1, 0]), logits[:, 1])

    @pytest.mark.parametrize("answer", [lambda y: y, lambda y: y[:, 0]], ids=["[B, 1]", "[B]"])
    def test_one_output(self, x: Tensor, answer: Any) -> None:
        net = mlp(answer, classes=1)
        with torch.no_grad():
            expected = net.model(x).reshape(4)
        assert torch.equal(value(net, x), expected)
        assert torch.equal(value(net, x, 0), expected)
        with pytest.raises(TargetError, match="the model has 1, 0 to 0"):
            respond(net, x, 1)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
    def test_not_finite(self, x: Tensor, bad: float) -> None:
        def answer(y: Tensor) -> Tensor:
            return torch.cat([y[:3], y[3:] * 0 + bad]) if len(y) == 4 else y

        with pytest.raises(NumericalError, match=r"\[4, 5\] is NaN or infinite for samples \[3\]"):
            respond(mlp(answer), x, 0)

    def test_integer_output(self, x: Tensor) -> None:
        with pytest.raises(CritpathError):
            cp.score(mlp(lambda y: (y * 100).long()), x)


def test_settling_twice_changes_nothing(net: cp.Network, x: Tensor) -> None:
    run = net.run(x)
    for target in (Logit(), cp.Probability(2), cp.Margin(), cp.Neuron("body#0", 1), cp.Channel("body#0", 1)):
        once = target.fixed(run)
        assert torch.equal(once.of(run), once.fixed(run).of(run))


def test_double_backward_free_targets_have_gradients(net: cp.Network, x: Tensor) -> None:
    for target in (None, cp.Probability(), cp.Margin(), cp.Neuron("body#1", 1), lambda y: y[:, 0]):
        assert isinstance(net.model, nn.Module)
        assert cp.attribute(net, x + 1, "gradient", target=target).shape == x.shape
