"""A project in a temporary folder, and tiny images to import."""

from collections.abc import Callable
from pathlib import Path

import pytest
from photo_folders import DVC_CONFIG, declared_png_bytes, fake_dvc, noise_image, png, write

from graft.core.project import Project
from graft.data.folder import versioning


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


@pytest.fixture(scope="session")
def photograph() -> Callable[..., Path]:
    """``photograph(path, seed=0, size=(16, 12), mode="RGB")`` writes an image of noise and returns its path."""

    def write_noise(path: Path, seed: int = 0, size: tuple[int, int] = (16, 12), mode: str = "RGB") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise_image(seed, size).convert(mode).save(path)
        return path

    return write_noise


@pytest.fixture(scope="session")
def class_folder(photograph: Callable[..., Path]) -> Callable[..., None]:
    """``class_folder(folder, count, first_seed)`` fills a folder with different images 000.png, 001.png, ..."""

    def fill(folder: Path, count: int, first_seed: int, suffix: str = ".png") -> None:
        for i in range(count):
            photograph(folder / f"{i:03d}{suffix}", first_seed + i)

    return fill


@pytest.fixture(scope="session")
def declared_png() -> Callable[[int, int], bytes]:
    """``declared_png(width, height)``: a PNG whose header claims that size and whose pixels are missing."""
    return declared_png_bytes


@pytest.fixture
def data(tmp_path: Path, class_folder: Callable[..., None]) -> Path:
    """Two class folders of twelve images each: cat as PNG, dog as JPEG."""
    class_folder(tmp_path / "data" / "cat", 12, 0)
    class_folder(tmp_path / "data" / "dog", 12, 100, suffix=".jpg")
    return tmp_path / "data"
