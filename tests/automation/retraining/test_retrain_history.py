"""What the project remembers of its retrainings."""

import json

from graft.automation.retraining.outcome import DeliveryOutcome, Outcome, title
from graft.automation.retraining.retrain_history import last_outcomes
from graft.core.project import Project


def write(project: Project, *lines: str) -> None:
    folder = project.state / "retrain"
    folder.mkdir(parents=True)
    (folder / "history.jsonl").write_text("".join(lines))


def line(outcome: Outcome) -> str:
    return json.dumps(outcome.as_record()) + "\n"


def test_without_a_history_there_is_none(project: Project) -> None:
    assert last_outcomes(project, 5) == []


def test_the_last_ones_come_first_and_whole(project: Project) -> None:
    delivered = DeliveryOutcome("week-1", "taken in", {"rock": 3})
    outcomes = [
        Outcome(f"2026-11-2{day}T03:00:00+00:00", "hands", version=str(day), promoted=True, deliveries=[delivered])
        for day in range(4)
    ]
    write(project, *map(line, outcomes))
    found = last_outcomes(project, 2)
    assert found == [outcomes[3], outcomes[2]]
    assert title(found[0]) == "graft, hands: version 3 is champion"


def test_torn_and_foreign_lines_are_passed_over(project: Project) -> None:
    good = Outcome("2026-11-25T03:00:00+00:00", "hands")
    later = json.dumps({**good.as_record(), "of_a_later_graft": 1}) + "\n"
    write(project, line(good), "[]\n", later, '{"at": "2026-11-', "\n")
    assert last_outcomes(project, 9) == [good, good]
