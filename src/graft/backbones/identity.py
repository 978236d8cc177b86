"""Names for the code that stands between an image's file and a number: other code, other features."""

from __future__ import annotations

import functools
import hashlib
from importlib import metadata
from pathlib import Path

BACKBONES = Path(__file__).parent
GRAFT = BACKBONES.parent
# What decides what a trunk of given weights answers, by way of the pixels that it is shown.
ANSWERING = (
    GRAFT / "inference" / "images.py",
    GRAFT / "inference" / "depth.py",
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
