"""What is seen of a model: sites, names, wrappers, and what is refused."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from tests.reference import naive
from tests.reference.twins import ARCHITECTURES, KINDS, Case, Reused, case_of, reused_twin
from torch import Tensor, nn

import critpath as cp
from critpath import errors


def mlp(*middle: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), *middle, nn.Linear(6, 3)).double().eval()


def x(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


# --------------------------------------------------------------------------------------------------- sites
def test_a_reused_module_in_torchvision_resnet50_gives_a_site_for_every_call() -> None:
    from critpath.zoo import import_torchvision

    model = import_torchvision().models.resnet50().eval()
    space = cp.Network(model).sites(torch.randn(1, 3, 64, 64))
    assert sum(isinstance(m, nn.ReLU) for m in model.modules()) == 17
    assert len(space) == 49
    assert space.names[:5] == ("relu#0", "layer1.0.relu#0", "layer1.0.relu#1", "layer1.0.relu#2", "layer1.1.relu#0")
    assert space["layer4.2.relu#2"].shape == (2048, 2, 2)


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_and_its_guarantees_are_known(name: str) -> None:
    case = case_of(name)
    site = cp.Network(case.model).sites(case.x).sites[0]
    z = torch.linspace(-9, 9, 2001, dtype=torch.float64, requires_grad=True)
    a = KINDS[name][1](z)
    (slope,) = torch.autograd.grad(a.sum(), z, create_graph=True)
    curved = torch.autograd.grad(slope.sum(), z)[0].abs().max() > 1e-9 if slope.requires_grad else False
    assert site.piecewise_linear == (not curved)
    assert site.rectifying == (site.piecewise_linear and bool((a >= 0).all()))


def test_channels_are_where_the_layer_before_put_them() -> None:
    space = cp.Network(case_of("dense").model).sites(case_of("dense").x)
    assert next((s.shape, s.channel_dim) for s in space) == ((2, 4, 4), 0)
    tokens = cp.Network(case_of("attention").model).sites(case_of("attention").x)
    assert [(s.shape, s.channel_dim) for s in tokens] == [((5, 5), 1)]
    folded = cp.Network(case_of("windows").model).sites(case_of("windows").x)
    assert [(s.shape, s.channel_dim) for s in folded] == [((5, 2, 6), 2)]


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 8])
def test_the_batch_is_found_where_sizes_are_ambiguous(batch: int) -> None:
    """Sequence-first tensors of a batch as long as the sequence; a batch as large as the channels."""
    for case in (case_of("sequence first"), case_of("encoder")):
        inputs = x(batch, batch, 8)
        space = cp.Network(case.model).sites(inputs)
        assert [s.shape for s in space] == [(batch, 6)]
        whole = cp.score(cp.Network(case.model), inputs).flatten()
        alone = torch.cat([cp.score(cp.Network(case.model), inputs[i : i + 1]).flatten() for i in range(batch)])
        assert torch.allclose(whole, alone, atol=1e-12)


def test_a_convolution_with_as_many_channels_as_samples() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).double().eval()
    assert cp.Network(model).sites(x(4, 3, 2, 2)).sites[0].shape == (4, 2, 2)


def test_an_activation_that_belongs_to_no_sample_is_left_out_with_the_reason() -> None:
    case = case_of("gated")
    diagnosis = cp.Network(case.model).doctor(case.x)
    assert ("#1", "no gradient reaches it from the input") in diagnosis.not_covered


def test_only_and_also() -> None:
    case = case_of("dense")
    assert cp.Network(case.model, only=["act#*"]).sites(case.x).names == ("act#0", "act#1", "act#2")
    assert cp.Network(case.model, also=["a", "out"]).sites(case.x).names == (
        "a#0",
        "act#0",
        "#0",
        "act#1",
        "act#2",
        "out#0",
    )
    attention = case_of("attention")
    net = cp.Network(attention.model, also=["attention"])
    assert net.sites(attention.x).names == ("attention#0", "#0")
    assert cp.score(net, attention.x)["attention#0"].shape == (3, 5, 8)
    with pytest.raises(errors.OptionError, match="'nothing', which is no module"):
        cp.Network(case.model, also=["nothing"])
    with pytest.raises(errors.NoSitesError, match="left out by only="):
        cp.Network(case.model, only=["x"]).sites(case.x)


def test_a_module_as_a_site_can_be_rewritten() -> None:
    case = case_of("attention")
    net = cp.Network(case.model, also=["attention"])
    ours = net.run(case.x, lambda site, a: a * 0 if site.name == "attention#0" else a).output

    class Silent(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor, **options: object) -> tuple[Tensor, None]:
            return q * 0, None

    case.model.attention = Silent()
    assert torch.equal(ours, case.model(case.x))


def test_hand_written_activations_of_other_libraries_are_one_site() -> None:
    from transformers.activations import NewGELUActivation, QuickGELUActivation

    model = mlp(NewGELUActivation(), nn.Linear(6, 6).double(), QuickGELUActivation())
    space = cp.Network(model).sites(x(2, 4))
    assert space.names == ("1#0", "3#0")
    assert [site.kind for site in space] == ["NewGELUActivation", "QuickGELUActivation"]
    inside = F.gelu(model[0](x(2, 4)), approximate="tanh")
    assert torch.allclose(cp.Network(model).run(x(2, 4)).values()["1#0"], inside)


# --------------------------------------------------------------------------------------------- rewriting
@pytest.mark.parametrize("name", [*KINDS, *ARCHITECTURES])
def test_rewriting_a_site_is_what_the_twin_does(name: str) -> None:
    case = case_of(name)
    numbers = {site: i for i, site in enumerate(case.sites)}
    ours = cp.Network(case.model).run(case.x, lambda site, a: a * (0.3 + numbers[site.name]))
    theirs = case.twin(case.model, case.x, lambda i, a: a * (0.3 + i))
    assert torch.allclose(case.logits(ours.output), theirs, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", [*KINDS, *ARCHITECTURES])
def test_observation_changes_no_bit_of_the_output(name: str) -> None:
    case = case_of(name)
    output = cp.Network(case.model).run(case.x).output
    args = (case.x,) if isinstance(case.x, Tensor) else case.x
    with torch.enable_grad():  # the plain path: inference without gradients may take torch's fused one
        plain = case.model(**args) if isinstance(args, dict) else case.model(*args)
    if name in (
        "encoder",
        "sequence first",
        "attention",
    ):  # torch's linear takes another route without weight gradients
        assert torch.allclose(case.logits(output), case.logits(plain), rtol=1e-13)
    else:
        assert torch.equal(case.logits(output), case.logits(plain))


# ------------------------------------------------------------------------------------- inputs and outputs
@dataclass
class Output:
    logits: Tensor
    other: Tensor


@pytest.mark.parametrize("wrap", [
    lambda t: Output(t, t * 2), lambda t: {"logits": t, "z": t}, lambda t: (t,), lambda t: [t],
    lambda t: namedtuple("Out", "only")(t), lambda t: {"out": t},
])  # fmt: skip
def test_outputs_of_every_form(wrap: object) -> None:
    class Wrapped(nn.Sequential):
        def forward(self, x: Tensor) -> object:
            return wrap(super().forward(x))  # type: ignore[operator]

    plain = mlp(nn.ReLU())
    model = Wrapped(*plain).eval()
    assert torch.equal(cp.score(cp.Network(model), x(2, 4)).flatten(), cp.score(cp.Network(plain), x(2, 4)).flatten())


def test_a_hugging_face_model_by_keywords() -> None:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
                        max_position_embeddings=16, num_labels=3)  # fmt: skip
    model = BertForSequenceClassification(config).double().eval()
    tokens = {"input_ids": torch.randint(0, 30, (2, 6)), "attention_mask": torch.ones(2, 6, dtype=torch.long)}
    net = cp.Network(model)
    scores = cp.score(net, tokens)
    kinds = {site.name: site.kind for site in scores.space}
    assert kinds == {
        "bert.encoder.layer.0.intermediate.intermediate_act_fn#0": "GELUActivation",
        "bert.encoder.layer.1.intermediate.intermediate_act_fn#0": "GELUActivation",
        "bert.pooler.activation#0": "tanh",
    }
    embedded = {"inputs_embeds": model.bert.embeddings.word_embeddings(tokens["input_ids"]).detach(),
                "attention_mask": tokens["attention_mask"]}  # fmt: skip
    assert torch.allclose(cp.score(net, embedded).flatten(), scores.flatten(), atol=1e-12)
    assert cp.attribute(net, embedded)["inputs_embeds"].shape == (2, 6, 8)
    maps = [cp.attribute(net, x, "integrated_gradients", points=4) for x in (tokens, embedded)]
    assert torch.allclose(maps[0]["input_ids"], maps[1]["inputs_embeds"].sum(dim=-1), atol=1e-12)


def test_tokens_through_a_bare_parameter() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = nn.Parameter(torch.randn(9, 5)), nn.Linear(5, 3)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.out(F.relu(self.table[tokens]).mean(1))

    model = Table().double().eval()
    tokens = torch.randint(0, 9, (2, 4))
    scores = cp.score(cp.Network(model), tokens, target=1)
    expected = F.relu(model.table[tokens]) * model.out.weight[1] / 4
    assert torch.allclose(scores["#0"], expected)


def test_dead_ends_get_zero() -> None:
    case = case_of("dense")
    assert not cp.score(cp.Network(case.model), case.x)["act#1"].any()


# ------------------------------------------------------------------------------------------- wrapped models
def test_a_compiled_model_is_run_uncompiled() -> None:
    case = case_of("reused")
    expected = cp.score(cp.Network(case.model), case.x)
    compiled = torch.compile(case_of("reused").model, backend="eager")
    compiled(case.x)
    got = cp.score(cp.Network(compiled), case.x)
    assert got.space.names == case.sites
    assert torch.equal(got.flatten(), expected.flatten())


def test_a_compiled_part_is_run_uncompiled() -> None:
    inner = nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=True)).double()
    model = mlp(nn.ReLU(), inner)
    expected = cp.score(cp.Network(model), x(2, 4)).flatten()
    model[2] = torch.compile(inner, backend="eager")
    with torch.no_grad():
        model(x(2, 4))
    assert cp.Network(model).sites(x(2, 4)).names == ("1#0", "2.1#0")
    assert torch.equal(cp.score(cp.Network(model), x(2, 4)).flatten(), expected)
    model[2] = inner
    inner.compile(backend="eager")
    with torch.no_grad():
        model(x(2, 4))
    assert torch.equal(cp.score(cp.Network(model), x(2, 4)).flatten(), expected)


def test_data_parallel_is_unwrapped() -> None:
    model = mlp(nn.ReLU())
    assert cp.Network(nn.DataParallel(model)).sites(x(2, 4)).names == ("1#0",)


def test_torchscript_is_refused_with_the_reason() -> None:
    with pytest.warns(DeprecationWarning, match="script"):
        scripted = torch.jit.script(mlp(nn.ReLU()))
    with pytest.raises(errors.UnsupportedModelError, match="TorchScript module"):
        cp.Network(scripted)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_is_refused_or_left_out(reentrant: bool) -> None:
    from torch.utils.checkpoint import checkpoint

    class Saving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.out = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, t: Tensor) -> Tensor:
            return self.out(F.relu(checkpoint(lambda z: torch.tanh(self.one(z)), t, use_reentrant=reentrant)))

    net = cp.Network(Saving().double().eval())
    if reentrant:  # its inside runs without gradients, and is no site
        found = net.doctor(x(2, 4))
        assert [r.site.name for r in found.sites] == ["#0"]
        assert any("gradients are off" in reason for _, reason in found.not_covered)
    else:
        with pytest.raises(errors.UnsupportedModelError, match="one uses gradient checkpointing"):
            net.sites(x(2, 4))


def test_the_callers_own_saved_tensor_hooks_do_not_matter() -> None:
    case = case_of("reused")
    expected = cp.score(cp.Network(case.model), case.x).flatten()
    with torch.autograd.graph.save_on_cpu():
        assert torch.equal(cp.score(cp.Network(case.model), case.x).flatten(), expected)


def test_other_wrong_models() -> None:
    with pytest.raises(errors.ModelError, match=r"nn\.Module is needed, got function"):
        cp.Network(lambda t: t)
    with pytest.raises(errors.UnsupportedModelError, match="meta device"):
        cp.Network(nn.Sequential(nn.Linear(2, 2, device="meta"), nn.ReLU()).eval())


def test_training_mode_is_an_error_that_says_so() -> None:
    with pytest.raises(errors.TrainingModeError, match=r"Call model\.eval\(\) first"):
        cp.Network(mlp(nn.ReLU()).train())
    model = mlp(nn.ReLU(), nn.Dropout())
    net = cp.Network(model)
    model[2].train()
    with pytest.raises(errors.TrainingModeError, match=r"part of it is in training mode \(2\)"):
        cp.score(net, x(2, 4))
    assert len(cp.Network(model, allow_training=True).sites(x(2, 4))) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_model_in_another_dtype(dtype: torch.dtype) -> None:
    net = cp.Network(mlp(nn.ReLU()).to(dtype))
    assert cp.attribute(net, x(2, 4).to(dtype)).dtype == dtype
    with pytest.raises(errors.ForwardError, match="The input was 0: float64\\[2, 4\\] on cpu; its parameters are"):
        cp.score(net, x(2, 4))


# ---------------------------------------------------------------------------------------------- bad inputs
def test_wrong_inputs() -> None:
    net = cp.Network(mlp(nn.ReLU()))
    with pytest.raises(errors.InputError, match="holds 1 values that are NaN"):
        cp.score(net, torch.tensor([[1.0, float("nan"), 0, 0]], dtype=torch.float64))
    with pytest.raises(errors.InputError, match="NaN or infinite"):
        cp.score(net, torch.full((1, 4), float("inf"), dtype=torch.float64))
    with pytest.raises(errors.InputError, match=r"shape \[0, 4\]"):
        cp.score(net, x(0, 4))
    with pytest.raises(errors.InputError, match=r"shape \[\]"):
        cp.score(net, torch.tensor(1.0))
    with pytest.raises(errors.InputError, match="the input is str"):
        cp.score(net, "cat.jpg")
    with pytest.raises(errors.InputError, match="holds no tensor"):
        cp.score(net, {"a": 1})
    with pytest.raises(errors.ForwardError, match=r"The input was 0: float64\[2, 5\]"):
        cp.score(net, x(2, 5))


def test_no_sites_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(errors.NoSitesError, match="also="):
        cp.Network(mlp()).sites(x(2, 4))
    lstm = nn.LSTM(4, 3, batch_first=True).double().eval()
    with pytest.raises(errors.NoSitesError, match="LSTM kernel"):
        cp.Network(lstm).sites(x(2, 5, 4))


def test_a_run_without_a_graph_cannot_go_back() -> None:
    run = cp.Network(mlp(nn.ReLU())).run(x(2, 4), graph=False)
    with pytest.raises(RuntimeError, match="graph=False"):
        run.input_gradients(run.output[:, 0])


def test_a_constant_response_is_an_error() -> None:
    dead = mlp(nn.ReLU())
    with torch.no_grad():
        dead[0].bias.fill_(-100)
    with pytest.raises(errors.NumericalError, match=r"no neuron contributes to the response of samples \[0, 1\]"):
        cp.score(cp.Network(dead), x(2, 4))

    class Constant(nn.Module):
        def forward(self, t: Tensor) -> Tensor:
            return F.relu(t).detach()

    with pytest.raises(errors.NumericalError, match="constant"):
        cp.score(cp.Network(Constant().eval()), x(2, 4))


def test_infinite_weights_are_an_error() -> None:
    model = mlp(nn.ReLU())
    with torch.no_grad():
        model[2].weight[0, 0] = float("inf")
    with pytest.raises(errors.NumericalError):
        cp.score(cp.Network(model), x(2, 4))


# -------------------------------------------------------------------------------------------------- doctor
def test_the_doctor_says_how_the_model_is_written() -> None:
    case = Case("", Reused().double().eval(), x(2, 3, 5, 5), reused_twin, ())
    found = cp.Network(case.model).doctor(case.x)
    assert [r.site.name for r in found.sites] == [f"relu#{i}" for i in range(4)]
    assert all(r.reused and r.in_place and not r.functional for r in found.sites)
    assert found.identical
    assert found.not_covered == ()
    rows = {p.method: (p.forwards, p.backwards) for p in found.predictions}
    assert rows["taylor"] == (1, 1)
    assert rows["pathway_gradient"] == (1, 2)
    assert {*cp.contribution_names(), *cp.attribution_names()} <= set(rows)
    assert all(p.seconds >= 0 and p.peak_bytes > 0 for p in found.predictions)
    text = str(found)
    assert "4 sites, 300 neurons a sample" in text
    assert "bit-identical" in text


def test_the_doctor_names_what_is_not_covered() -> None:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, z: Tensor) -> Tensor:
            ctx.save_for_backward(z)  # type: ignore[attr-defined]
            return z * torch.sigmoid(z)

        @staticmethod
        def backward(ctx: object, g: Tensor) -> Tensor:
            (z,) = ctx.saved_tensors  # type: ignore[attr-defined]
            return g * torch.sigmoid(z)

    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 4, batch_first=True)
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, t: Tensor) -> Tensor:
            t = Square.apply(F.relu(t))
            t = self.lstm(t)[0]
            t = self.attention(t, t, t, need_weights=False)[0]
            t = torch.where(t > 0, t, t * 0.5)
            return F.max_pool1d(F.glu(t), 2).mean(1)

    found = cp.Network(Hidden().double().eval()).doctor(x(2, 5, 4))
    reasons = " | ".join(reason for _, reason in found.not_covered)
    for words in ("LSTM kernel", "MultiheadAttention", "GLU", "custom autograd function Square", "torch.where",
                  "max-pooling", "gradients are off"):  # fmt: skip
        assert words in reasons


def test_the_doctor_compares_with_the_fused_path() -> None:
    case = case_of("encoder")
    found = cp.Network(case.model).doctor(case.x)
    assert found.deviation < 1e-9


def test_the_prediction_of_memory_is_that_of_the_graph_and_the_scores() -> None:
    model = nn.Sequential(nn.Linear(64, 512), nn.Tanh(), nn.Linear(512, 2)).eval()
    rows = {p.method: p.peak_bytes for p in cp.Network(model).doctor(torch.randn(100, 64)).predictions}
    assert rows["taylor"] - rows["gradient"] == 100 * 512 * 4
    assert 100 * 512 * 4 <= rows["gradient"] <= 3 * 100 * 512 * 4


def test_the_naive_reference_itself() -> None:
    """The oracle, checked by hand: Φ = w relu(v x)."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False)).double().eval()
    with torch.no_grad():
        model[0].weight.fill_(3.0)
        model[2].weight.fill_(-2.0)

    def twin(m: nn.Sequential, t: Tensor, rule: object) -> Tensor:
        return m[2](rule(0, torch.relu(m[0](t))))  # type: ignore[operator]

    case = Case("", model, torch.tensor([[5.0]], dtype=torch.float64), twin, ("1#0",))
    assert [(float(a), float(g)) for a, g in naive.activations_and_gradients(case)] == [(15.0, -2.0)]
    assert float(naive.input_gradients(case)[0]) == -6.0
    assert float(cp.score(cp.Network(model), case.x).flatten()) == -30.0
