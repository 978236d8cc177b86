"""Read and write what earlier splits fixed for good, in the two files that carry it from one run to the next.

    settled.json         groups that were given another part than their hash says, and the SHA-256 of the other file;
                         small, committed to git
    settled_groups.csv   every image or group that was ever divided, and the name it is drawn by; DVC has it

Without them, images of test could be drawn anew and land in training. So a file that was there and is not, or that
does not belong to the other, is an error.
"""

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

from graft.core.dvc_lock import outputs_of
from graft.core.errors import GraftError
from graft.core.files import sha256_of, write_file
from graft.core.git import try_git
from graft.core.project import Project

_COLUMNS = ["draw", "unit", "name"]

Names = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Memory:
    """The assignments that earlier runs fixed, by draw (a text that names part, seed and shares; another draw, another
    entry).

    Attributes:
        founders: by draw and class, some groups of the class when it was settled.
        exchanged: by draw and group, the part it was given against its hash.
        names: by what groups are made of, the name that each image or group is drawn by, see
            :mod:`graft.data.splits.settled_groups`.
    """

    founders: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    exchanged: dict[str, dict[str, int]] = field(default_factory=dict)
    names: Names = field(default_factory=dict)


def read_memory(project: Project) -> Memory:
    """Return what earlier runs of the stage assigned for good; empty before the first.

    Raises:
        GraftError: a file is gone that git or dvc.lock knows of, cannot be read, or belongs to another run.
    """
    path, groups = project.split_memory, project.settled_groups
    if not path.is_file():
        if _is_recorded(project, path):
            raise _lost(project, path)
        return Memory()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        founders, exchanged = dict(content["founders"]), dict(content["exchanged"])
        expected = content["groups"]
    except (ValueError, KeyError, TypeError):
        raise GraftError(
            f"{path} cannot be read as what earlier splits settled", "Restore it with `git checkout`"
        ) from None
    if not groups.is_file():
        raise _lost(project, groups)
    if sha256_of(groups) != expected:
        raise GraftError(
            f"{_shown(project, groups)} and {_shown(project, path)} are not of the same run, and with an old one "
            "images of test could be drawn anew",
            f"Bring both to one commit: git checkout {_shown(project, path)} dvc.lock, and "
            f"`dvc pull {_shown(project, groups)}` (or `dvc checkout` where DVC's cache has it)",
        )
    return Memory(founders, exchanged, _read_names(groups))


def write_memory(memory: Memory, project: Project) -> None:
    """Write the memory as JSON and CSV: UTF-8, LF, equal for equal memory."""
    table = io.StringIO()
    # All quoted: a carriage return in a name would else end its line.
    rows = csv.writer(table, lineterminator="\n", quoting=csv.QUOTE_ALL)
    rows.writerow(_COLUMNS)
    for draw, names in sorted(memory.names.items()):
        # Most are called by their own name, which need not be written twice.
        rows.writerows((draw, unit, "" if name == unit else name) for unit, name in sorted(names.items()))
    write_file(project.settled_groups, table.getvalue())
    content = {"founders": memory.founders, "exchanged": memory.exchanged, "groups": sha256_of(project.settled_groups)}
    write_file(project.split_memory, json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def _read_names(path: Path) -> Names:
    names: Names = {}
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = csv.reader(stream, strict=True)
            if next(rows, None) != _COLUMNS:
                raise ValueError("other columns")
            for draw, unit, name in rows:
                # One text serves for both.
                names.setdefault(draw, {})[unit] = unit if name in ("", unit) else name
    except (ValueError, csv.Error):
        raise GraftError(
            f"{path} cannot be read as the names of groups",
            f"Restore it with `dvc checkout artifacts/split/{path.name}`",
        ) from None
    return names


def _is_recorded(project: Project, path: Path) -> bool:
    """Return whether git or dvc.lock knows of a file, so that there was one."""
    name = path.relative_to(project.root).as_posix()
    if try_git(project.root, "ls-files", "--error-unmatch", "--", name) is not None:
        return True
    return any(out["path"] == name for out in outputs_of(project).get("split", []))


def _lost(project: Project, path: Path) -> GraftError:
    shown = _shown(project, path)
    if path == project.split_memory:
        fix = f"Bring it back with `git checkout {shown}`; where it was never committed, commit it where it is"
    else:
        fix = f"Bring it back with `dvc pull {shown}` (or `dvc checkout {shown}` where DVC's cache has it)"
    return GraftError(
        f"{shown} is missing, where earlier splits wrote down what stays where: without it, images of test could be "
        "drawn anew and land in training",
        f"{fix}; to divide the data anew on purpose, take another split.seed then",
    )


def _shown(project: Project, path: Path) -> str:
    return path.relative_to(project.root).as_posix()
