"""A JPEG that lacks its end mark alone is read; one that lacks pixels is refused, whatever stands in their place."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graft.bundle.images import UnreadableImageError, open_image, to_rgb
from graft.bundle.jpeg_file import lacks_its_end

_RANDOM = np.random.default_rng(0)
PHOTOGRAPH = Image.fromarray(np.kron(_RANDOM.integers(0, 256, (9, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8))
WAYS: dict[str, dict[str, Any]] = {
    "baseline": {"quality": 90},
    "progressive": {"quality": 75, "progressive": True},
    "grey": {"quality": 90},
}


def jpeg(way: str) -> bytes:
    stream = io.BytesIO()
    (PHOTOGRAPH.convert("L") if way == "grey" else PHOTOGRAPH).save(stream, "JPEG", **WAYS[way])
    return stream.getvalue()


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(to_rgb(open_image(data)))


@pytest.mark.parametrize("behind", [b"", b"\0", bytes(5000)], ids=["nothing", "a zero", "zeros"])
@pytest.mark.parametrize("way", WAYS)
def test_case_9_a_photograph_without_its_end_mark_is_whole(way: str, behind: bytes) -> None:
    data = jpeg(way)
    assert lacks_its_end(data[:-2] + behind) and not lacks_its_end(data + behind)
    assert np.array_equal(pixels_of(data[:-2] + behind), pixels_of(data))


@pytest.mark.parametrize("behind", [b"", bytes(50_000)], ids=["cut off", "filled up with zeros"])
@pytest.mark.parametrize("way", WAYS)
def test_case_9_half_a_photograph_is_refused(way: str, behind: bytes) -> None:
    data = jpeg(way)
    for missing in (8, 40, len(data) // 4):
        with pytest.raises(UnreadableImageError, match="truncated or damaged"):
            pixels_of(data[:-missing] + behind)


def test_case_9_a_progressive_photograph_without_its_last_scan_is_refused() -> None:
    data = jpeg("progressive")
    with pytest.raises(UnreadableImageError, match="truncated or damaged"):
        pixels_of(data[: data.rindex(b"\xff\xda")])
