"""Retrainings in this process, in a second or two: real git and DVC, stand-ins for the pipeline and the registry.

DVC runs within this process, which saves its imports. The pipeline is a function that writes what its stages would;
the registry is a file of the champions, the last one last.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_project import TRAIN_STAGE, all_steps, environment, make_small_project, shell

from graft.automation.retraining.outcome import Outcome
from graft.core.environment import configure
from graft.core.errors import GraftError
from graft.core.params import load_params
from graft.core.params.models import Params
from graft.core.project import Project


def make_quick_project(root: Path) -> Project:
    """A committed project that was trained once, with a champion."""
    project = make_small_project(root)
    (root / "dvc.yaml").write_text(TRAIN_STAGE.format(train='"false"'))
    with in_this_process():
        pipeline(project, [])
        shell(root, "git", "add", "-A")
        shell(root, "git", "commit", "-q", "-m", "First")
    champions(project).parent.mkdir(parents=True, exist_ok=True)
    champions(project).write_text("0\n")
    return project


@contextlib.contextmanager
def no_services(own: Project, variables: dict[str, str]) -> Iterator[dict[str, str]]:
    """Start neither Prefect nor a server of libraries: the pipeline here needs none."""
    yield variables


def pipeline(own: Project, arguments: list[str], **more: Any) -> None:
    """What `dvc repro` would leave; fails over an image called poison, and refuses one called refused."""
    names = sorted(path.name for path in own.data.rglob("*.png"))
    if any(name.startswith("refused") for name in names):
        folder = own.artifacts("validate")
        folder.mkdir(parents=True, exist_ok=True)
        broken = {"name": "alike", "severity": "error", "description": "", "passed": False, "remedy": ""}
        broken |= {"observed": "two alike", "limit": "none", "offender_count": 0, "offenders": []}
        verdict = {"passed": False, "images": 0, "left_out": 0, "warnings": [], "off": [], "rules": [broken]}
        (folder / "verdict.json").write_text(json.dumps(verdict))
        raise GraftError("The pipeline stopped")
    if any(name.startswith("poison") for name in names):
        raise GraftError("The pipeline stopped")
    if arguments == ["split"]:
        return
    folder = own.artifacts("train")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.txt").unlink(missing_ok=True)
    (folder / "model.txt").write_text("\n".join(names))
    (folder / "metrics.json").write_text(json.dumps({"images": len(names)}))
    from graft.data.folder.versioning import run_dvc

    run_dvc(own, "commit", "--force", "--quiet")


def champions(project: Project) -> Path:
    return project.home / ".graft" / "champions"


def judge_first(own: Project, params: Params, outcome: Outcome, split: Callable[[], None]) -> None:
    """The pipeline runs up to its split, and the images that no model was trained on are named."""
    split()
    model = own.artifacts("train") / "model.txt"
    trained = set(model.read_text().splitlines()) if model.is_file() else set()
    outcome.judged_first = " ".join(sorted({path.name for path in own.data.rglob("*.png")} - trained))


def judge(own: Project, project: Project, params: Params, commit: str, outcome: Outcome, reason: str) -> None:
    """Whatever the worktree holds becomes champion, once."""
    lines = champions(project).read_text().splitlines()
    number = str(len((own.artifacts("train") / "model.txt").read_text().splitlines()))
    if lines[-1] != number:
        champions(project).write_text("\n".join([*lines, number]) + "\n")
        outcome.promoted, outcome.version = True, number
    outcome.champion = number


@contextlib.contextmanager
def in_this_process() -> Iterator[pytest.MonkeyPatch]:
    """DVC in this process, and the stand-ins, for the length of the block."""
    really = subprocess.run

    def run(command: Any, **options: Any) -> Any:
        if list(command[1:3]) != ["-m", "dvc"]:
            return really(command, **options)
        return dvc(command[3:], options["cwd"])

    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        patch.setattr(tempfile, "tempdir", None)  # configuring a project changes it, and the environment
        before = dict(os.environ)
        patch.setenv("DVC_TEST", "true")  # else it writes around a stdout that was put in place of the one before
        patch.setattr("graft.data.folder.versioning.subprocess.run", run)
        patch.setattr("graft.automation.retraining.retraining.stage_services", no_services)
        patch.setattr("graft.automation.retraining.retraining.reproduce", pipeline)
        patch.setattr("graft.automation.retraining.retraining.judge_deliveries", judge_first)
        patch.setattr("graft.automation.retraining.finishing.judge_challenger", judge)
        try:
            yield patch
        finally:
            for name in os.environ.keys() - before.keys():
                del os.environ[name]


def dvc(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A DVC command, within this process."""
    from dvc.cli import main

    before = Path.cwd()
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as error:
        os.chdir(folder)
        try:
            code = main(list(arguments))
        finally:
            os.chdir(before)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), error.getvalue())


def retrain(project: Project, change: Callable[[Any], None] = lambda retraining: None, **options: Any) -> Outcome:
    """One retraining, to its end.

    Args:
        project: to be retrained.
        change: is handed the retraining before it begins.
        options: of the retraining.
    """
    from graft.automation.retraining.retraining import Retraining

    configure(project)
    retraining = Retraining(project, load_params(project.params_file), **options)
    change(retraining)
    all_steps(retraining)
    return retraining.outcome


def in_a_child(action: Callable[[], object]) -> int:
    """Run something in a fork of this process; its exit code, negative where a signal ended it."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def count_things(act: Callable[[str], None]) -> Callable[[], list[str]]:
    """Call ``act`` before each thing that a retraining does to files and processes.

    A thing is a line of graft's that does it, the first time or a later one; ``act`` gets its name the first time it
    comes up. Returns what gives the names so far.
    """
    import shutil

    names: list[str] = []
    seen: dict[str, int] = {}

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **more: Any) -> Any:
            if site := _site(sys._getframe(1)):
                name = f"{site} {function.__name__}"
                seen[name] = seen.get(name, 0) + 1
                name += " again" if seen[name] > 1 else ""
                if name not in names:
                    names.append(name)
                    act(name)
            return function(*arguments, **more)

        return counted

    for module, functions in {
        os: ("rename", "replace", "unlink", "link", "symlink", "mkdir", "rmdir"),
        shutil: ("copyfile", "rmtree"),
        subprocess: ("run",),
    }.items():
        for function in functions:
            setattr(module, function, counting(getattr(module, function)))
    return lambda: names


_BETWEEN = ("graft.core", "pathlib", "shutil", "subprocess", "os", "contextlib", "quick", "tempfile")


def _site(frame: Any) -> str:
    """The innermost line of graft's that the call comes from, "" for others' own business and for scans."""
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith(("graft.automation.retraining", "graft.data.folder.versioning")):
            return f"{name}:{frame.f_lineno}"
        if not name.startswith(_BETWEEN):
            return ""
        frame = frame.f_back
    return ""
