import ast
import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from browser import needs_browser, require_good

import graft
from graft.core.errors import GraftError
from graft.core.params.models import SplitParams, ValidateParams
from graft.data.checks.check_verdict import OFFENDERS_KEPT, Rule, Verdict, raise_for, read_verdict
from graft.data.checks.photograph_rules import check
from graft.data.checks.split_rules import check_split
from graft.data.folder.layout import read_layout
from graft.data.scan.manifest import FOR_SPLIT, read_class_folders, read_manifest
from graft.data.scan.near_duplicates import Limits, find_near_duplicates, read_near_duplicates, write_near_duplicates
from graft.data.scan.scan_images import scan
from graft.data.splits.split_images import make_split
from graft.data.splits.split_tables import read_split_table, with_paths, write_split_tables

ClassFolder = Callable[..., None]

PARAMS = ValidateParams()
HOSTILE = "<img src=x onerror=alert(1)> &amp; $HOME 6546fb62-eddb-480a-a47a-bc73ff9ca4a1.png"


@dataclass
class Checked:
    verdict: Verdict
    folder: Path

    @property
    def docs(self) -> Path:
        return self.folder / "data_docs"

    @property
    def broken(self) -> list[str]:
        return [rule.name for rule in self.verdict.rules if not rule.passed]

    def rule(self, name: str) -> Rule:
        return next(rule for rule in self.verdict.rules if rule.name == name)

    def message(self) -> str:
        with pytest.raises(GraftError) as caught:
            raise_for(self.verdict, self.docs)
        return str(caught.value)


def checked(root: Path, params: ValidateParams = PARAMS, out: str = "out") -> Checked:
    folder = root.parent / out
    manifest = folder / "manifest.parquet"
    scan(read_layout(root), params, manifest)
    limits = Limits(params.near_duplicate_bits, params.near_duplicate_difference)
    groups = find_near_duplicates(read_manifest(manifest, thumbnails=True), limits)
    write_near_duplicates(groups, folder / "near_duplicates.csv")
    return again(folder, root, params)


def again(folder: Path, root: Path, params: ValidateParams = PARAMS) -> Checked:
    """Checks the manifest in a folder."""
    manifest, near_duplicates = folder / "manifest.parquet", folder / "near_duplicates.csv"
    verdict = check(manifest, near_duplicates, params, root, folder / "verdict.json", folder / "data_docs")
    return Checked(verdict, folder)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, class_folder: ClassFolder) -> Checked:
    root = tmp_path_factory.mktemp("good") / "data"
    class_folder(root / "cat", 60, 0)
    class_folder(root / "dog", 39, 100)
    (root / "dog" / "empty.png").touch()
    return checked(root)


@pytest.fixture(scope="module")
def bad(
    tmp_path_factory: pytest.TempPathFactory, class_folder: ClassFolder, photograph: Callable[..., Path]
) -> Checked:
    """Breaks every rule that images on a disk can break, on an official split."""
    root = tmp_path_factory.mktemp("bad") / "data"
    class_folder(root / "train" / "cat", 30, 0)
    class_folder(root / "train" / "few", 3, 100)
    (root / "train" / "none").mkdir()
    class_folder(root / "test" / "cat", 5, 200)
    class_folder(root / "test" / "few", 20, 300)
    class_folder(root / "test" / "strange", 2, 400)
    for i in range(25):
        (root / "train" / "cat" / f"empty-{i:02d}.png").touch()
    photograph(root / "train" / "cat" / HOSTILE, 500, size=(40, 3))
    return checked(root)


def test_good_images_pass_and_broken_ones_within_the_share_are_listed(good: Checked) -> None:
    raise_for(good.verdict, good.docs)
    assert good.verdict.passed
    assert (good.verdict.images, good.verdict.left_out) == (100, 1)
    readable = good.rule("readable")
    assert readable.observed == "1 of 100 images cannot be read, 1 %"
    assert [offender.path for offender in readable.offenders] == ["dog/empty.png"]


