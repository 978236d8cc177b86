"""Images of a split as one array."""

import functools
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graft.bundle.images import decode
from graft.core.errors import GraftError
from graft.core.files import sha256_of
from graft.networks import decode_images as images_module
from graft.networks.decode_images import Photographs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Forty images, each of its own size and shade."""
    (tmp_path / "data" / "cat").mkdir(parents=True)
    for index in range(40):
        Image.new("RGB", (10 + index, 30 - index // 2), (5 * index, 0, 255 - 5 * index)).save(
            tmp_path / "data" / "cat" / f"{index:02d}.png"
        )
    return tmp_path / "data"


def names(root: Path) -> list[str]:
    # Not in the order of the folder.
    return [f"cat/{index:02d}.png" for index in (*range(20, 40), *range(20))]


@functools.cache
def hashes(root: Path) -> list[str]:
    """Of the files as they were first."""
    return [sha256_of(root / name) for name in names(root)]


def load_images(root: Path, **options: Any) -> np.ndarray:
    return images_module.load_images(root, names(root), hashes(root), 12, "images", **options)


def test_images_come_in_the_order_of_the_names_and_at_the_size_asked_for(root: Path) -> None:
    images = load_images(root)
    assert images.shape == (40, 12, 12, 3)
    assert images.dtype == np.uint8
    for image, name in zip(images, names(root), strict=True):
        np.testing.assert_array_equal(image, decode((root / name).read_bytes(), 12))


def test_what_does_not_fit_into_memory_is_the_same_on_disk(root: Path) -> None:
    in_memory = load_images(root)
    on_disk = load_images(root, in_memory_bytes=1000)
    assert not isinstance(in_memory, np.memmap)
    assert isinstance(on_disk, np.memmap)
    np.testing.assert_array_equal(on_disk, in_memory)
    # Slices by index, as batches take them.
    np.testing.assert_array_equal(on_disk[[3, 1, 30]], in_memory[[3, 1, 30]])


def test_no_images_are_an_empty_array(root: Path) -> None:
    assert images_module.load_images(root, [], [], 12).shape == (0, 12, 12, 3)


def test_a_file_that_is_gone_is_named(root: Path) -> None:
    hashes(root)  # of the file while it was there
    (root / "cat" / "07.png").unlink()
    with pytest.raises(GraftError, match=r"data/cat/07.png cannot be read any more .*dvc repro"):
        load_images(root)


def test_c2_bytes_that_are_not_those_of_the_table_are_refused(root: Path) -> None:
    digests = hashes(root)
    (root / "cat" / "07.png").write_bytes((root / "cat" / "08.png").read_bytes())
    said = r"data/cat/07.png holds other bytes than the table says.*dvc repro"
    with pytest.raises(GraftError, match=said):
        load_images(root)
    with pytest.raises(GraftError, match=said):
        Photographs(root, names(root), digests, 12).at(np.array([names(root).index("cat/07.png")]))


def test_a_file_that_is_no_image_is_named(root: Path) -> None:
    (root / "cat" / "07.png").write_bytes(b"")
    with pytest.raises(GraftError, match=r"data/cat/07.png cannot be read any more \(the file is empty\)"):
        load_images(root)


def test_images_that_validation_let_pass_are_not_refused_for_their_size(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # params.validate.max_pixels may be above what a served model accepts.
    monkeypatch.setattr("graft.bundle.images.DEFAULT_MAX_PIXELS", 10)
    assert load_images(root).shape[0] == 40


def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    with pytest.raises(GraftError, match=r"need 0.0 GiB in .* \(No space left on device\).*Free some space there"):
        load_images(root, in_memory_bytes=1000)


def test_pages_that_are_given_back_come_again_from_the_file() -> None:
    array = images_module.large_array((1000, 1024), np.float32, in_memory_bytes=1000)
    assert isinstance(array, np.memmap)
    array[:] = np.arange(1000)[:, None]
    for part in (array, array[10:20], np.empty(3), np.asarray(array)[5:]):
        images_module.release_pages(part)
    np.testing.assert_array_equal(array[:, 7], np.arange(1000))


def test_rows_are_the_same_from_memory_and_from_a_file() -> None:
    in_file = images_module.large_array((100, 4), np.float32, in_memory_bytes=0)
    in_file[:] = np.arange(400).reshape(100, 4)
    indices = np.random.default_rng(0).permutation(100)[:77]
    found = images_module.rows_of(in_file, indices)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, images_module.rows_of(np.array(in_file), indices))


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux, which tells what of a file is held")
def test_neither_decoding_nor_reading_holds_a_file_in_memory(root: Path) -> None:
    image = Photographs(root, names(root)[:1] * 400, hashes(root)[:1] * 400, 96)
    image.inputs = images_module.load_images(root, image.paths, image._sha256, 96, in_memory_bytes=0)
    assert held(image.inputs) < image.inputs.nbytes / 4
    for images in (image, images_module.DecodedImages(image.inputs)):
        assert len(images.at(np.arange(400))) == 400
        assert held(image.inputs) < image.inputs.nbytes / 4


def held(array: np.ndarray) -> int:
    """Bytes of a mapped file that are in the memory of this process."""
    start = f"{array.ctypes.data:x}-"
    blocks = re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    (found,) = [re.findall(r"Rss: +([0-9]+) kB", block) for block in blocks if block.startswith(start)]
    return int(found[0]) * 1024
