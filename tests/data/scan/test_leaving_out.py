"""Which images take no part, and why."""

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from graft.core.params.models import ValidateParams, ValidateSeverity
from graft.data.folder.layout import read_layout
from graft.data.scan import scan_images
from graft.data.scan.leaving_out import as_lines, is_unreadable, kind_of, write_left_out
from graft.data.scan.manifest import read_manifest
from graft.data.scan.scan_images import scan

Photograph = Callable[..., Path]


def scanned(data: Path, params: ValidateParams | None = None) -> pd.DataFrame:
    target = data.parent / "manifest.parquet"
    scan(read_layout(data), params or ValidateParams(), target)
    return read_manifest(target)


@pytest.fixture
def odd(data: Path, photograph: Photograph) -> Path:
    """A file for each reason why an image takes no part, beside 24 good ones."""
    cat = data / "cat"
    (cat / "empty.png").touch()
    photograph(cat / "tiny.png", 1, size=(4, 20))
    photograph(cat / "long.png", 2, size=(100, 10))
    photograph(cat / "other.bmp", 3)
    photograph(cat / "large.png", 4, size=(60, 60))
    shutil.copy(cat / "000.png", data / "dog" / "cat.png")
    (cat / "gone.png").symlink_to("/nowhere/gone.png")
    return data


STRICT = ValidateParams(max_pixels=3000, formats=["PNG", "JPEG"], severity=ValidateSeverity(aspect="leave_out"))


def test_every_reason_is_found_and_nothing_else(odd: Path) -> None:
    found = scanned(odd, STRICT).set_index("path")["left_out"]
    assert found[found != ""].to_dict() == {
        "cat/000.png": "two labels: the same bytes as dog/cat.png",
        "cat/empty.png": "unreadable: the file is empty",
        "cat/gone.png": "unreadable: a link that leads out of data/",
        "cat/large.png": "too large: 60x60 is more than 3000 pixels (validate.max_pixels)",
        "cat/long.png": "too long: 100x10, and validate.max_aspect is 4",
        "cat/other.bmp": "another format: BMP, which validate.formats does not name",
        "cat/tiny.png": "too small: 4x20, and validate.min_side_px is 8",
        "dog/cat.png": "two labels: the same bytes as cat/000.png",
    }


def test_a_rule_that_only_warns_leaves_nothing_out(odd: Path) -> None:
    lax = ValidateSeverity(large_enough="warn", known_format="off")
    found = scanned(odd, ValidateParams(formats=["PNG", "JPEG"], severity=lax))["left_out"]
    assert sorted({kind_of(reason) for reason in found if reason}) == ["two labels", "unreadable"]


def test_copies_under_two_labels_are_found_across_groups_of_rows(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scanned(odd, STRICT)
    monkeypatch.setattr(scan_images, "ROWS_PER_GROUP", 5)
    pd.testing.assert_frame_equal(scanned(odd, STRICT), whole)


def test_files_without_pixels_are_told_from_those_that_could_be_used(odd: Path) -> None:
    found = scanned(odd, STRICT)
    assert sorted(found.loc[is_unreadable(found["left_out"]), "path"]) == [
        "cat/empty.png",
        "cat/gone.png",
        "cat/large.png",
    ]


def test_the_list_and_the_short_table_have_them_all(odd: Path) -> None:
    found = scanned(odd, STRICT)
    write_left_out(found, odd.parent / "left_out.csv")
    with (odd.parent / "left_out.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["path"]: row["reason"] for row in rows} == dict(
        found.loc[found["left_out"] != "", ["path", "left_out"]].itertuples(index=False)
    )
    lines = as_lines(found)
    assert " ".join(lines[0].split()) == "two labels 2 such as cat/000.png (the same bytes as dog/cat.png)"
    assert sum(int(line.split("  such as ")[0].split()[-1]) for line in lines) == len(rows) == 8


def test_a_file_without_a_suffix_is_what_its_bytes_are(data: Path) -> None:
    Image.new("RGB", (20, 20), "red").save(data / "cat" / "bare", "JPEG")
    (data / "cat" / "README").write_text("P5 is not the beginning of a picture")
    os.mkfifo(data / "cat" / "pipe")
    found = scanned(data).set_index("path")["left_out"]
    assert found["cat/bare"] == ""
    assert len(found) == 25
