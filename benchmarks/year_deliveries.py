"""The deliveries of a simulated year: an even share of the images each week, and in some what goes wrong in life."""

import hashlib
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

# By the share of the year that has passed: what is odd about that week's delivery.
ODD_WEEKS = {
    0.13: "corrupt",
    0.23: "mislabelled",
    0.33: "duplicated",
    0.44: "another camera",
    0.56: "empty",
    0.65: "unknown class",
    0.77: "two in one week",
    0.87: "killed",
    0.94: "nothing",
}


@dataclass(frozen=True)
class Week:
    """A week's deliveries: name and, by path below the delivery, the bytes of each file; and what is odd about it."""

    number: int
    kind: str
    deliveries: dict[str, dict[str, bytes]]


def first_images(pool: Mapping[str, Sequence[Path]], share: float) -> dict[str, list[Path]]:
    """Return what the year begins with: the first share of each class."""
    return {label: list(files[: _first(files, share)]) for label, files in pool.items()}


def make_weeks(pool: Mapping[str, Sequence[Path]], first_share: float, weeks: int) -> list[Week]:
    """Divide the rest of the images, in their order, over the weeks.

    Args:
        pool: by class, image files that may be trained on.
        first_share: of each class, that is there from the beginning.
        weeks: of the year.
    """
    rest = {label: files[_first(files, first_share) :] for label, files in pool.items()}
    kinds = {round(share * weeks): kind for share, kind in ODD_WEEKS.items()}
    made: list[Week] = []
    for number in range(weeks):
        kind = kinds.get(number, "")
        images = {
            f"{label}/{path.name}": path.read_bytes()
            for label, files in rest.items()
            for path in files[number * len(files) // weeks : (number + 1) * len(files) // weeks]
        }
        made.append(Week(number, kind, _deliveries(f"week-{number + 1:02d}", kind, images, made)))
    return made


def put(delivery: dict[str, bytes], folder: Path, inbox: Path, name: str) -> None:
    """Write a delivery beside the inbox, and move it in whole."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path, content in delivery.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    inbox.mkdir(exist_ok=True)
    # A delivery that is one file is that file.
    (folder / name if name in delivery else folder).rename(inbox / name)


def _deliveries(name: str, kind: str, images: dict[str, bytes], before: Sequence[Week]) -> dict[str, dict[str, bytes]]:
    if kind == "nothing":
        return {}
    if kind == "corrupt":
        return {f"{name}.zip": {f"{name}.zip": b"PK\3\4" + hashlib.sha256(name.encode()).digest() * 200}}
    if kind == "empty":
        return {name: {}}
    if kind == "mislabelled":
        labels = sorted({path.split("/")[0] for path in images})
        moved = dict(zip(labels, [*labels[1:], labels[0]], strict=True))
        return {name: {f"{moved[path.split('/')[0]]}/{path.split('/')[1]}": data for path, data in images.items()}}
    if kind == "duplicated":
        return {name: dict(next(iter(before[-1].deliveries.values())))}
    if kind == "another camera":
        return {name: {path: other_camera(data) for path, data in images.items()}}
    if kind == "unknown class":
        return {name: {f"spock/{path.split('/')[1]}": data for path, data in images.items()}}
    if kind == "two in one week":
        half = sorted(images)[::2]
        return {
            f"{name}a": {path: images[path] for path in half},
            f"{name}b": {path: data for path, data in images.items() if path not in half},
        }
    return {name: images}


def other_camera(data: bytes) -> bytes:
    """Make the photograph darker, warmer, softer and noisier, as from a cheap camera in the evening."""
    image = Image.open(io.BytesIO(data)).convert("RGB").filter(ImageFilter.GaussianBlur(1.5))
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(data).digest()[:4]))
    pixels = np.asarray(image, np.float32) * (0.7, 0.6, 0.5) + random.normal(0, 6, (*image.size[::-1], 3))
    out = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=70)
    return out.getvalue()


def _first(files: Sequence[Path], share: float) -> int:
    return max(1, round(share * len(files)))
