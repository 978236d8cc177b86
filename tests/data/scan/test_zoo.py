"""Every odd or broken file ends as promised, alone and among the others."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zoo
from PIL import Image

from graft.bundle.images import UnreadableImageError, open_image, to_rgb
from graft.core.params.models import ValidateParams
from graft.data.folder.layout import read_layout
from graft.data.scan.manifest import read_manifest
from graft.data.scan.scan_images import ScanSummary, scan


def scanned(root: Path) -> tuple[ScanSummary, pd.DataFrame]:
    target = root.parent / "manifest.parquet"
    summary = scan(read_layout(root), ValidateParams(), target)
    return summary, read_manifest(target).set_index("path")


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> tuple[ScanSummary, pd.DataFrame]:
    """The whole zoo in one class folder, scanned once."""
    root = tmp_path_factory.mktemp("zoo") / "data"
    (root / "animals").mkdir(parents=True)
    made = {name: entry[0] for name, entry in {**zoo.READABLE, **zoo.BROKEN}.items()}
    for name, make in {**made, **zoo.PASSED_OVER}.items():
        (root / "animals" / name).write_bytes(make())
    return scanned(root)


def test_there_are_at_least_sixty() -> None:
    assert len(zoo.READABLE) + len(zoo.BROKEN) + len(zoo.PASSED_OVER) >= 60


def test_nothing_stops_the_scan_and_nothing_is_lost(animals: tuple[ScanSummary, pd.DataFrame]) -> None:
    summary, table = animals
    assert set(table.index) == {f"animals/{name}" for name in (*zoo.READABLE, *zoo.BROKEN)}
    assert (summary.images, summary.left_out) == (len(zoo.READABLE) + len(zoo.BROKEN), len(zoo.BROKEN))


@pytest.mark.parametrize("name", zoo.READABLE)
def test_an_odd_file_is_read(animals: tuple[ScanSummary, pd.DataFrame], name: str) -> None:
    _, form, mode, size = zoo.READABLE[name]
    row = animals[1].loc[f"animals/{name}"]
    assert row["left_out"] == ""
    assert (row["format"], row["mode"], (row["width"], row["height"])) == (form, mode, size)
    assert len(row["phash"]) == 16


@pytest.mark.parametrize("name", zoo.BROKEN)
def test_a_broken_file_is_set_aside_with_its_reason(animals: tuple[ScanSummary, pd.DataFrame], name: str) -> None:
    row = animals[1].loc[f"animals/{name}"]
    assert row["left_out"] != ""
    assert zoo.BROKEN[name][1] in row["left_out"]
    assert row["phash"] == ""


@pytest.mark.parametrize("name", zoo.READABLE)
def test_an_odd_file_shows_its_picture(name: str) -> None:
    image = to_rgb(open_image(zoo.READABLE[name][0]()))
    assert image.mode == "RGB"
    turned = name in {f"orientation {n}.jpg" for n in (5, 6, 7, 8)}
    assert image.size == (zoo.SIZE[::-1] if turned else zoo.SIZE)
    levels = np.asarray(image)
    constant = {"16 bits a colour.png": 128, "16 bits.ppm": 40000 >> 8}
    if name in constant:
        assert np.unique(levels).tolist() == pytest.approx([constant[name]], abs=1)
    else:
        assert levels.std() > 20  # neither clipped to white nor lost in black


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_270),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_90),
    ],
)
def test_every_orientation_is_turned_upright(orientation: int, turned: Image.Transpose | None) -> None:
    stored = to_rgb(open_image(zoo.saved("JPEG")))
    expected = stored if turned is None else stored.transpose(turned)
    np.testing.assert_array_equal(to_rgb(open_image(zoo.oriented(orientation))), expected)


@pytest.mark.parametrize("name", ["animated.gif", "animated.webp", "two pages.tif"])
def test_of_several_frames_the_first_is_shown(name: str) -> None:
    shown = np.asarray(to_rgb(open_image(zoo.READABLE[name][0]())), np.int16)
    differences = [np.abs(shown - np.asarray(zoo.pixels(seed=seed), np.int16)).mean() for seed in (0, 1, 2)]
    assert differences[0] < 0.8 * min(differences[1:])


def test_cmyk_shows_its_colours() -> None:
    plain = np.asarray(zoo.pixels(), np.int16)
    for name in ("cmyk.jpg", "cmyk.tif"):
        shown = np.asarray(to_rgb(open_image(zoo.READABLE[name][0]())), np.int16)
        assert np.corrcoef(shown.ravel(), plain.ravel())[0, 1] > 0.5, name


def test_transparent_parts_show_white() -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (0, 0, 4, 8))
    levels = np.asarray(to_rgb(clear))
    assert levels[0, 0].tolist() == [0, 0, 255]
    assert levels[0, 7].tolist() == [255, 255, 255]


def test_a_text_bomb_costs_its_file_at_most() -> None:
    with pytest.raises(UnreadableImageError):
        to_rgb(open_image(zoo.text_bomb_png()))


@pytest.mark.parametrize("size", [(1, 1), (10_000, 1), (1, 10_000)])
def test_odd_shapes_are_read(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "data" / "lines").mkdir(parents=True)
    Image.new("RGB", size, "red").save(tmp_path / "data" / "lines" / "line.png")
    row = scanned(tmp_path / "data")[1].loc["lines/line.png"]
    assert (row["width"], row["height"]) == size
    assert row["left_out"].startswith("too small: ")


def test_what_is_no_regular_file_does_no_harm(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "cat"
    folder.mkdir(parents=True)
    (tmp_path / "outside.png").write_bytes(zoo.saved("PNG"))
    (folder / "good.png").write_bytes(zoo.saved("PNG"))
    (folder / "inside.png").symlink_to("good.png")
    (folder / "outside.png").symlink_to(tmp_path / "outside.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "folder.png").mkdir()
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "nested.png").write_bytes(zoo.saved("PNG"))
    problems = scanned(tmp_path / "data")[1]["left_out"].to_dict()
    assert {path for path, problem in problems.items() if not problem} == {
        "cat/good.png",
        "cat/inside.png",
        "cat/deep/er/nested.png",
    }
    assert problems["cat/pipe.png"] == "unreadable: not a regular file"
    assert problems["cat/dangling.png"].startswith("unreadable: cannot be opened")
    assert problems["cat/loop.png"].startswith("unreadable: cannot be opened")
    assert set(problems) == {f"cat/{name}" for name in (
        "good.png", "inside.png", "outside.png", "dangling.png", "loop.png", "pipe.png", "deep/er/nested.png",
    )}  # fmt: skip


def test_a_name_that_is_no_text_is_set_aside(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "cat"
    folder.mkdir(parents=True)
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/na\xefve.png")).write_bytes(zoo.saved("PNG"))
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    problems = scanned(tmp_path / "data")[1]["left_out"].to_dict()
    assert list(problems.values()) == ["unreadable: the file's name, or a folder's, is not valid UTF-8"]


def test_a_file_that_may_not_be_read_is_set_aside(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = tmp_path / "data" / "cat" / "locked.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(zoo.saved("PNG"))
    path.chmod(0)
    assert scanned(tmp_path / "data")[1].loc["cat/locked.png", "left_out"].startswith("unreadable: cannot be opened")
