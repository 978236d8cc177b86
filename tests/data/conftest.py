"""A project in a temporary folder, and tiny images to import."""

from collections.abc import Callable
from pathlib import Path

import pytest
from photo_folders import DVC_CONFIG, fake_dvc, png, write

from graft.data import versioning
from graft.project import Project


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    monkeypatch.delenv("GRAFT_CACHE", raising=False)
    root = write(tmp_path / "project", {"params.yaml": b"{}\n", "dvc.yaml": b"stages: {}\n"})
    write(root, {".dvc/config": DVC_CONFIG.encode()})
    return Project(root)


@pytest.fixture
def quick_dvc(monkeypatch):
    monkeypatch.setattr(versioning, "run_dvc", fake_dvc)


@pytest.fixture
def photos() -> dict[str, bytes]:
    """Six images in two class folders."""
    return {f"{label}/{i}.png": png(100 * k + i) for k, label in enumerate(("cat", "dog")) for i in range(3)}


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """A file of the material beside the project; the test skips where it is not there."""

    def find(name: str) -> Path:
        path = Path(__file__).parents[3] / "shared" / name
        if not path.exists():
            pytest.skip(f"needs ../shared/{name} beside the project")
        return path

    return find
