"""What the project itself remembers of its retrainings, whether or not a Prefect server answers."""

from __future__ import annotations

import json
from dataclasses import fields

from graft.project import Project
from graft.retraining.outcome import DeliveryOutcome, Outcome
from graft.retraining.retraining import HISTORY_FILE


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
            found.append(_outcome(json.loads(line)))
        except (ValueError, TypeError, KeyError):
            continue
    return found


def _outcome(record: object) -> Outcome:
    if not isinstance(record, dict):
        raise TypeError
    known = {field.name for field in fields(Outcome)}
    values = {name: value for name, value in record.items() if name in known}
    deliveries = [DeliveryOutcome(**one) for one in values.pop("deliveries", [])]
    return Outcome(**values, deliveries=deliveries)
