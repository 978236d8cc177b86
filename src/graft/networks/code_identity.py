"""Name the code that stands between an image's file and a number: other code, other features."""

from importlib import metadata
from pathlib import Path

from graft.core.params.backbone_params import SOURCES
from graft.core.source_digest import source_digest, with_imports

NETWORKS = Path(__file__).parent
BACKBONES = NETWORKS / "backbones"
# What makes pixels of an image file: it travels with every model and every export.
DECODING = with_imports(NETWORKS.parent / "bundle" / "images.py")
# What decides what a backbone of given weights computes from the pixels that it is shown.
ANSWERING = (
    *DECODING,
    *(BACKBONES / f"{source.module}.py" for source in SOURCES),
    BACKBONES / "efficientnet_lite.py",
    *(BACKBONES / f"onnx_{part}.py" for part in ("graph", "maps", "node", "operations")),
    BACKBONES / "cutting.py",
    BACKBONES / "depths.py",
    NETWORKS / "head.py",
)


def code_identity() -> str:
    """Return a name for all code from an image's file to a backbone's output: graft's own, Keras' and Pillow's."""
    return f"{source_digest(*ANSWERING)}, Keras {metadata.version('keras')}, Pillow {metadata.version('pillow')}"


def building_identity() -> str:
    """Return a name for all code that decides what a backbone's name and weights build, and what that computes."""
    return f"{source_digest(*sorted(BACKBONES.glob('*.py')))}, {code_identity()}"
