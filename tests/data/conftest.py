"""A project in a temporary folder, tiny images to import, and DVC replaced where it is not what is tested."""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from graft.data import versioning
from graft.project import Project

DVC_CONFIG = "[core]\n    analytics = false\n    no_scm = true\n"


def png(shade: int) -> bytes:
    """A small image; another shade gives other bytes."""
    stream = io.BytesIO()
    Image.new("RGB", (9, 7), (shade % 256, shade // 256, 90)).save(stream, "PNG")
    return stream.getvalue()


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its name there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Writes files by name and returns the folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def fake_dvc(project: Project, *arguments: str) -> None:
    """What `dvc add data` leaves in data.dvc, without DVC: tests that are not about DVC save seconds each."""
    assert arguments == ("add", "data")
    assert project.data.is_dir()
    digest = hashlib.md5(repr(sorted(tree(project.data).items())).encode()).hexdigest()
    pointer = versioning.pointer_file(project)
    meta = pointer.read_text().partition("meta:")[2] if pointer.exists() else ""
    kept_meta = f"meta:{meta}" if meta else ""
    pointer.write_text(f"outs:\n- md5: {digest}.dir\n  path: data\n{kept_meta}")


@pytest.fixture
def project(tmp_path) -> Project:
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
            pytest.skip(f"needs {os.path.join('..', 'shared', name)} beside the project")
        return path

    return find
