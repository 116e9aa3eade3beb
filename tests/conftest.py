"""What all tests share: the trained networks and photographs, and how many threads torch may take."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from critpath.zoo import import_torchvision

REPOSITORY = Path(__file__).resolve().parents[1]


def _assets() -> Path:
    return Path(os.environ.get("CRITPATH_ASSETS") or REPOSITORY.parent / "shared" / "assets")


def pytest_configure(config: pytest.Config) -> None:
    """Workers that run side by side share the cores, unless OMP_NUM_THREADS says how many threads each gets.

    torchvision is imported as critpath does it: libraries that import it themselves (transformers, timm) then
    find one that works beside any torch build.
    """
    import_torchvision()
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


def pytest_report_header(config: pytest.Config) -> str:
    if _assets().is_dir():
        return "assets: found, trained networks are tested"
    return "assets: NOT FOUND (set CRITPATH_ASSETS), every test on trained networks is SKIPPED"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "assets" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.assets)


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder with the trained networks and photographs; skips where there is none."""
    if not _assets().is_dir():
        pytest.skip(f"no assets at {_assets()}: set CRITPATH_ASSETS to their folder")
    return _assets()
