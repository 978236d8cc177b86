"""Quality and minutes are written into params.yaml, and nothing else there changes."""

from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.core.params.load_params import load_params
from graft.core.params.set_quality import set_quality

SHIPPED = (Path(__file__).resolve().parents[3] / "params.yaml").read_text(encoding="utf-8")


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED, encoding="utf-8")
    return path


def test_fast_trains_heads_alone_and_good_brings_the_others_back(params: Path) -> None:
    assert set_quality(params, "fast", None) == ["choose.quality: fast", "train.run: [frozen]"]
    assert load_params(params).choose.quality == "fast"
    assert load_params(params).train.run == ["frozen"]
    assert set_quality(params, "good", None) == ["choose.quality: good", "train.run: [frozen, fine_tune, scratch]"]
    assert params.read_text(encoding="utf-8") == SHIPPED


def test_only_the_lines_that_are_meant_change(params: Path) -> None:
    assert set_quality(params, "best", 40) == ["choose.quality: best", "choose.minutes: 40", "ensemble.run: [mean]"]
    found = params.read_text(encoding="utf-8").splitlines()
    changed = [(old, new) for old, new in zip(SHIPPED.splitlines(), found, strict=True) if old != new]
    assert [new.split("#")[0].strip() for _, new in changed] == ["quality: best", "minutes: 40", "run: [mean]"]
    assert [new.split("#")[1] for _, new in changed] == [old.split("#")[1] for old, _ in changed]
    assert [new.index("#") for _, new in changed] == [old.index("#") for old, _ in changed]


def test_best_has_its_strategies_answer_together_and_fast_has_one_alone(params: Path) -> None:
    set_quality(params, "best", None)
    assert load_params(params).ensemble.run == ["mean"]
    changed = ["choose.quality: fast", "train.run: [frozen]", "ensemble.run: []"]
    assert set_quality(params, "fast", None) == changed
    assert set_quality(params, "good", None)[1:] == ["train.run: [frozen, fine_tune, scratch]"]
    assert params.read_text(encoding="utf-8") == SHIPPED


def test_strategies_of_ones_own_stay(params: Path) -> None:
    params.write_text(SHIPPED.replace("run: [frozen, fine_tune, scratch]", "run: [scratch]"), encoding="utf-8")
    assert set_quality(params, "fast", None) == ["choose.quality: fast"]


def test_what_is_so_already_writes_nothing(params: Path) -> None:
    before = params.stat().st_mtime_ns
    assert set_quality(params, "good", None) == []
    assert params.stat().st_mtime_ns == before


def test_minutes_that_are_none_are_refused_and_nothing_is_written(params: Path) -> None:
    with pytest.raises(GraftError, match="choose.minutes"):
        set_quality(params, None, -1)
    assert params.read_text(encoding="utf-8") == SHIPPED


def test_a_file_without_the_section_says_what_to_add(params: Path) -> None:
    start, end = SHIPPED.index("choose:"), SHIPPED.index("train:\n")
    params.write_text(SHIPPED[:start] + SHIPPED[end:], encoding="utf-8")
    with pytest.raises(GraftError, match="no line 'quality:' under 'choose'"):
        set_quality(params, "best", None)
