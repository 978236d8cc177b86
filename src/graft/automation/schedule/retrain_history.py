"""What the project itself remembers of its retrainings, whether or not a Prefect server answers."""

from __future__ import annotations

import json

from graft.automation.retraining.outcome import Outcome, from_record
from graft.automation.retraining.retraining import HISTORY_FILE
from graft.core.project import Project


def last_outcomes(project: Project, count: int) -> list[Outcome]:
    """What came of the last retrainings, the last one first; lines that a kill has torn are passed over."""
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
