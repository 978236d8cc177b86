"""Find files that nobody needs any more: in DVC's cache, of deliveries, of logs, and what kills have left.

A file of DVC's cache stays where a commit, a branch, a tag, git's reflog, the project's folder, an experiment that
waits, or the data set that an import replaced names it in a data.dvc or dvc.lock.
"""

import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from graft.automation.prune.leftover import Leftover, bytes_of, older_than, on_disk, remove_path
from graft.automation.retraining import deliveries
from graft.automation.retraining.intake import INCOMING
from graft.automation.retraining.quarantine import unacknowledged
from graft.core.git import run_git, try_git
from graft.core.outside import own_path
from graft.core.params.models import Params
from graft.core.project import Project
from graft.core.wording import counted
from graft.data.folder.dvc_cache import cache_folder, listed_files
from graft.deployment.monitor.log_file import LogFile

_MD5 = re.compile(r"\b[0-9a-f]{32}(?:\.dir)?\b")
_POINTERS = (":(top,glob)**/*.dvc", ":(top,glob)**/dvc.lock")


def cached_leftovers(project: Project, params: Params) -> Iterator[Leftover]:
    """Yield what DVC's cache holds and nothing names, as one leftover.

    A cache outside the project may be others' too, and is not looked at.
    """
    cache = cache_folder(project)
    objects = cache / "files" / "md5"
    if not cache.resolve().is_relative_to(project.home.resolve()) or not objects.is_dir():
        return
    named = named_objects(project, objects)
    files = [file for file in objects.glob("??/*") if file.parent.name + file.name not in named]
    old = older_than(files, params.prune.keep_days)
    if old:
        yield Leftover(
            "DVC's cache",
            counted(len(old), "file"),
            sum(map(bytes_of, old)),
            "no commit, and nothing in the project's folder, names them",
            partial(_remove_all, old),
        )


def named_objects(project: Project, objects: Path) -> set[str]:
    """Return the MD5, with ``.dir`` for folders, of all that is named anywhere, and what these folders hold.

    Args:
        objects: the folder of DVC's cache.
    """
    folders = (project.root, project.home, project.replaced, *project.home.glob(".dvc/tmp/exps/*"))
    texts = [
        file.read_text(encoding="utf-8", errors="replace")
        for folder in folders
        for file in (*folder.glob("*.dvc"), *folder.glob("dvc.lock"))
        if file.is_file()
    ]
    if try_git(project.root, "rev-parse", "--git-dir"):
        top = Path(run_git(project.root, "rev-parse", "--show-toplevel"))
        texts += [
            file.read_text(encoding="utf-8", errors="replace")
            for name in run_git(project.root, "ls-files", "--full-name", "--", *_POINTERS).splitlines()
            if (file := top / name).is_file()
        ]
        listed = run_git(project.root, "rev-list", "--all", "--reflog", "--objects", "--", *_POINTERS)
        parts = [line.partition(" ") for line in listed.splitlines()]  # of commits and trees too, such as that of .dvc/
        blobs = [blob for blob, _, name in parts if Path(name).suffix == ".dvc" or Path(name).name == "dvc.lock"]
        if blobs:
            texts.append(run_git(project.root, "cat-file", "--batch", text="\n".join(blobs) + "\n"))
    named = {md5 for text in texts for md5 in _MD5.findall(text)}
    folders_named = [md5 for md5 in named if md5.endswith(".dir")]
    return named.union(*((listed_files(objects / md5[:2] / md5[2:]) or {}).values() for md5 in folders_named))


def delivery_leftovers(project: Project, params: Params) -> Iterator[Leftover]:
    """Yield deliveries that were put away or refused long ago, and what a kill has left of one."""
    prune, settings = params.prune, params.retrain.deliveries
    inbox = deliveries.inbox_folder(project, params.retrain.source.inbox)
    for entry in deliveries.put_away_before(inbox, settings.keep_days):
        yield on_disk("delivery", entry, "taken in; data/ has its images (retrain.deliveries.keep_days)")
    quarantine = project.root / own_path(settings.quarantine)
    if prune.quarantine_days:
        stopping = unacknowledged(quarantine)
        for entry in older_than(quarantine.glob("*/"), prune.quarantine_days):
            if not any(entry.name.endswith(f"-{name}") for name in stopping):
                yield on_disk("quarantine", entry, f"refused more than {prune.quarantine_days} days ago")
    for folder in older_than([project.retraining / INCOMING], 1):
        yield on_disk("left by a kill", folder, "no retraining is at work with it")


def log_leftovers(project: Project, params: Params) -> Iterator[Leftover]:
    """Yield logs of servers, old rows of the prediction log, pages of `graft monitor`, and copies of data.dvc."""
    days = params.prune.keep_days
    for file in older_than([project.mlflow_log, project.prefect / "server.log"], days):
        yield on_disk("server's log", file, f"not written for {days} days")
    damaged = project.prediction_log.glob("predictions.sqlite.damaged-*")
    for file in older_than(damaged, days):
        yield on_disk("prediction log", file, "was damaged, and set aside")
    pages = older_than((one for one in project.drift_reports.glob("*") if one.name != "report.html"), days)
    for page in pages:
        yield on_disk("page of graft monitor", page, f"older than {days} days")
    if params.prune.log_days:
        yield from _old_rows(project, params.prune.log_days)


def _old_rows(project: Project, days: float) -> Iterator[Leftover]:
    log, limit = LogFile(project.prediction_log), time.time() - days * 86400
    if not log.path.exists():
        return
    with log.reading() as connection:
        rows = connection.execute("SELECT count(*) FROM predictions WHERE time < ?", (limit,)).fetchone()[0]
        total = connection.execute("SELECT count(*) FROM predictions").fetchone()[0]
    if rows:
        size = log.path.stat().st_size * rows // total
        yield Leftover(
            "prediction log", f"{rows:,} rows", size, f"older than {days:g} days", partial(log.remove_before, limit)
        )


def _remove_all(files: list[Path]) -> None:
    for file in files:
        remove_path(file)
