"""Folders of tiny images, and DVC replaced where it is not what is tested."""

import hashlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from graft.core.project import Project
from graft.data.folder import versioning

DVC_CONFIG = "[core]\n    analytics = false\n    no_scm = true\n"


def png(shade: int) -> bytes:
    """A small image; another shade gives other bytes."""
    stream = io.BytesIO()
    Image.new("RGB", (9, 7), (shade % 256, shade // 256, 90)).save(stream, "PNG")
    return stream.getvalue()


def noise_image(seed: int, size: tuple[int, int]) -> Image.Image:
    """An RGB image of noise that follows from the seed."""
    width, height = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def declared_png_bytes(width: int, height: int) -> bytes:
    """A PNG whose header claims a size and whose pixels are cut off: small on disk, however large it says it is."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 20)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


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
