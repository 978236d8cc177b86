"""Each rule on the raw images by itself: only it fails, and its severity decides what that means."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import frame, scene, write_picture
from PIL import Image
from test_expectations import Checked, again, checked

from graft.bundle.images import READABLE_FORMATS
from graft.core.params.models import Format, ValidateParams, ValidateSeverity
from graft.data.checks.check_verdict import raise_for, read_verdict
from graft.data.checks.photograph_rules import _checks
from graft.data.checks.photograph_tables import photograph_tables
from graft.data.scan.manifest import read_class_folders, read_manifest
from graft.data.scan.near_duplicates import read_near_duplicates

Breaker = Callable[[Path], dict[str, Any]]
FEW = {"min_images_per_class": 3, "max_left_out": 1.0}
ABOUT_IMAGES = ("readable", "large_enough", "known_format", "aspect", "no_conflicting_labels")  # these stop nothing


def plain(root: Path, official: bool = False) -> None:
    """Two classes of four different pictures, which break no rule."""
    for split in ("train", "test") if official else ("",):
        for position, label in enumerate(("cat", "dog")):
            for number in range(4):
                seed = 100 * position + number + (1000 if split == "test" else 0)
                write_picture(scene(seed), root / split / label / f"{number}.png")


def broken_file(root: Path) -> dict[str, Any]:
    plain(root)
    (root / "cat" / "empty.png").touch()
    return {}


def small(root: Path) -> dict[str, Any]:
    plain(root)
    write_picture(scene(50, (7, 9)), root / "cat" / "small.png")
    return {}


def other_format(root: Path) -> dict[str, Any]:
    plain(root)
    write_picture(scene(50), root / "cat" / "other.bmp")
    return {"formats": ["PNG", "JPEG"]}


def twelve_bits(root: Path) -> dict[str, Any]:
    plain(root)
    for seed in (60, 61):
        samples = np.random.default_rng(seed).integers(0, 4096, (40, 40), np.uint16)
        Image.fromarray(samples).save(root / "cat" / f"deep-{seed}.png")
    return {}


def test_c10_one_image_of_the_full_range_says_that_the_others_are_dark(tmp_path: Path) -> None:
    root = tmp_path / "data"
    twelve_bits(root)
    Image.fromarray(np.random.default_rng(62).integers(0, 65536, (40, 40), np.uint16)).save(root / "cat" / "all.png")
    assert "full_range" not in checked(root, ValidateParams(**FEW)).broken


def long(root: Path) -> dict[str, Any]:
    plain(root)
    write_picture(scene(50, (201, 50)), root / "cat" / "long.png")
    return {}


def one_class(root: Path) -> dict[str, Any]:
    plain(root)
    for path in sorted((root / "dog").iterdir()):
        path.unlink()
    (root / "dog").rmdir()
    return {}


def unknown_class(root: Path) -> dict[str, Any]:
    plain(root, official=True)
    write_picture(scene(50), root / "test" / "bird" / "0.png")
    return {}


def two_labels(root: Path) -> dict[str, Any]:
    plain(root)
    (root / "dog" / "same.png").write_bytes((root / "cat" / "0.png").read_bytes())
    return {}


def near_two_labels(root: Path) -> dict[str, Any]:
    plain(root)
    write_picture(frame(50, 0), root / "cat" / "one.png")
    write_picture(frame(50, 1), root / "dog" / "two.png")
    return {}


def copy_in_class(root: Path) -> dict[str, Any]:
    plain(root)
    (root / "cat" / "same.png").write_bytes((root / "cat" / "0.png").read_bytes())
    return {}


def copy_across(root: Path) -> dict[str, Any]:
    plain(root, official=True)
    (root / "train" / "cat" / "same.png").write_bytes((root / "test" / "cat" / "0.png").read_bytes())
    return {}


def few(root: Path) -> dict[str, Any]:
    plain(root)
    (root / "dog" / "0.png").unlink()
    return {"min_images_per_class": 4}


def imbalanced(root: Path) -> dict[str, Any]:
    plain(root)
    write_picture(scene(50), root / "dog" / "more.png")
    return {"max_imbalance": 1.24}


BREAKERS: dict[str, tuple[Breaker, list[tuple[str, str]]]] = {
    "readable": (broken_file, [("cat/empty.png", "the file is empty")]),
    "large_enough": (small, [("cat/small.png", "7 pixels")]),
    "known_format": (other_format, [("cat/other.bmp", "BMP")]),
    "full_range": (twelve_bits, [("cat/deep-60.png", "12 bits"), ("cat/deep-61.png", "12 bits")]),
    "aspect": (long, [("cat/long.png", "4.02 to 1")]),
    "several_classes": (one_class, []),
    "known_classes": (unknown_class, [("test/bird/0.png", "class bird")]),
    "no_conflicting_labels": (
        two_labels,
        [("cat/0.png", "the same bytes as dog/same.png"), ("dog/same.png", "the same bytes as cat/0.png")],
    ),
    "near_duplicates_agree": (
        near_two_labels,
        [("cat/one.png", "nearly the same as dog/two.png"), ("dog/two.png", "nearly the same as cat/one.png")],
    ),
    "no_copies_in_class": (copy_in_class, [("cat/same.png", "the same bytes as cat/0.png")]),
    "no_copies_across_splits": (copy_across, [("train/cat/same.png", "the same bytes as test/cat/0.png")]),
    "enough_per_class": (few, [("dog/", "3 images")]),
    "balanced": (imbalanced, [("cat/", "the largest has 1.25 times as many")]),
}


def params_of(rule: str, severity: str, settings: dict[str, Any]) -> ValidateParams:
    return ValidateParams(**{**FEW, **settings}, severity=ValidateSeverity(**{rule: severity}))


@pytest.fixture(scope="module", params=sorted(BREAKERS))
def broken(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Checked, dict[str, Any], Path]:
    """A rule, data that breaks it and nothing else, and the settings that this takes."""
    rule = request.param
    root = tmp_path_factory.mktemp(rule) / "data"
    settings = BREAKERS[rule][0](root)
    return rule, checked(root, params_of(rule, "error", settings)), settings, root


def test_only_this_rule_fails_and_at_error_it_stops_or_leaves_out(broken) -> None:
    rule, result, _, _ = broken
    assert result.broken == [rule]
    offenders = BREAKERS[rule][1]
    assert [(o.path, o.found) for o in result.rule(rule).offenders] == offenders
    assert result.verdict.warnings == []
    assert result.verdict.passed == (rule in ABOUT_IMAGES)
    if rule in ABOUT_IMAGES:
        page = (result.docs / "index.html").read_text(encoding="utf-8")
        assert '<span class="warning">left out</span>' in page
        return
    message = result.message()
    assert f"{rule}: " in message
    assert result.rule(rule).remedy in message
    assert all(path in message for path, _ in offenders)


@pytest.mark.parametrize("severity", ["warn", "off"])
def test_below_error_the_run_goes_on(broken, severity: str) -> None:
    rule, _, settings, root = broken
    result = checked(root, params_of(rule, severity, settings), out=f"out-{severity}")
    raise_for(result.verdict, result.docs)
    verdict = read_verdict(result.folder / "verdict.json")
    page = (result.docs / "index.html").read_text(encoding="utf-8")
    if severity == "off":
        assert result.broken == verdict.warnings == []
        assert verdict.off == [rule]
        assert f"Switched off in params.yaml: {rule}." in page
        assert rule not in [checked.name for checked in verdict.rules]
    else:
        assert result.broken == [rule]
        assert len(verdict.warnings) == 1
        assert verdict.warnings[0].startswith(f"{rule}: ")
        assert result.rule(rule).remedy in verdict.warnings[0]
        assert '<span class="warning">warning</span>' in page


@pytest.mark.parametrize("severity", ["error", "warn", "off"])
@pytest.mark.parametrize(
    ("rule", "column", "value", "settings"),
    [
        ("labelled", "label", "", {}),
        ("hashed", "sha256", "F" * 64, {}),
        ("not_too_large", "left_out", "too large: 101x96", {}),
    ],
)
def test_what_no_scan_leaves_behind_is_found_in_a_manifest(
    tmp_path: Path, rule: str, column: str, value: Any, settings: dict[str, Any], severity: str
) -> None:
    root = tmp_path / "data"
    plain(root)
    folder = checked(root).folder
    manifest = pq.read_table(folder / "manifest.parquet")
    position = manifest.column_names.index(column)
    kind = manifest.schema.field(column)
    values = pa.array([value, *manifest[column].to_pylist()[1:]], kind.type)
    changed = manifest.set_column(position, kind, values)
    pq.write_table(changed, folder / "manifest.parquet")
    params = params_of(rule, severity, {**FEW, "min_images_per_class": 1, **settings})
    result = again(folder, root, params)
    assert result.broken == ([] if severity == "off" else [rule])
    assert result.verdict.passed == (severity != "error" or rule == "not_too_large")
    assert len(result.verdict.warnings) == (severity == "warn")


@pytest.mark.parametrize("severity", ["error", "warn", "off"])
def test_no_images_at_all(tmp_path: Path, severity: str) -> None:
    (tmp_path / "data" / "cat").mkdir(parents=True)
    others = {"several_classes": "off", "enough_per_class": "off"}
    params = ValidateParams(severity=ValidateSeverity(has_images=severity, **others))  # type: ignore[arg-type]
    result = checked(tmp_path / "data", params)
    assert result.broken == ([] if severity == "off" else ["has_images"])
    assert result.verdict.passed == (severity != "error")


def test_plain_pictures_break_no_rule(tmp_path: Path) -> None:
    plain(tmp_path / "data", official=True)
    result = checked(tmp_path / "data", ValidateParams(**FEW))
    assert result.broken == []


def test_there_is_a_severity_for_every_rule_and_no_other(tmp_path: Path) -> None:
    plain(tmp_path / "data")
    folder = checked(tmp_path / "data", ValidateParams(**FEW)).folder
    manifest = folder / "manifest.parquet"
    near = read_near_duplicates(folder / "near_duplicates.csv")
    tables = photograph_tables(read_manifest(manifest), read_class_folders(manifest), near)
    rules = [check.name for check in _checks(tables, ValidateParams())]
    assert sorted(rules) == sorted(ValidateSeverity.model_fields)


def test_formats_are_those_that_can_be_read() -> None:
    assert ValidateParams().formats == list(READABLE_FORMATS)
    assert Format.__args__ == READABLE_FORMATS


def test_off_may_be_written_as_yaml_1_1_reads_it() -> None:
    assert ValidateSeverity(aspect=False).aspect == "off"  # type: ignore[arg-type]
    assert ValidateSeverity(balanced=False).balanced == "off"  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'leave_out', 'warn' or 'off'"):
        ValidateSeverity(aspect="warning")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'error', 'warn' or 'off'"):
        ValidateSeverity(balanced="leave_out")  # type: ignore[arg-type]


def test_data_docs_show_pictures_and_why_there_is_none(tmp_path: Path) -> None:
    near_two_labels(tmp_path / "data")
    (tmp_path / "data" / "cat" / "empty.png").touch()
    result = checked(tmp_path / "data", ValidateParams(**FEW, severity=ValidateSeverity(readable="warn")))
    page = (result.docs / "index.html").read_text(encoding="utf-8")
    pictures = re.findall(
        r'<figure><a class="picture" href="([^"]*)"[^>]*>(.*?)</a><figcaption>(.*?)</figcaption>', page
    )
    assert [(link, caption) for link, _, caption in pictures] == [
        ("../../data/cat/empty.png", "unreadable: the file is empty<br>cat/empty.png"),  # few_left_out
        ("../../data/cat/empty.png", "the file is empty<br>cat/empty.png"),  # readable
        ("../../data/cat/one.png", "cat<br>cat/one.png"),
        ("../../data/dog/two.png", "dog<br>dog/two.png"),
    ]
    assert [shown for _, shown, _ in pictures[:2]] == ["unreadable: the file is empty"] * 2
    assert all("data:image/jpeg;base64," in shown for _, shown, _ in pictures[2:])
    assert all((result.docs / link).resolve().is_file() for link, _, _ in pictures)
    # The two of a group stand side by side.
    assert re.search(
        r'<div class="card"><div class="pictures"><figure>(?:(?!</div>).)*one\.png(?:(?!</div>).)*two\.png', page
    )


def test_a_named_pipe_is_shown_by_its_reason_and_not_opened(tmp_path: Path) -> None:
    plain(tmp_path / "data")
    os.mkfifo(tmp_path / "data" / "cat" / "pipe.png")
    result = checked(tmp_path / "data", ValidateParams(**FEW))
    page = (result.docs / "index.html").read_text(encoding="utf-8")
    assert page.count(">unreadable: not a regular file</a>") == 2  # few_left_out, readable
    assert "data:image" not in page


def test_at_most_twenty_pictures_of_a_rule(tmp_path: Path) -> None:
    plain(tmp_path / "data")
    for number in range(30):
        write_picture(scene(200 + number, (7, 9)), tmp_path / "data" / "cat" / f"small{number:02d}.png")
    result = checked(tmp_path / "data", ValidateParams(**FEW))
    assert result.rule("large_enough").offender_count == 30
    assert result.rule("few_left_out").offender_count == 30
    page = (result.docs / "index.html").read_text(encoding="utf-8")
    sections = dict(re.findall(r'<section id="(\w+)"(.*?)</section>', page, re.DOTALL))
    assert {rule: text.count("<figure>") for rule, text in sections.items()} == {
        "few_left_out": 20,
        "large_enough": 20,
        "classes_kept": 0,
    }


def test_a_mpo_file_is_a_jpeg(tmp_path: Path) -> None:
    plain(tmp_path / "data")
    Image.init()  # saving by name needs every plugin; reading finds MPO by way of JPEG
    frames = [scene(300), scene(301)]
    frames[0].save(tmp_path / "data" / "cat" / "camera.jpg", "MPO", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "data" / "cat" / "camera.jpg", formats=["JPEG"]) as image:
        assert image.format == "MPO"
    assert checked(tmp_path / "data", ValidateParams(**FEW, formats=["PNG", "JPEG"])).broken == []


def test_a_conflict_names_both_files_once_each(tmp_path: Path) -> None:
    two_labels(tmp_path / "data")
    result = checked(tmp_path / "data", ValidateParams(min_images_per_class=3))
    message = result.message()
    assert (
        "few_left_out: 2 of 9 images are left out (2 two labels), 22.2 % (needed: at most 5 %): "
        "cat/0.png (two labels: the same bytes as dog/same.png), "
        "dog/same.png (two labels: the same bytes as cat/0.png). "
    ) in message
    assert message.count("cat/0.png") == message.count("dog/same.png") == 2  # once each, and as the other's copy
    page = (result.docs / "index.html").read_text(encoding="utf-8")
    section = page[page.index('<section id="no_conflicting_labels"') :]
    assert re.findall(r"<figcaption>(.*?)</figcaption>", section) == [
        "the same bytes as dog/same.png<br>cat/0.png",
        "the same bytes as cat/0.png<br>dog/same.png",
    ]
