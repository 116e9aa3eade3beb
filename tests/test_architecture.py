"""The design, read from the source: who imports whom, and what is public."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import critpath

PACKAGE = Path(critpath.__file__).parent
ROWS = (
    *("errors", "version", "files", "registry", "options", "verdict", "intervals", "draws"),
    *("accuracy", "descent", "neurons", "pathway"),
    *("network", "memory", "targets", "groups", "response", "baselines", "lines", "store", "contributions"),
    *("selection", "analysis", "attribution", "decoding", "audit", "evaluation", "zoo", "report", "explanation"),
    *("comparison", "runs", "cli"),
)
"""Low to high: a module imports from its own row and from lower ones."""

FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported anywhere in a file, except for type checking only."""
    yield from _imports(ast.parse(path.read_text("utf-8")), path)


def _imports(node: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = _base(child, path)
            yield from ((child.lineno, f"{base}.{alias.name}") for alias in child.names)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in child.orelse:
                yield from _imports(statement, path)
        else:
            yield from _imports(child, path)


def _base(node: ast.ImportFrom, path: Path) -> str:
    if not node.level:
        return node.module or ""
    package = module_name(path).split(".")[: None if path.name == "__init__.py" else -1]
    package = package[: len(package) - (node.level - 1)]
    return ".".join([*package, *([node.module] if node.module else [])])


def row_of(name: str) -> str | None:
    """The row of a name inside the package; the root's own names have none."""
    parts = name.split(".")
    return parts[1] if parts[0] == "critpath" and len(parts) > 1 and parts[1] in ROWS else None


def test_every_module_has_a_row() -> None:
    found = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert found == set(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_imports_go_down(row: str) -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} imports {name}"
        for path in FILES
        if row_of(module_name(path)) == row
        for line, name in imports(path)
        if (other := row_of(name)) is not None and ROWS.index(other) > ROWS.index(row)
    ]
    assert wrong == []


def test_nothing_imports_the_package_root() -> None:
    """Neither ``import critpath`` nor ``from critpath import ...``: a module names the module it needs."""
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} imports {name}"
        for path in FILES
        for line, name in imports(path)
        if name == "critpath" or (name.startswith("critpath.") and row_of(name) is None)
    ]
    assert wrong == []


def test_no_import_by_string() -> None:
    """Imports that ``ast`` cannot see would go around the rule: the root has one, the zoo its optional packages."""
    allowed = {"zoo/packages.py", "zoo/python_file.py"}
    for path in FILES:
        if path.relative_to(PACKAGE).as_posix() not in allowed:
            assert "import_module(" not in path.read_text("utf-8"), path
            assert "__import__(" not in path.read_text("utf-8"), path


def test_report_knows_no_torch() -> None:
    for path in sorted((PACKAGE / "report").rglob("*.py")):
        assert not [name for _, name in imports(path) if name.split(".")[0] == "torch"], path


@pytest.mark.parametrize("package", ["torchvision", "timm", "efficientnet_lite_pytorch", "transformers", "datasets"])
def test_optional_packages_are_the_zoos(package: str) -> None:
    assert users_of(package) <= {"zoo"}


@pytest.mark.parametrize(
    ("package", "rows"),
    [
        ("skimage", {"zoo", "evaluation"}),
        ("scipy", {"evaluation"}),
        ("sklearn", {"zoo", "evaluation"}),
        ("ray", {"runs"}),
        ("yaml", {"runs"}),
        ("pyarrow", {"runs", "zoo"}),
        ("zarr", {"runs"}),
    ],
)
def test_where_other_optional_packages_are_used(package: str, rows: set[str]) -> None:
    assert users_of(package) <= rows


def users_of(package: str) -> set[str | None]:
    """The rows that import a package anywhere."""
    return {row_of(module_name(p)) for p in FILES for _, name in imports(p) if name.split(".")[0] == package}


