"""What a person is told of a retraining."""

from typing import Any

import pytest

from graft.automation.retraining.outcome import DeliveryOutcome, Outcome, from_record, message, promotion_reason, title
from graft.registry.promotion.line import MAX_REASON

AT = "2026-11-25T03:00:12+00:00"
TAKEN = DeliveryOutcome("week-1", "taken in", {"blue": 2, "red": 3})
REFUSED = DeliveryOutcome("week-2", "quarantined", reasons=["It holds no images."], place="quarantine/x-week-2")
FIGURES = {"challenger": {"accuracy": 0.97}, "champion": {"accuracy": 0.95}}


def outcome(**facts: Any) -> Outcome:
    return Outcome(AT, "hands", **facts)


@pytest.mark.parametrize(
    ("facts", "events", "says"),
    [
        ({}, ["nothing"], "nothing to do"),
        ({"reasons": ["forced"]}, ["nothing"], "trained, and the champion stays"),
        ({"promoted": True, "version": "4"}, ["promoted"], "version 4 is champion"),
        ({"refused": ["minimum: 0.6"], "version": "4"}, ["refused"], "version 4 did not pass the gate"),
        ({"deliveries": [TAKEN, REFUSED]}, ["quarantined"], "a delivery needs a look"),
        (
            {"promoted": True, "version": "4", "deliveries": [REFUSED]},
            ["promoted", "quarantined"],
            "version 4 is champion",
        ),
        ({"failure": "The disk is full.", "deliveries": [REFUSED]}, ["failed", "quarantined"], "retraining failed"),
    ],
)
def test_the_title_says_what_is_most_urgent(facts: dict[str, Any], events: list[str], says: str) -> None:
    found = outcome(**facts)
    assert found.events == events
    assert title(found) == f"graft, hands: {says}"


def test_a_promotion_says_what_came_in_how_good_it_is_and_how_to_go_back() -> None:
    text = message(
        outcome(
            reasons=["5 new images in week-1"],
            deliveries=[TAKEN],
            version="4",
            strategy="frozen",
            figures=FIGURES,
            promoted=True,
            commit="0123456789abcdef",
        )
    )
    assert "week-1: taken in, 2 blue, 3 red" in text
    assert "right on 97.00% of today's test images, the champion before it on 95.00%" in text
    assert "commit 0123456789" in text
    assert "graft rollback" in text


def test_a_refused_delivery_says_why_and_where_it_lies() -> None:
    text = message(outcome(deliveries=[REFUSED]))
    assert "week-2: quarantined; It holds no images; see quarantine/x-week-2" in text


def test_a_failure_says_that_nothing_has_changed() -> None:
    text = message(outcome(failure="The disk is full."))
    assert "The disk is full." in text
    assert "are as they were" in text
    assert "graft retrain" in text


def test_a_failure_after_the_commit_says_that_it_stands() -> None:
    text = message(outcome(failure="MLflow does not answer.", commit="0123456789abcdef"))
    assert "The new images and the commit stand" in text
    assert "are as they were" not in text


def test_a_challenger_that_waits_can_be_promoted_by_hand() -> None:
    text = message(outcome(reasons=["forced"], version="4", champion="3", figures=FIGURES))
    assert "graft promote" in text
    assert "--without-gate" not in text


def test_the_history_says_which_deliveries_made_a_champion() -> None:
    assert promotion_reason(outcome(deliveries=[TAKEN, REFUSED])) == "retraining: 5 images of week-1"
    assert promotion_reason(outcome(reasons=["forced"])) == "retraining: forced"


def test_a_record_can_be_read_by_programs() -> None:
    record = outcome(deliveries=[TAKEN]).as_record()
    assert record["events"] == ["nothing"]
    assert record["deliveries"][0]["counts"] == {"blue": 2, "red": 3}


def test_m8_the_reason_of_a_promotion_is_no_longer_than_the_registry_takes() -> None:
    many = [DeliveryOutcome(f"delivery of day {number:03}", "taken in", {"red": 3}) for number in range(40)]
    reason = promotion_reason(outcome(deliveries=many))
    assert reason.startswith("retraining: 3 images of delivery of day 000, 3 images of")
    assert reason.endswith("delivery of day 003, and 36 more")
    long = [DeliveryOutcome("x" * 255, "taken in", {"red": 3}) for _ in range(5)]
    for facts in ({"deliveries": long}, {"reasons": ["y" * 3000]}):
        assert len(promotion_reason(outcome(**facts))) == MAX_REASON


def test_l15_what_another_graft_wrote_of_a_delivery_is_passed_over() -> None:
    record = outcome(deliveries=[TAKEN]).as_record()
    record["deliveries"][0]["of_a_later_graft"] = 1
    assert from_record(record) == outcome(deliveries=[TAKEN])