def test_the_verdict_is_a_file(good: Checked, bad: Checked) -> None:
    for one in (good, bad):
        assert read_verdict(one.folder / "verdict.json") == one.verdict


def test_a_missing_or_foreign_verdict_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match=r"There is no verdict at .*dvc repro -f validate"):
        read_verdict(tmp_path / "verdict.json")
    (tmp_path / "verdict.json").write_text("{}")
    with pytest.raises(GraftError, match="is not a verdict"):
        read_verdict(tmp_path / "verdict.json")


def test_every_broken_rule_is_found_with_its_offenders(bad: Checked) -> None:
    single = ["readable", "large_enough", "aspect"]
    assert bad.broken == ["few_left_out", *single, "known_classes", "enough_per_class"]
    assert [rule.name for rule in bad.verdict.errors] == ["few_left_out", "known_classes"]
    aspect, few = bad.verdict.warnings
    assert aspect.startswith("aspect: 1 of 61 images are too long for a square")
    assert few.startswith("enough_per_class: 2 of 3 classes have few images")
    found = {name: [(o.path, o.found) for o in bad.rule(name).offenders] for name in bad.broken}
    assert found["readable"][0] == ("train/cat/empty-00.png", "the file is empty")
    assert found["large_enough"] == [(f"train/cat/{HOSTILE}", "3 pixels")]
    assert found["known_classes"] == [
        ("test/strange/000.png", "class strange"),
        ("test/strange/001.png", "class strange"),
    ]
    # Test images do not count; a class that train lacks altogether has a rule of its own.
    assert found["enough_per_class"] == [("few/", "3 images"), ("none/", "0 images")]


