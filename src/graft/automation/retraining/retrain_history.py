"""Read and write the project's own history of retrainings, whether or not a Prefect server answers."""

import json

from graft.automation.retraining.outcome import Outcome, from_record
from graft.core.project import Project

HISTORY_FILE = "history.jsonl"


def add_outcome(project: Project, outcome: Outcome) -> None:
    """Add a retraining to the history."""
    path = project.retraining / HISTORY_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(outcome.as_record(), ensure_ascii=False) + "\n")


def last_outcomes(project: Project, count: int) -> list[Outcome]:
    """Return what came of the last retrainings, the last one first; lines that a kill has torn are passed over."""
    try:
        lines = (project.retraining / HISTORY_FILE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found: list[Outcome] = []
    for line in reversed(lines):
        if len(found) == count:
            break
        try:
            found.append(from_record(json.loads(line)))
        except (ValueError, TypeError, AttributeError):
            continue
    return found
