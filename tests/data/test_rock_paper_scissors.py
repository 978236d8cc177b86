"""The real rock-paper-scissors: hands filmed frame by frame, which a random split puts on both sides."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from graft.core.errors import GraftError
from graft.core.params.models import SplitParams, ValidateParams
from graft.data.checks.check_verdict import Rule, Verdict, raise_for
from graft.data.checks.split_rules import check_split
from graft.data.folder.layout import read_layout
from graft.data.scan.manifest import read_manifest
from graft.data.scan.near_duplicates import Limits, find_near_duplicates
from graft.data.scan.scan_images import scan
from graft.data.splits.split_images import make_split

pytestmark = pytest.mark.slow
PATTERN = "(.+)-[0-9]+"


@dataclass
class Hands:
    root: Path
    manifest: pd.DataFrame
    near_duplicates: pd.DataFrame

    def divided(self, out: Path, **settings: Any) -> Verdict:
        params = SplitParams(**settings)
        split = make_split(self.manifest, params, None, self.near_duplicates)
        return check_split(
            split.tables,
            split.summary,
            self.near_duplicates,
            len(self.manifest),
            params,
            self.root,
            out / "verdict.json",
            out / "data_docs",
        )


def near_rule(verdict: Verdict) -> Rule:
    return next(rule for rule in verdict.rules if rule.name == "no_near_duplicates_in_test")


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Hands:
    name = "data/rock_paper_scissors.zip"
    archive = Path(__file__).parents[3] / "shared" / name
    if not archive.exists():
        pytest.skip(f"needs ../shared/{name} beside the project")
    root = tmp_path_factory.mktemp("hands") / "data"
    with zipfile.ZipFile(archive) as source:
        for member in source.infolist():
            *_, split, label, file = ["", "", *member.filename.split("/")]
            if file and split in ("train", "test"):
                target = root / split / label / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read(member))
    manifest_file = root.parent / "manifest.parquet"
    scan(read_layout(root), ValidateParams(), manifest_file)
    manifest = read_manifest(manifest_file, thumbnails=True)
    assert len(manifest) == 2892
    near = find_near_duplicates(manifest, Limits(4, 0.02))
    return Hands(root, manifest.drop(columns="thumbnail"), near)


def test_no_group_holds_two_hands_or_two_labels(hands: Hands) -> None:
    hand = hands.near_duplicates["path"].str.extract(PATTERN)[0]
    assert (hand.groupby(hands.near_duplicates["group"]).nunique() == 1).all()
    assert len(hands.near_duplicates) > 2000


def test_a_random_split_is_refused_with_the_groups_shown(hands: Hands, tmp_path: Path) -> None:
    verdict = hands.divided(tmp_path, method="stratified")
    assert near_rule(verdict).offender_count > 500
    with pytest.raises(GraftError, match="Set split.method to group and split.group_by to near_duplicates"):
        raise_for(verdict, tmp_path / "data_docs", "The split")
    page = (tmp_path / "data_docs" / "index.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/jpeg;base64,') == 2 * 20  # of test and of val
    assert page.count('<div class="card">') >= 4


@pytest.mark.parametrize("group_by", [PATTERN, "near_duplicates"])
@pytest.mark.parametrize("method", ["official", "group"])
def test_hands_kept_whole_pass(hands: Hands, tmp_path: Path, method: str, group_by: str) -> None:
    verdict = hands.divided(tmp_path, method=method, group_by=group_by)
    assert verdict.passed
    assert near_rule(verdict).offender_count == 0


def test_the_official_test_is_clean_but_val_taken_out_of_train_frame_by_frame_is_not(
    hands: Hands, tmp_path: Path
) -> None:
    verdict = hands.divided(tmp_path, method="official")
    assert verdict.passed
    assert near_rule(verdict).offender_count == 0
    lines: list[str] = (tmp_path / "data_docs" / "offenders.csv").read_text(encoding="utf-8").splitlines()
    leaking = [line for line in lines if line.startswith("no_near_duplicates_in_val,")]
    assert len(leaking) > 300
    assert all(",train/" in line for line in leaking)  # where val was taken from