def test_the_verdict_keeps_the_first_offenders_and_the_list_all(bad: Checked) -> None:
    readable = bad.rule("readable")
    assert (len(readable.offenders), readable.offender_count) == (OFFENDERS_KEPT, 25)
    with (bad.docs / "offenders.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["rule"] == "readable" for row in rows) == 25
    assert f"train/cat/{HOSTILE}" in [row["path"] for row in rows]


def test_the_error_names_rules_files_and_what_to_do(bad: Checked) -> None:
    message = bad.message()
    assert "few_left_out: 26 of 86 images are left out (25 unreadable, 1 too small), 30.2 %" in message
    assert "(needed: at most 5 %)" in message
    assert "train/cat/empty-00.png (unreadable: the file is empty)" in message
    assert "and 23 more" in message
    assert "Set validate.max_left_out to 0.303 in params.yaml" in message
    assert str(bad.docs / "offenders.csv") in message
    assert str(bad.docs / "index.html") in message


def test_data_docs_show_the_failed_expectations(bad: Checked, good: Checked) -> None:
    page = (bad.docs / "index.html").read_text(encoding="utf-8")
    for rule in bad.verdict.rules:
        assert page.count(rule.description) == 1, rule.name
        assert (f'<section id="{rule.name}"' in page) == bool(rule.offenders), rule.name
    assert '<span class="failed">failed</span>: 26 of 86 images are left out' in page
    assert '<span class="warning">left out</span>: 25 of 86 images cannot be read' in page
    assert "train/cat/empty-00.png" in page
    assert "20 of 26 shown" in page
    assert 'class="failed"' not in (good.docs / "index.html").read_text(encoding="utf-8")


def test_data_docs_need_no_network_and_no_script(bad: Checked) -> None:
    page = (bad.docs / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|<script|<link|@import|url\(", page)
    assert sorted(path.name for path in bad.docs.iterdir()) == ["index.html", "offenders.csv", "suites"]


def test_d8_data_docs_follow_the_dark_mode_and_fit_a_phone(bad: Checked) -> None:
    page = (bad.docs / "index.html").read_text(encoding="utf-8")
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert "@media (prefers-color-scheme: dark)" in page
    style, body = page.split("</style>")
    assert "background: #fff" not in style
    # The only table, whose rows become blocks on a narrow screen.
    assert re.findall("<table[^>]*>", body) == ['<table class="rules">']
    assert ".rules td { display: block;" in style


def test_names_of_files_are_text_in_data_docs(bad: Checked) -> None:
    page = (bad.docs / "index.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert 'href="../../data/train/cat/%3Cimg%20src%3Dx%20onerror' in page
    assert "&lt;img src=x onerror=alert(1)&gt; &amp;amp; $HOME 6546fb62-eddb-480a-a47a-bc73ff9ca4a1.png" in page


def test_equal_data_gives_equal_bytes(bad: Checked, tmp_path: Path) -> None:
    shutil.copytree(bad.folder.parent / "data", tmp_path / "data")
    shutil.copytree(bad.folder, tmp_path / "out", ignore=shutil.ignore_patterns("verdict.json", "data_docs"))
    again(tmp_path / "out", tmp_path / "data")
    for name in ("verdict.json", "data_docs/index.html", "data_docs/offenders.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (bad.folder / name).read_bytes(), name


def test_nothing_is_printed(bad: Checked, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(bad.folder, tmp_path / "out")
    again(tmp_path / "out", bad.folder.parent / "data")
    assert capfd.readouterr() == ("", "")


def test_an_empty_folder_is_one_finding(tmp_path: Path) -> None:
    (tmp_path / "data" / "cat").mkdir(parents=True)
    result = checked(tmp_path / "data")
    assert result.broken == ["has_images", "several_classes", "enough_per_class"]
    assert "has_images: 0 images found (needed: at least 1). Bring images in" in result.message()
    assert "several_classes" not in result.message()


def test_only_broken_images(tmp_path: Path) -> None:
    for i in range(3):
        folder = tmp_path / "data" / f"class-{i}"
        folder.mkdir(parents=True)
        (folder / "empty.png").touch()
    result = checked(tmp_path / "data")
    assert result.broken == ["few_left_out", "readable", "several_classes", "classes_kept", "enough_per_class"]
    assert result.message().count("graft data import") == 1


def test_a_single_class(tmp_path: Path, class_folder: ClassFolder) -> None:
    class_folder(tmp_path / "data" / "cat", 12, 0)
    result = checked(tmp_path / "data")
    assert result.broken == ["several_classes"]
    assert "1 classes with images found (needed: at least 2)" in result.message()


@pytest.mark.parametrize(("share", "passes"), [(0.7, True), (0.69, False)])
def test_the_share_of_broken_images_is_a_limit_not_a_hair_less(
    tmp_path: Path, class_folder: ClassFolder, share: float, passes: bool
) -> None:
    class_folder(tmp_path / "data" / "cat", 2, 0)
    class_folder(tmp_path / "data" / "dog", 1, 100)
    for i in range(7):
        (tmp_path / "data" / "cat" / f"empty-{i}.png").touch()
    params = ValidateParams(max_left_out=share, min_images_per_class=1)
    assert ("few_left_out" not in checked(tmp_path / "data", params).broken) is passes


def test_images_at_the_limits_pass(data: Path) -> None:
    params = ValidateParams(min_images_per_class=12, min_side_px=12, max_pixels=16 * 12)
    assert checked(data, params).verdict.passed


def test_images_beyond_the_limits_do_not(data: Path) -> None:
    small = ValidateParams(min_images_per_class=13, min_side_px=13)
    assert {"large_enough", "enough_per_class", "few_left_out"} <= set(checked(data, small).broken)
    large = ValidateParams(max_pixels=16 * 12 - 1)
    assert {"not_too_large", "few_left_out"} <= set(checked(data, large).broken)


def test_classes_named_like_missing_values_are_classes(tmp_path: Path, class_folder: ClassFolder) -> None:
    for i, label in enumerate(("NA", "null", "001")):
        class_folder(tmp_path / "data" / label, 10, 100 * i)
    assert checked(tmp_path / "data").verdict.passed


# What HTML, CSV, YAML, JSON, pandas, templates and shells read as something else.
ODD_CLASSES = (
    "a & b", "it's", '6" pipe', "<b>", "x > y", "&amp;", "1,000", "a;b", "#1", "🦊", "null", "None", "NA", "NaN", "nan",
    "1e3", "True", "007", "-dash", "$HOME", "{0}", "%s", "[red]", "=1+1", "a|b", "inf", "0x10", "2024-01-01", 'a""b',
)  # fmt: skip


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, class_folder: ClassFolder) -> Checked:
    root = tmp_path_factory.mktemp("odd") / "data"
    for position, label in enumerate(ODD_CLASSES):
        class_folder(root / "train" / label, 4, 10 * position)
        class_folder(root / "test" / label, 2, 10 * position + 1000)
    return checked(root, ValidateParams(min_images_per_class=3))


def test_c3_classes_with_odd_names_break_no_rule(odd: Checked) -> None:
    assert odd.broken == []
    manifest = read_manifest(odd.folder / "manifest.parquet")
    assert set(manifest["label"]) == set(ODD_CLASSES)
    assert read_class_folders(odd.folder / "manifest.parquet") == sorted(ODD_CLASSES)


def test_c3_a_rule_about_classes_with_odd_names_names_them(odd: Checked, tmp_path: Path) -> None:
    shutil.copytree(odd.folder, tmp_path / "out")
    result = again(tmp_path / "out", odd.folder.parent / "data", ValidateParams(min_images_per_class=5))
    with (result.docs / "offenders.csv").open(encoding="utf-8", newline="") as stream:
        listed = [row["path"] for row in csv.DictReader(stream) if row["rule"] == "enough_per_class"]
    assert sorted(listed) == sorted(f"{label}/" for label in ODD_CLASSES)
    page = (result.docs / "index.html").read_text(encoding="utf-8")
    assert "<code>&lt;b&gt;/</code>" in page
    assert "<b>/" not in page


def test_c3_classes_with_odd_names_go_through_every_table_of_the_split(odd: Checked, tmp_path: Path) -> None:
    manifest = read_manifest(odd.folder / "manifest.parquet", columns=FOR_SPLIT)
    same = manifest["path"].str.contains("/00[01].png")
    near = manifest[same].assign(group=manifest["label"])[["path", "sha256", "label", "group"]]
    write_near_duplicates(near, tmp_path / "near.csv")
    assert read_near_duplicates(tmp_path / "near.csv").equals(near.reset_index(drop=True))
    params = SplitParams(min_images=1)
    for method in ("official", "stratified"):
        division = make_split(manifest, params.model_copy(update={"method": method}))
        write_split_tables(division.tables, division.summary, tmp_path)
        for name, table in division.tables.items():
            assert set(table["label"]) == set(ODD_CLASSES)
            read = with_paths(read_split_table(tmp_path / f"{name}.csv"), manifest, name)
            assert read[["sha256", "label"]].equals(table[["sha256", "label"]])
        assert sorted(json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["classes"]) == sorted(
            ODD_CLASSES
        )
        verdict = check_split(
            division.tables, division.summary, near[:0], len(manifest), params, odd.folder.parent / "data",
            tmp_path / "verdict.json", tmp_path / "docs",
        )  # fmt: skip
        assert not [rule.name for rule in verdict.rules if rule.offenders]


def test_c3_no_reader_of_a_table_takes_a_name_for_a_number_or_a_gap() -> None:
    """Every call of pandas' read_csv in src says that text is text."""
    source = Path(graft.__file__).parent
    calls = [
        (path.name, node.lineno, {word.arg for word in node.keywords})
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "read_csv"
    ]
    assert calls
    for name, line, words in calls:
        assert "nrows" in words or {"dtype", "keep_default_na"} <= words, f"{name}:{line}"


@needs_browser
def test_data_docs_are_whole_in_a_browser(bad: Checked) -> None:
    require_good((bad.docs / "index.html").as_uri())
