"""What is still open after the commit of a retraining, noted in ``.graft/state/retrain/open.json``.

The file holds no absolute path: a project may be moved between two runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from graft.core.errors import GraftError
from graft.core.files import write_file
from graft.core.project import Project

Step = Literal["check out", "judge", "push", "tell"]
STEPS: tuple[Step, ...] = ("check out", "judge", "push", "tell")


@dataclass(frozen=True)
class OpenCommit:
    """A commit of a retraining, and what is left to do about it.

    Attributes:
        run: id of the run.
        at: when that began, UTC, ISO 8601.
        branch: that the commit is on.
        commit: 40 hex digits.
        before: of each file that the commit changes, by path in the repository, git's hash of what the user's folder
            held when the run began; ``""`` where there was no such file.
        outcome: what came of the run up to the commit, see :class:`graft.automation.retraining.outcome.Outcome`.
        todo: steps that are left, in their order.
    """

    run: str
    at: str
    branch: str
    commit: str
    before: dict[str, str]
    outcome: dict[str, Any]
    todo: tuple[Step, ...] = field(default=STEPS)

    def __str__(self) -> str:
        return f"commit {self.commit[:10]} of {self.at[:16].replace('T', ' ')} UTC: {', '.join(self.todo)}"


def read_open(project: Project) -> list[OpenCommit]:
    """Return the commits whose retraining is not finished, the oldest first.

    Raises:
        GraftError: the file cannot be read as such a list.
    """
    path = _file(project)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [OpenCommit(**{**one, "todo": tuple(one["todo"])}) for one in content]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError):
        raise GraftError(
            f"{path} is not what a retraining writes", "Give up what it held: graft retrain --abandon"
        ) from None


def write_open(project: Project, commits: Sequence[OpenCommit]) -> None:
    """Note the commits whose retraining is not finished; those with nothing left to do are dropped."""
    left = [asdict(one) for one in commits if one.todo]
    if left:
        write_file(_file(project), json.dumps(left, indent=1, ensure_ascii=False) + "\n")
    else:
        _file(project).unlink(missing_ok=True)


def _file(project: Project) -> Path:
    return project.retraining / "open.json"
