"""How often the pipeline failed over a delivery without saying that the delivery is at fault."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from graft.automation.retraining.checking import Checked
from graft.core.files import write_file
from graft.core.project import Project

# From the second failure on a delivery is tried alone, so that it takes no other one along.
ALONE_AFTER = 2
# Then it goes into the quarantine: a failure that comes again and again is not the weather.
MOST = 3


def failures_of(project: Project, checked: Checked) -> int:
    """Return how many runs in a row have failed with exactly this delivery."""
    return _read(project).get(_key(checked), 0)


def count_failure(project: Project, tried: Sequence[Checked]) -> list[Checked]:
    """Note that a run has failed with these deliveries; return those that have failed too often."""
    counts = _read(project)
    counts |= {_key(checked): counts.get(_key(checked), 0) + 1 for checked in tried}
    write_file(project.retraining / "failures.json", json.dumps(counts, indent=1) + "\n")
    return [checked for checked in tried if counts[_key(checked)] >= MOST]


def forget_failures(project: Project, dealt_with: Iterable[Checked]) -> None:
    """Forget deliveries that were dealt with."""
    counts, gone = _read(project), {_key(checked) for checked in dealt_with}
    if gone & counts.keys():
        left = {key: count for key, count in counts.items() if key not in gone}
        write_file(project.retraining / "failures.json", json.dumps(left, indent=1) + "\n")


def _key(checked: Checked) -> str:
    """Name and contents: one that was mended begins anew."""
    contents = hashlib.sha256("".join(sorted(checked.sha256)).encode()).hexdigest()
    return f"{checked.delivery.name} {contents}"


def _read(project: Project) -> dict[str, int]:
    try:
        content = json.loads((project.retraining / "failures.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # none yet; one that cannot be read costs a delivery two more attempts
    return content if isinstance(content, dict) else {}
