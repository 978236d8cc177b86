"""Photographs through a network: which are found, which part is shown, in which order the answers come."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import CHANNELS, channel_classifier

from graft.bundle.images import UnreadableImageError
from graft.core.errors import GraftError
from graft.deployment.predict import imagenet as classification
from graft.deployment.predict.imagenet import Seen, centre_square, classify, find_photographs

COLOURS = {"red": (200, 20, 10), "green": (10, 200, 20), "blue": (20, 10, 200)}


def write(path: Path, colour: str, size: tuple[int, int] = (20, 12)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, COLOURS[colour]).save(path)
    return path


def encoded(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", **options)
    return stream.getvalue()


def test_folders_are_walked_in_a_fixed_order_and_each_photograph_counts_once(tmp_path: Path) -> None:
    second, first = write(tmp_path / "pets/b.jpg", "red"), write(tmp_path / "pets/a.PNG", "red")
    deeper = write(tmp_path / "pets/more/c.png", "red")
    write(tmp_path / "pets/.hidden/d.png", "red")
    (tmp_path / "pets/notes.txt").write_text("x")
    text = tmp_path / "named.txt"  # what is named is taken, whatever it is called
    assert find_photographs([second, tmp_path / "pets", text, text]) == [second, first, deeper, text]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match=r"holds no images. Those end in .*\.jpg"):
        find_photographs([tmp_path])


def test_each_photograph_is_told_with_the_likeliest_first(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{colour}.png", colour) for colour in ("blue", "red")]
    seen = list(classify(channel_classifier(), paths, top=2))
    assert [one.photograph for one in seen] == paths
    assert [one.guesses[0].label for one in seen] == ["blue", "red"]
    assert [one.guesses[0].index for one in seen] == [2, 0]
    for one in seen:
        first, second = (guess.probability for guess in one.guesses)
        assert 1 >= first > second >= 0
    assert sum(guess.probability for guess in next(classify(channel_classifier(), paths, top=9)).guesses) == (
        pytest.approx(1)
    )


def test_broken_photographs_stop_no_other_and_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classification, "BATCH", 2)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    os.mkfifo(tmp_path / "pipe.png")
    whole = write(tmp_path / "whole.png", "red", (60, 60)).read_bytes()
    (tmp_path / "torn.png").write_bytes(whole[: len(whole) // 2])
    good = write(tmp_path / "good.png", "green")
    names = ["empty.png", "text.png", "good.png", "pipe.png", "torn.png", "missing.png"]
    seen = list(classify(channel_classifier(), [tmp_path / name for name in names], top=1))
    assert [one.photograph.name for one in seen] == names
    problems = {one.photograph.name: one.problem for one in seen}
    assert problems == {
        "empty.png": "the file is empty",
        "text.png": "not an image that can be read, but text",
        "good.png": "",
        "pipe.png": "not a file",
        "torn.png": "the file is truncated or damaged",
        "missing.png": "no such file or directory",
    }
    assert seen[2] == Seen(good, seen[2].guesses)
    assert seen[2].guesses[0].label == CHANNELS[1]


@pytest.mark.parametrize("shape", [(32, 64), (64, 32)])
def test_the_middle_is_shown_and_no_shape_is_bent(shape: tuple[int, int]) -> None:
    height, width = shape
    pixels = np.zeros((height, width, 3), np.uint8)
    # 28 of 32 pixels are in view: what lies outside is blue and must not show.
    pixels[:] = COLOURS["blue"]
    top, left = (height - 28) // 2, (width - 28) // 2
    middle = np.random.default_rng(0).integers(0, 255, (28, 28, 3)).astype(np.uint8)
    pixels[top : top + 28, left : left + 28] = middle
    np.testing.assert_array_equal(centre_square(encoded(pixels), 28), middle)


def test_a_photograph_lying_on_its_side_is_turned_first() -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: its top shows on the right
    shown = centre_square(encoded(pixels, exif=exif), 8)
    assert shown[:, -1].min() == 255
    assert shown[:, 0].max() == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (7, 5)])
def test_any_size_fits(size: tuple[int, int]) -> None:
    assert centre_square(encoded(np.full((*size, 3), 99, np.uint8)), 16).shape == (16, 16, 3)


def test_a_large_jpeg_is_decoded_small_and_looks_the_same() -> None:
    coarse = np.random.default_rng(1).integers(0, 255, (5, 5, 3)).astype(np.uint8)
    picture = Image.fromarray(coarse).resize((800, 600), Image.Resampling.BICUBIC)
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=95)
    small = centre_square(jpeg.getvalue(), 32).astype(int)
    whole = centre_square(encoded(np.asarray(picture)), 32).astype(int)
    assert np.abs(small - whole).mean() < 3


def test_no_image_is_no_square() -> None:
    with pytest.raises(UnreadableImageError, match="the file is empty"):
        centre_square(b"", 8)
