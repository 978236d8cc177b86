"""A picture in a few numbers."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from graft.data.scan.fingerprint import THUMBNAIL_BYTES, fingerprint


def photograph(seed: int = 0, width: int = 120, height: int = 90) -> Image.Image:
    """Soft blobs with some grain: something with low and high frequencies."""
    random = np.random.default_rng(seed)
    blobs = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8)).resize((width, height), 3)
    grain = random.normal(0, 8, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(blobs) + grain, 0, 255).astype(np.uint8))


def bits_apart(left: str, right: str) -> int:
    return (int(left, 16) ^ int(right, 16)).bit_count()


def test_a_saved_or_shrunk_copy_hashes_alike_and_another_picture_does_not() -> None:
    picture = photograph()
    hashed = fingerprint(picture).phash
    assert len(hashed) == 16
    assert bits_apart(hashed, fingerprint(picture.resize((80, 60))).phash) <= 4
    assert bits_apart(hashed, fingerprint(photograph(seed=1)).phash) > 15


def test_the_thumbnail_holds_the_mean_colour_of_each_area() -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:2, :2] = [[[200, 0, 0], [0, 100, 0]], [[0, 0, 40], [200, 100, 40]]]
    thumbnail = np.frombuffer(fingerprint(Image.fromarray(pixels)).thumbnail, np.uint8)
    assert thumbnail.size == THUMBNAIL_BYTES
    assert thumbnail.reshape(8, 8, 3)[0, 0].tolist() == [100, 50, 20]
    assert not thumbnail[3:].any()


@pytest.mark.parametrize(("level", "brightness"), [(0, 0.0), (51, 0.2), (255, 1.0)])
def test_brightness_runs_from_black_to_white(level: int, brightness: float) -> None:
    found = fingerprint(Image.new("RGB", (20, 10), (level, level, level)))
    assert found.brightness == pytest.approx(brightness)
    assert found.sharpness == 0


def test_blur_lowers_sharpness() -> None:
    picture = photograph()
    assert fingerprint(picture.filter(ImageFilter.GaussianBlur(2))).sharpness < 0.2 * fingerprint(picture).sharpness


def test_sharpness_compares_across_sizes() -> None:
    picture = photograph(width=256, height=192)
    large = picture.resize((1024, 768), Image.Resampling.NEAREST)
    assert fingerprint(large).sharpness == pytest.approx(fingerprint(picture).sharpness, rel=0.01)


@pytest.mark.parametrize("size", [(1, 1), (2, 500), (500, 2)])
def test_the_smallest_pictures_have_one_too(size: tuple[int, int]) -> None:
    found = fingerprint(Image.new("RGB", size, "red"))
    assert len(found.phash) == 16
    assert len(found.thumbnail) == THUMBNAIL_BYTES