def test_no_name_of_another_module_is_private() -> None:
    """Across rows, what starts with an underscore is not imported."""
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} imports {name}"
        for path in FILES
        for line, name in imports(path)
        if (other := row_of(name)) is not None
        and other != row_of(module_name(path))
        and any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
    ]
    assert wrong == []


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after running some code."""
    script = f"{code}\nimport sys\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {"torch", "numpy", "PIL", "torchvision", "timm", "transformers", "safetensors", "rich", "jinja2"}


@pytest.mark.parametrize(
    "code",
    [
        "import critpath; critpath.__version__; dir(critpath)",
        "import critpath.cli",
        "from critpath.cli import main; main(['--version'], standalone_mode=False) if 0 else None",
    ],
)
def test_import_is_light(code: str) -> None:
    assert loaded_by(code) & HEAVY == set()


def test_report_runs_without_torch() -> None:
    assert "torch" not in loaded_by("import critpath.report")


def test_core_runs_without_the_extras() -> None:
    found = loaded_by("import critpath; critpath.Network; critpath.explain; critpath.zoo if 0 else None")
    assert "torch" in found
    assert found & {"torchvision", "timm", "transformers", "efficientnet_lite_pytorch", "skimage"} == set()


STABLE = {
    "decode",
    "linear_radius",
    "Network",
    "NeuronSpace",
    "NeuronValues",
    "Pathway",
    "Explanation",
    "score",
    "select",
    "find_pathway",
    "attribute",
    "explain",
    "overlap",
    "contribution_names",
    "finder_names",
    "attribution_names",
}
"""Names that the design promises."""

PUBLIC = STABLE | {
    "Accuracy",
    "Budget",
    "Channel",
    "CritpathError",
    "Decoded",
    "Direction",
    "Faithfulness",
    "FinderComparison",
    "GroupValues",
    "LinearRadius",
    "Margin",
    "Neuron",
    "Overlap",
    "PathwayComparison",
    "Probability",
    "Response",
    "Search",
    "SearchWarning",
    "Site",
    "SiteActivation",
    "ToleranceWarning",
    "TopExamples",
    "UnitMaps",
    "__version__",
    "check_linear",
    "class_pathways",
    "compare_finders",
    "compare_pathways",
    "conductance_maps",
    "connected_part",
    "dead_share",
    "deletion",
    "efficient_mprt",
    "explainer",
    "f_fidelity",
    "faithfulness",
    "feature_selection",
    "fgsm",
    "find_budget",
    "gradient_stability",
    "insertion",
    "load_pathway",
    "load_values",
    "map_agreement",
    "mean_activations",
    "nearest",
    "nesting",
    "parameter_randomisation",
    "pgd",
    "pixel_perturbation",
    "respond",
    "roar",
    "save_pathway",
    "save_values",
    "score_many",
    "sketch",
    "summarise",
    "top_examples",
    "top_neuron",
}


class TestPublicNames:
    def test_all_is_sorted(self) -> None:
        names = [name for name in critpath.__all__ if not name.startswith("__")]
        assert names == sorted(names)
        assert len(set(critpath.__all__)) == len(critpath.__all__)
        assert dir(critpath) == sorted(critpath.__all__)

    def test_all_is_what_is_documented(self) -> None:
        assert set(critpath.__all__) == PUBLIC

    @pytest.mark.parametrize("name", sorted(PUBLIC))
    def test_importable_and_described(self, name: str) -> None:
        value = getattr(critpath, name)
        if name == "__version__":
            assert isinstance(value, str)
            return
        assert inspect.getdoc(value)
        assert value.__module__.startswith("critpath.")
        assert value.__name__ == name

    def test_each_is_imported_alone(self) -> None:
        """Whatever comes first, every method is registered afterwards."""
        code = "import critpath; critpath.errors if 0 else None; critpath.Site; from critpath.registry import FAMILIES"
        script = f"{code}\nprint(*sorted(name for f in FAMILIES for name in f.names()))"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        expected = {*critpath.contribution_names(), *critpath.finder_names(), *critpath.attribution_names()}
        assert set(done.stdout.split()) == expected

    def test_type_checkers_see_the_same_names(self) -> None:
        tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
        block = next(n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test))
        seen = {
            alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
        }
        assert seen == {name: f"critpath.{module}" for name, module in critpath._PUBLIC.items()}

    def test_unknown_name(self) -> None:
        with pytest.raises(AttributeError, match="no attribute 'scores'"):
            critpath.scores  # noqa: B018
        with pytest.raises(ImportError):
            from critpath import scores  # noqa: F401

    def test_star(self) -> None:
        names: dict[str, object] = {}
        exec("from critpath import *", names)
        assert set(critpath.__all__) <= set(names)


def test_typed_marker_is_there() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_version_has_one_source() -> None:
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    assert "version" in project["dynamic"]
    assert importlib.import_module("critpath.version").__version__ == critpath.__version__


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 500
