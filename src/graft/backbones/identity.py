"""Names for the code that stands between an image's file and a number: other code, other features."""

from __future__ import annotations

import ast
import functools
import hashlib
from importlib import metadata
from pathlib import Path

BACKBONES = Path(__file__).parent
GRAFT = BACKBONES.parent


def with_imports(path: Path) -> list[Path]:
    """Return a file of source, and the files beside it that it imports by ``from .name``, and those that they do."""
    wanted, found = [path], set()
    while wanted:
        file = wanted.pop()
        found.add(file)
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        modules = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 1]
        wanted += {path.with_name(f"{module}.py") for module in modules if module} - found
    return sorted(found)


# What makes pixels of an image file: it travels with every model and every export.
DECODING = with_imports(GRAFT / "inference" / "images.py")
# What decides what a trunk of given weights answers, by way of the pixels that it is shown.
ANSWERING = (
    *DECODING,
    BACKBONES / "hub.py",
    BACKBONES / "keras_applications.py",
    BACKBONES / "efficientnet_lite.py",
    BACKBONES / "cutting.py",
    GRAFT / "training" / "head.py",
)


@functools.cache
def source_digest(*files: Path) -> str:
    """SHA-256 of the sources in order, as they were when it was first asked for; 16 hex digits."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def code_identity() -> str:
    """Names all code that stands between an image's file and a trunk's answer: graft's own, Keras' and Pillow's."""
    return (
        f"{source_digest(*ANSWERING)}, Keras {metadata.version('keras')}, Pillow {metadata.version('pillow')}"
    )


def building_identity() -> str:
    """Names all code that decides what is built for a backbone's name and its weights' files, and what it answers."""
    return f"{source_digest(*sorted(BACKBONES.glob('*.py')))}, {code_identity()}"
