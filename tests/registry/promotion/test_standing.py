"""Where a candidate stands: what is expected, by how much a figure flatters, and what would settle it."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from graft.core.params.gate_params import GateParams
from graft.evaluation.comparison import compare
from graft.evaluation.intervals import share_interval
from graft.registry.promotion.delivery_evidence import DeliveryEvidence
from graft.registry.promotion.judged_predictions import LineMember, VersionPredictions
from graft.registry.promotion.standing import LINE, Standing, is_no_loss, stand

NOW = datetime(2026, 3, 1, tzinfo=UTC)
GATE = GateParams()


def table(images: int, size: int = 1) -> pd.DataFrame:
    """Return a test split of one class in groups of that size."""
    return pd.DataFrame(
        {
            "sha256": [f"{number:064x}" for number in range(images)],
            "label": "a",
            "group": [str(number // size) for number in range(images)],
        }
    )


def member(version: int, right: np.ndarray, recipe: str = "frozen") -> LineMember:
    probabilities = np.stack([right, ~right], axis=1).astype(float)
    sha256 = list(table(len(right))["sha256"])
    return LineMember(
        str(version), version - 1, recipe, VersionPredictions("d", ["a", "b"], sha256, probabilities, 1.0)
    )


def standing_of(members: list[LineMember], test: pd.DataFrame, gate: GateParams = GATE, champion: int = 0) -> Standing:
    last, first = members[-1], members[champion]
    one, other = (member.predictions.predicted() == test["label"].to_numpy(str) for member in (last, first))
    comparison = compare(one, other, gate.confidence, test["group"].to_numpy(str))
    since = "2026-01-20T00:00:00+00:00"
    return stand(members, len(members), test, test.head(0), last.version, first.version, gate, comparison, since, NOW)


def passes(standing: Standing, gate: GateParams = GATE) -> bool:
    return is_no_loss(standing, gate)


def pair(images: int, gained: int, lost: int) -> list[LineMember]:
    champion, candidate = np.ones(images, bool), np.ones(images, bool)
    candidate[:lost] = False
    champion[lost : lost + gained] = False
    return [member(1, champion), member(2, candidate)]


def test_a_champion_that_was_the_luckiest_of_many_is_seen_to_flatter() -> None:
    """The last eleven of one recipe are right on 90 %, the champion among them by luck on 94 %."""
    chance = np.random.default_rng(5)
    line = [member(1, chance.random(300) < 2)]
    right = np.ones(300, bool)
    right[:18] = False
    line = [member(1, right)]
    for version in range(2, 13):
        right = np.ones(300, bool)
        right[chance.permutation(300)[:30]] = False
        line.append(member(version, right))
    found = standing_of(line, table(300))
    assert found.champion_flattery is not None
    assert found.champion is not None
    assert found.champion_flattery > 0.015
    assert abs(found.candidate - 0.9) < 0.012
    assert (found.judged, found.challengers_since, found.champion_days) == (12, 11, 40)
    first, second, third = found.sentences()
    assert first.startswith(f"Expected on new images: accuracy {found.candidate:.1%}, ")
    assert f"of the champion {found.champion:.1%}, measured {100 * found.champion_flattery:.1f} points more." in first
    assert second == ("Judged on test: 12 versions. The champion is 40 days old, and 11 versions came after it.")
    assert third.startswith("These 300 images would show a difference of ")


def test_without_a_line_the_interval_decides_and_says_what_would_settle_it() -> None:
    equal = standing_of(pair(300, 0, 0), table(300))
    assert passes(equal)
    assert not equal.by_line
    few = standing_of(pair(60, 3, 3), table(60))
    assert not passes(few)
    assert few.images_more
    assert few.images_more > 60
    assert f"about {few.images_more:,} more would settle this one." in few.sentences()[-1]
    more = 20 * round((60 + 1.1 * few.images_more) / 20)
    assert passes(standing_of(pair(more, more // 20, more // 20), table(more)))
    worse = standing_of(pair(300, 0, 12), table(300))
    assert not passes(worse)
    assert worse.images_more == 0


def test_a_line_of_one_recipe_decides() -> None:
    """What the interval refuses for want of images, the line lets through: the champion was lucky, the trend rises."""
    chance = np.random.default_rng(8)
    line = []
    for version in range(1, 12):
        right = np.ones(300, bool)
        right[chance.permutation(300)[: 60 - 3 * version]] = False
        line.append(member(version, right))
    found = standing_of(line, table(300), champion=8)
    assert found.by_line
    assert found.lower is not None
    assert not standing_of(line[: LINE - 1], table(300)).by_line
    refused = found.model_copy(update={"by_line": False})
    assert passes(found)
    assert not passes(refused)


def test_images_that_came_later_show_a_champion_that_was_lucky() -> None:
    """The champion is right on 4 points more of test, and on 20 points fewer of 60 images that came after it."""
    chance, test = np.random.default_rng(3), table(300)
    later = table(360).iloc[300:].reset_index(drop=True)
    line = [member(1, np.arange(300) >= 18)]
    for version in range(2, 8):
        right = np.ones(300, bool)
        right[chance.permutation(300)[:30]] = False
        line.append(member(version, right))
    champion = np.concatenate([np.arange(300) >= 18, np.arange(60) >= 15])
    before = np.concatenate([line[-2].predictions.predicted() == "a", np.arange(60) >= 3])
    asked = [member(1, champion), *line[1:-2], member(6, before), line[-1]]
    comparison = compare(
        line[-1].predictions.predicted() == "a", np.arange(300) >= 18, 0.95, test["group"].to_numpy(str)
    )
    deliveries = DeliveryEvidence(images=60, champion=0.75, challengers=0.95, better=2.5, needed=20)
    without, found = (
        stand(members, 7, test, images, "7", "1", GATE, comparison, "", NOW, evidence)
        for members, images, evidence in ((line, test.head(0), None), (asked, later, deliveries))
    )
    assert without.gain is not None
    assert found.gain is not None
    assert found.gain > without.gain + 0.005
    assert found.sentences()[-1].startswith(
        "Of 60 images that came later the champion has 75.0% right, challengers 95.0%: evidence 2.5 to 1 that it is"
    )
    assert len(without.sentences()) == 3
    assert without.promised == pytest.approx(share_interval(np.arange(300) >= 30, None, 0.9).low)


def test_a_stuck_champion_gives_way_only_where_deliveries_decide_and_test_shows_no_loss() -> None:
    """The candidate is right on as many of 60 images, which is too few to be sure of two points."""
    few = standing_of(pair(60, 3, 3), table(60))
    stuck = DeliveryEvidence(images=300, champion=0.8, challengers=0.9, better=31, needed=20)
    shown, found = GateParams(deliveries="shown"), few.model_copy(update={"deliveries": stuck})
    assert passes(found)
    assert not passes(found, shown)
    assert not passes(few)
    unsure = stuck.model_copy(update={"better": 19.0})
    assert not passes(few.model_copy(update={"deliveries": unsure}))
    worse = standing_of(pair(300, 0, 12), table(300)).model_copy(update={"deliveries": stuck})
    assert not passes(worse)


def test_the_first_candidate_stands_alone() -> None:
    alone = stand(pair(50, 0, 5)[1:], 1, table(50), table(0), "2", None, GATE, None, "", NOW)
    assert (alone.champion, alone.gain) == (None, None)
    assert alone.candidate == pytest.approx(0.9)
    assert alone.sentences() == ["Expected on new images: accuracy 90.0%, as measured; judged on test: 1 version."]


def test_images_that_were_in_many_verdicts_and_new_ones_beside_an_official_test_are_told_of() -> None:
    line = [member(version, np.arange(60) >= version) for version in range(1, 5)]
    found = standing_of(line, table(60), GateParams(worn_after=3))
    assert found.worn == 60
    assert "60 test images were in many verdicts: new ones would tell more." in found.sentences()
    assert standing_of(line, table(60), GateParams(worn_after=4)).worn == 0
    beside = found.model_copy(update={"new": 40, "candidate_new": 0.9, "champion_new": 0.875})
    assert "Beside the official test, of 40 new test images the candidate has 90.0% right, the champion 87.5%." in (
        beside.sentences()
    )
    assert [beside.candidate, beside.gain] == [found.candidate, found.gain]


def test_another_recipe_has_a_level_of_its_own() -> None:
    """A network that is right on 8 points more is not drawn to the trend of the one before."""
    line = []
    for version in range(1, 9):
        right = np.ones(300, bool)
        right[version : version + 45] = False
        line.append(member(version, right))
    better = np.ones(300, bool)
    better[:21] = False
    same = standing_of([*line, member(9, better)], table(300))
    other = standing_of([*line, member(9, better, "fine_tune")], table(300))
    assert passes(other)
    assert other.candidate > 0.92
    assert other.candidate > same.candidate + 0.01


def test_macro_f1_reaches_the_comparison() -> None:
    """The candidate is right on as many images, and never on the rare class."""
    test = table(200)
    test.loc[190:, "label"] = "b"
    labels = (test["label"] == "b").to_numpy()
    champion, candidate = labels.copy(), np.zeros(200, bool)
    champion[:10] = True
    both = [member(1, ~champion), member(2, ~candidate)]
    by_accuracy = standing_of(both, test)
    assert by_accuracy.gain == pytest.approx(0, abs=1e-6)
    by_f1 = standing_of(both, test, GateParams(metric="macro_f1"))
    assert by_f1.gain is not None
    assert by_f1.gain < -0.05
    assert not passes(by_f1)
