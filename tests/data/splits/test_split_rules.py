"""Rules on a split: each by itself, and series of frames through every way of dividing them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pictures import write_series
from test_splitting import image, images

from graft.core.errors import GraftError
from graft.core.params.models import SplitParams, SplitSeverity, ValidateParams
from graft.core.project import SPLITS
from graft.data.checks.check_verdict import Verdict, raise_for, read_verdict
from graft.data.checks.split_rules import check_split, near_duplicates_across
from graft.data.folder.layout import read_layout
from graft.data.scan.manifest import read_manifest
from graft.data.scan.near_duplicates import COLUMNS, Limits, find_near_duplicates
from graft.data.scan.scan_images import scan
from graft.data.splits.split_images import make_split

LIMITS = Limits(4, 0.02)
PATTERN = r"(.+)-[0-9]+"
NONE = pd.DataFrame(columns=COLUMNS, dtype=str)


@dataclass
class Case:
    """A split that breaks one rule: three tables, and what the rule is told besides."""

    tables: dict[str, pd.DataFrame]
    near_duplicates: pd.DataFrame = field(default_factory=lambda: NONE)
    settings: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)
    offenders: list[tuple[str, str]] = field(default_factory=list)


def good_tables() -> dict[str, pd.DataFrame]:
    rows = {"train": 40, "val": 10, "test": 20}
    return {
        split: pd.DataFrame([row for label in ("cat", "dog") for row in images(f"{label}/{split}", count)])
        for split, count in rows.items()
    }


def leaked_copy() -> Case:
    tables = good_tables()
    tables["train"].loc[0, "sha256"] = tables["test"].loc[3, "sha256"]
    return Case(
        tables,
        offenders=[
            ("cat/test/003.png", "the same bytes as cat/train/000.png"),
            ("cat/train/000.png", "the same bytes as cat/test/003.png"),
        ],
    )


def near_duplicate() -> Case:
    paths = ["cat/test/000.png", "cat/train/001.png", "cat/train/002.png", "dog/test/001.png", "dog/val/002.png"]
    groups = ["a", "a", "a", "b", "b"]
    near = pd.DataFrame({"path": paths, "sha256": paths, "label": [path[:3] for path in paths], "group": groups})
    return Case(
        good_tables(),
        near,
        {"max_near_duplicate_share": 0.03},
        offenders=[
            ("cat/test/000.png", "nearly the same as cat/train/001.png"),
            ("dog/test/001.png", "nearly the same as dog/val/002.png"),
        ],
    )


def near_duplicate_in_val() -> Case:
    paths = ["cat/train/000.png", "cat/val/001.png"]
    near = pd.DataFrame({"path": paths, "sha256": paths, "label": ["cat", "cat"], "group": ["a", "a"]})
    return Case(
        good_tables(),
        near,
        {"max_near_duplicate_share": 0.03},
        offenders=[("cat/val/001.png", "nearly the same as cat/train/000.png")],
    )


def small_part() -> Case:
    return Case(good_tables(), settings={"min_images": 21}, offenders=[("val", "20 images, fewer than 21")])


def other_share() -> Case:
    return Case(good_tables(), asked={"test": 0.5}, offenders=[("test", "28.6 % instead of 50 %")])


def other_number() -> Case:
    return Case(good_tables(), asked={"test": 41}, offenders=[("test", "40 images instead of 41")])


def other_classes() -> Case:
    tables = good_tables()
    tables["val"] = tables["val"].iloc[:18]
    tables["val"].loc[10:, "label"] = "cat"
    tables["val"].loc[16:, "label"] = "dog"
    return Case(
        tables,
        settings={"min_images": 5},
        offenders=[("cat/", "a difference of 0.3889"), ("dog/", "a difference of 0.3889")],
    )


BREAKERS: list[tuple[str, Callable[[], Case]]] = [
    ("no_leaked_copies", leaked_copy),
    ("no_near_duplicates_in_test", near_duplicate),
    ("no_near_duplicates_in_val", near_duplicate_in_val),
    ("split_sizes", small_part),
    ("split_sizes", other_share),
    ("split_sizes", other_number),
    ("class_proportions", other_classes),
]


def summary_of(tables: dict[str, pd.DataFrame], asked: dict[str, float]) -> dict[str, Any]:
    counts = {split: len(table) for split, table in tables.items()}
    total = sum(counts.values())
    outside = total - counts["test"]
    reached = {"test": counts["test"] / total, "val": counts["val"] / outside}
    shares = {split: {"asked": asked.get(split), "reached": share} for split, share in reached.items()}
    return {"method": "stratified", "images": counts, "shares": shares, "left_out": 2}


def checked(case: Case, folder: Path, **settings: Any) -> Verdict:
    params = SplitParams(**{"min_images": 10, **case.settings, **settings})
    return check_split(
        case.tables,
        summary_of(case.tables, case.asked),
        case.near_duplicates,
        142,
        params,
        folder / "data",
        folder / "verdict.json",
        folder / "data_docs",
    )


def broken(verdict: Verdict) -> list[str]:
    return [rule.name for rule in verdict.rules if not rule.passed]


@pytest.mark.parametrize("severity", ["error", "warn", "off"])
@pytest.mark.parametrize(("rule", "breaker"), BREAKERS, ids=[breaker.__name__ for _, breaker in BREAKERS])
def test_only_this_rule_fails_and_its_severity_decides(
    tmp_path: Path, rule: str, breaker: Callable[[], Case], severity: str
) -> None:
    case = breaker()
    verdict = checked(case, tmp_path, severity=SplitSeverity(**{rule: severity}))  # type: ignore[arg-type]
    assert read_verdict(tmp_path / "verdict.json") == verdict
    assert (tmp_path / "data_docs" / "index.html").is_file()
    assert (verdict.images, verdict.left_out) == (142, 2)
    if severity == "off":
        assert (broken(verdict), verdict.off) == ([], [rule])
        return
    assert broken(verdict) == [rule]
    (found,) = (one for one in verdict.rules if one.name == rule)
    assert [(o.path, o.found) for o in found.offenders] == case.offenders
    if severity == "warn":
        raise_for(verdict, tmp_path / "data_docs", "The split")
        assert verdict.warnings[0].startswith(f"{rule}: ")
    else:
        with pytest.raises(GraftError, match=f"The split breaks rules: {rule}: ") as caught:
            raise_for(verdict, tmp_path / "data_docs", "The split")
        assert all(path in str(caught.value) for path, _ in case.offenders)


def test_a_good_split_breaks_none_and_there_is_a_severity_for_every_rule(tmp_path: Path) -> None:
    verdict = checked(Case(good_tables()), tmp_path)
    assert verdict.passed
    assert verdict.warnings == []
    assert sorted(rule.name for rule in verdict.rules) == sorted(SplitSeverity.model_fields)


@pytest.mark.parametrize(("share", "passes"), [(2 / 40, True), (1.99 / 40, False)])
def test_the_share_of_near_duplicates_is_a_limit_not_a_hair_less(tmp_path: Path, share: float, passes: bool) -> None:
    assert checked(near_duplicate(), tmp_path, max_near_duplicate_share=share).passed is passes


def test_a_near_duplicate_counts_where_it_is_nearer_to_training() -> None:
    rows = [("a", "train"), ("b", "val"), ("c", "test"), ("d", "val"), ("e", "test"), ("f", "test"), ("g", "test")]
    table = pd.DataFrame(rows, columns=["path", "split"])
    groups = {"a": "1", "b": "1", "c": "1", "d": "2", "e": "2", "f": "3", "g": "3"}
    found = dict(zip(table["path"], near_duplicates_across(table, groups), strict=True))
    assert found == {"a": "", "b": "a", "c": "a", "d": "", "e": "d", "f": "", "g": ""}
    assert set(near_duplicates_across(table, {})) == {""}


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame, pd.DataFrame]:
    """Series of frames, train/ and test/ of other hands; the manifest, and its near-duplicates."""
    root = tmp_path_factory.mktemp("hands") / "data"
    for position, label in enumerate(("paper", "rock")):
        for hand in range(9):
            write_series(root / "train" / label, f"{label}{hand}", 100 * position + hand, 8)
        for hand in range(3):
            write_series(root / "test" / label, f"test{label}{hand}", 1000 + 100 * position + hand, 8)
    scan(read_layout(root), ValidateParams(), root.parent / "manifest.parquet")
    manifest = read_manifest(root.parent / "manifest.parquet", thumbnails=True)
    near = find_near_duplicates(manifest, LIMITS)
    assert near["group"].nunique() == 24
    return root, manifest.drop(columns="thumbnail"), near


def divided(
    root: Path, manifest: pd.DataFrame, near: pd.DataFrame, out: Path, params: SplitParams
) -> tuple[Verdict, dict[str, Any]]:
    split = make_split(manifest, params, None, near)
    verdict = check_split(
        split.tables, split.summary, near, len(manifest), params, root, out / "verdict.json", out / "data_docs"
    )
    return verdict, split.summary


RULE = "no_near_duplicates_in_test"


def test_frames_divided_one_by_one_are_refused_with_what_to_do(
    hands: tuple[Path, pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    verdict, _ = divided(*hands, tmp_path, SplitParams(method="stratified"))
    with pytest.raises(GraftError) as caught:
        raise_for(verdict, tmp_path / "data_docs", "The split")
    message = str(caught.value)
    assert f"The split breaks rules: {RULE}: " in message
    assert ".png (nearly the same as " in message
    assert "Set split.method to group and split.group_by to near_duplicates (or to a pattern" in message
    page = (tmp_path / "data_docs" / "index.html").read_text(encoding="utf-8")
    assert page.count("<figure>") <= 40  # 20 a rule
    assert '<div class="card"><div class="pictures"><figure>' in page
    assert "train / " in page
    assert "val / " in page


def test_frames_of_train_on_both_sides_of_val_are_a_warning(
    hands: tuple[Path, pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    verdict, _ = divided(*hands, tmp_path, SplitParams(method="official"))
    assert verdict.passed
    (warning,) = (line for line in verdict.warnings if "near_duplicates" in line)
    assert "no_near_duplicates_in_val" in warning
    assert "Set split.group_by to near_duplicates" in warning


@pytest.mark.parametrize("group_by", [PATTERN, "near_duplicates"])
@pytest.mark.parametrize("method", ["official", "group", "k_fold"])
def test_frames_kept_together_pass(
    hands: tuple[Path, pd.DataFrame, pd.DataFrame], tmp_path: Path, method: Any, group_by: str
) -> None:
    verdict, summary = divided(*hands, tmp_path, SplitParams(method=method, group_by=group_by))
    assert verdict.passed, verdict.errors
    assert summary["method"] == method
    assert sum(summary["groups"].values()) == 24
    (rule,) = (rule for rule in verdict.rules if rule.name == RULE)
    assert rule.offender_count == 0


def test_equal_input_gives_equal_bytes(hands: tuple[Path, pd.DataFrame, pd.DataFrame], tmp_path: Path) -> None:
    contents = []
    for _ in range(2):
        divided(*hands, tmp_path, SplitParams(method="stratified"))
        files = ("verdict.json", "data_docs/index.html", "data_docs/offenders.csv")
        contents.append([(tmp_path / name).read_bytes() for name in files])
    assert contents[0] == contents[1]


@pytest.mark.parametrize("alike", [1, 15, 16])
def test_near_duplicates_that_the_official_split_tears_leave_training_or_are_for_the_rule_to_judge(
    tmp_path: Path, alike: int
) -> None:
    """Up to half of a class is left out of training; where it is more, likeness says little, and all of it stays."""
    rows = [
        image(f"{split}/{label}/{number}.png", split=split)
        for split, count in (("train", 30), ("test", 20))
        for label in ("cat", "dog")
        for number in range(count)
    ]
    manifest = pd.DataFrame(rows)
    near_test = [f"train/cat/{number}.png" for number in range(alike)]
    torn = manifest[manifest["path"].isin([*near_test, "test/cat/0.png"])]
    near = torn[["path", "sha256", "label"]].assign(group=min(torn["sha256"]))
    verdict, summary = divided(
        tmp_path, manifest, near, tmp_path, SplitParams(method="official", group_by="near_duplicates", min_images=5)
    )
    assert set(SPLITS) == set(summary["images"])
    assert summary["images"]["test"] == 40
    assert verdict.passed
    (rule,) = (rule for rule in verdict.rules if rule.name == RULE)
    offenders = [offender.path for offender in rule.offenders]
    dropped = {entry["path"] for entry in summary["near_duplicates_dropped"]}
    if alike > 15:
        assert offenders == ["test/cat/0.png"]
        assert dropped == set()
        assert sum(summary["images"].values()) == 100
    else:
        assert offenders == []
        assert dropped == set(near_test)
        assert sum(summary["images"].values()) == 100 - alike
