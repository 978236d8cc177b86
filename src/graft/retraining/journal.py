"""What a run is about to change, written down before it does, so that it can be taken back after any kind of end.

::

    .graft/state/retrain/journal/
      journal.json       whose run, which deliveries, how far
      data.dvc, dvc.lock as they were before the run
      data.now           data.dvc with the hash of data/ as it was, which may be ahead of data.dvc; where data/ was
                         empty, as what came from DVC's remote has made it
      kept/...           outputs of the pipeline that DVC does not keep: git's own small files below artifacts/

The folder appears and goes with one rename each. While it is there, a run is under way or was cut off. Up to the git
commit everything is taken back (:func:`take_back`), and the deliveries wait in the inbox; from the commit on, what is
left is done (gate, promotion, message), which may be repeated.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from graft.data import swap, versioning
from graft.data.swap import is_empty
from graft.data.versioning import pointer_file, run_dvc
from graft.errors import GraftError
from graft.project import Project

_FILES = ("data.dvc", "dvc.lock")


@dataclass(frozen=True)
class TakenIn:
    """A delivery that goes into data/.

    Attributes:
        name: of it.
        paths: what it consists of in the inbox.
        counts: new images by class.
        left_out: of each image that is not taken: its file (``""`` for none), its path in the delivery, and why.
        notes: what else a person should know.
    """

    name: str
    paths: list[str]
    counts: dict[str, int]
    left_out: list[list[str]]
    notes: list[str]


@dataclass(frozen=True)
class Journal:
    """How far a run has come.

    Attributes:
        run: its id, 32 hex digits; the git commit names it too.
        at: when it began, UTC, ISO 8601.
        flow_run: Prefect's id of it, ``""`` outside Prefect.
        reason: why there was something to do, in a sentence.
        deliveries: those that are being taken in.
        commit: the commit that recorded it, ``""`` before.
    """

    run: str
    at: str
    flow_run: str = ""
    reason: str = ""
    deliveries: list[TakenIn] = field(default_factory=list)
    commit: str = ""


def read_journal(project: Project) -> Journal | None:
    """The journal of a run that is under way or was cut off, or None.

    Raises:
        GraftError: it cannot be read.
    """
    path = project.retraining_journal / "journal.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["deliveries"] = [TakenIn(**one) for one in content["deliveries"]]
        return Journal(**content)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        raise GraftError(
            f"{path} cannot be read as the journal of a retraining",
            "Restore data.dvc and dvc.lock with git, run `dvc checkout`, and remove the folder",
        ) from None


def open_journal(project: Project, journal: Journal) -> None:
    """Writes down how things are; nothing may be changed before.

    Raises:
        GraftError: DVC cannot keep data/ as it is now.
    """
    folder = project.retraining_journal
    new = folder.with_name("journal.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name in _FILES:
        if (project.root / name).is_file():
            shutil.copyfile(project.root / name, new / name)
    for path in uncached_outputs(project):
        kept = new / "kept" / path
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(project.root / path, kept)
    _keep_data(project, new)
    _write(new, journal)
    new.rename(folder)


def keep_fetched(project: Project) -> None:
    """Where data/ was empty when the journal was opened, makes what DVC's remote has brought since what to go back to.

    Without that, nothing would tell what came later from it, and a delivery that is refused would stay in data/.

    Raises:
        GraftError: DVC cannot keep data/ as it is now.
    """
    if not (project.retraining_journal / "data.now").is_file():
        _keep_data(project, project.retraining_journal)


def note(project: Project, journal: Journal, **facts: Any) -> Journal:
    """The journal with more facts; with ``commit``, nothing is taken back any more."""
    journal = replace(journal, **facts)
    _write(project.retraining_journal, journal)
    return journal


def close_journal(project: Project) -> None:
    """Ends a run: there is nothing left to do or to take back."""
    folder = project.retraining_journal
    if folder.exists():
        dropped = folder.with_name(f"dropped-{uuid.uuid4().hex}")
        folder.rename(dropped)
    for old in project.retraining.glob("dropped-*"):
        shutil.rmtree(old, ignore_errors=True)


def take_back(project: Project) -> None:
    """Puts data/, data.dvc, dvc.lock and the pipeline's outputs back to what they were when the journal was opened.

    May be repeated, and cut off anywhere. Outputs come back from DVC's cache; one that is missing there stays away,
    and the pipeline would make it again. What came from DVC's remote into an empty data/ stays, see
    :func:`keep_fetched`.

    Raises:
        GraftError: DVC cannot restore data/.
    """
    folder = project.retraining_journal
    swap.recover(project)
    now = folder / "data.now"
    if now.is_file():
        _put(now, pointer_file(project))
        run_dvc(project, "checkout", "--force", "data.dvc")
    for name in _FILES:
        if (folder / name).is_file():
            _put(folder / name, project.root / name)
        else:
            (project.root / name).unlink(missing_ok=True)
    if (folder / "dvc.lock").is_file():
        run_dvc(project, "checkout", "--force", "--allow-missing", *_stage_outputs(project))
    kept = {path.relative_to(folder / "kept") for path in _files(folder / "kept")}
    for path in uncached_outputs(project):
        if path not in kept:
            (project.root / path).unlink(missing_ok=True)
    for path in kept:
        _put(folder / "kept" / path, project.root / path)


def uncached_outputs(project: Project) -> list[Path]:
    """Files below artifacts/ that git may see, which are those that DVC does not keep; paths in the project."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "artifacts"]
    try:
        done = subprocess.run(command, cwd=project.root, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise GraftError(f"git does not answer in {project.root}: {error}", "Run it again") from None
    if done.returncode:
        raise GraftError(
            f"{project.root} is not under git, so that a retraining could not record what it did",
            "Run `git init`, and commit the project",
        )
    paths = [Path(name) for name in done.stdout.split("\0") if name]
    return [path for path in paths if (project.root / path).is_file()]


def _stage_outputs(project: Project) -> list[str]:
    """Names of the stages in dvc.lock: all of DVC's outputs but data/, which is restored by itself."""
    from ruamel.yaml import YAML

    content = YAML(typ="safe").load((project.root / "dvc.lock").read_text(encoding="utf-8")) or {}
    return sorted(content.get("stages", {}))


def _keep_data(project: Project, folder: Path) -> None:
    if not is_empty(project.data):
        # Images that were put into data/ by hand are in nobody's cache yet.
        versioning.add(project)
        _put(pointer_file(project), folder / "data.now")


def _write(folder: Path, journal: Journal) -> None:
    new = folder / "journal.json.new"
    new.write_text(json.dumps(asdict(journal), indent=1) + "\n", encoding="utf-8")
    new.replace(folder / "journal.json")


def _put(source: Path, target: Path) -> None:
    if target.is_file() and target.read_bytes() == source.read_bytes():
        return  # its time stays too
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f"{target.name}.new")
    shutil.copyfile(source, new)
    new.replace(target)


def _files(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (Path(where, name) for name in names)
