"""Folders of tiny images, and DVC replaced where it is not what is tested."""

import hashlib
import io
from pathlib import Path

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
