"""Run the pipeline as a whole, by one `dvc repro`, and read its results."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.automation.killed_stages import forget_killed, killed_error
from graft.automation.prefect_server import URL, shared_server
from graft.automation.warm import REPORT
from graft.automation.warm.start import warm_stages
from graft.core.dvc_rwlock import clear_abandoned_rwlock
from graft.core.errors import GraftError, did_you_mean
from graft.core.git import repository_top
from graft.core.processes import run_to_end
from graft.core.project import Project
from graft.core.quotas import memory_kills
from graft.core.timing import Breakdown, read_breakdown
from graft.core.yaml_text import read_mapping
from graft.data.folder.versioning import require_repository
from graft.evaluation.headline import Headline
from graft.registry.store.reachable import require_answer

# Of `dvc repro`; all are switches. tests/automation/test_pipeline.py compares them with DVC's own help.
DVC_LETTERS = "hqvfispPRk"
DVC_OPTIONS = (
    *("--help", "--quiet", "--verbose", "--force", "--interactive", "--single-item", "--pipeline"),
    *("--all-pipelines", "--recursive", "--downstream", "--force-downstream", "--pull", "--allow-missing", "--dry"),
    *("--keep-going", "--ignore-errors", "--glob", "--no-commit", "--no-run-cache"),
)

_RESTORE = "Restore it with git"


@dataclass(frozen=True)
class StrategyResult:
    """Give the test figures of one strategy or ensemble, the seconds it took to make, and its MLflow run."""

    strategy: str
    figures: Headline
    seconds: float
    run_id: str


@contextmanager
def stage_services(project: Project, environment: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Yield the environment of stages that share one Prefect server and, on Linux, libraries imported once.

    In a block of this, :func:`reproduce` that is given what it yields starts neither again.

    Args:
        environment: of the stages, on top of this process's own.
    """
    if environment is not None and URL in environment:  # of a block around this one, whose server may still be starting
        yield {**_environment(), **environment}
        return
    with (
        shared_server(project) as prefect,
        warm_stages(project, {**_environment(), **prefect, **(environment or {})}) as of_stages,
    ):
        yield of_stages


def reproduce(
    project: Project,
    arguments: list[str],
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
    report: bool = False,
) -> Breakdown | None:
    """Run `dvc repro` with one Prefect server for all its flows, and their libraries imported once, on Linux.

    After a run of the whole pipeline MLflow is compared with its files, and what disagrees is run again.

    Args:
        arguments: passed on to DVC: stage names, ``--force`` and so on.
        timeout: seconds that it may take; None for no limit.
        environment: of the stages, on top of this process's own.
        report: write the report on what is registered where there was something to do, see
            :mod:`graft.automation.run_report`.

    Returns:
        Where the time went; None where there was nothing to do.

    Raises:
        GraftError: there is no git repository; a stage failed, which has printed its reason already; or it took
            longer than ``timeout``, and what was running has been ended.
        KeyboardInterrupt: stopped by the user.
    """
    require_repository(project)
    started = time.time()
    repository_top(project.root)  # raises where git refuses
    if project.tracking_is_served:
        from graft.registry.store.tracking_store import open_store

        open_store(project)  # raises where the server does not let us in: not only once there is something to write
    else:
        require_answer(project.tracking_uri)
    with stage_services(project, environment) as of_stages:
        _run_dvc(project, arguments, of_stages, timeout)
        if "--dry" not in arguments and all(argument.startswith("-") for argument in arguments):
            from graft.core.params import load_params
            from graft.registry.agreement import mend

            if again := mend(project, load_params(project.params_file)):
                print("MLflow does not have what the files here say: running", *again[2:], "again.", flush=True)
                left = None if timeout is None else max(1.0, timeout - (time.time() - started))
                _run_dvc(project, again, of_stages, left)
        breakdown = read_breakdown(project.timings, started, time.time() - started)
        if report and breakdown.compute:
            subprocess.run([sys.executable, "-m", REPORT], cwd=project.root, env=of_stages, check=False)
    return breakdown if breakdown.compute else None


def _run_dvc(project: Project, arguments: list[str], environment: Mapping[str, str], timeout: float | None) -> None:
    command = [sys.executable, "-m", "dvc", "repro", *arguments]
    clear_abandoned_rwlock(project.root)
    forget_killed(project)
    kills = memory_kills()
    try:
        code = run_to_end(command, timeout, cwd=project.root, env=environment)
    except subprocess.TimeoutExpired:
        raise GraftError(
            f"The pipeline had not ended after {timeout:.0f} s, and was ended",
            "Raise the limit, or look at what held it up: graft ui",
        ) from None
    if code != 0:
        if killed := forget_killed(project):
            raise killed_error(killed[-1], memory_kills() > kills)
        raise GraftError(
            "The pipeline stopped at the stage named above; what was done before it is kept",
            "Do what its message says, and run the same command again",
        )


def require_known(project: Project, arguments: list[str]) -> None:
    """Check what is to be passed on to `dvc repro`, before anything is fetched or started for it.

    Raises:
        GraftError: an option that it does not have, or a name that is no stage and no file; the message has the
            nearest one.
    """
    names = stage_names(project)
    for argument in arguments:
        if argument.startswith("-"):
            letters = argument.startswith("--") or set(argument[1:]) - set(DVC_LETTERS)
            if letters and argument not in DVC_OPTIONS:
                fix = did_you_mean(argument, DVC_OPTIONS, "See: dvc repro --help")
                raise GraftError(f"`graft run` has no option {argument}", fix)
        elif not (argument in names or "--glob" in arguments or (project.root / argument.split(":")[0]).exists()):
            raise GraftError(f"The pipeline has no stage '{argument}'", did_you_mean(argument, names))


def stage_names(project: Project) -> list[str]:
    """Return what `dvc repro` may be asked for: every stage of dvc.yaml, and of a matrix each of its members too.

    Raises:
        GraftError: dvc.yaml or params.yaml is not YAML.
    """
    params, names = read_mapping(project.root / "params.yaml", _RESTORE), []
    for name, stage in (read_mapping(project.root / "dvc.yaml", _RESTORE).get("stages") or {}).items():
        names.append(str(name))
        axes = list((stage.get("matrix") or {}).values()) or [stage[key] for key in ("foreach",) if key in stage]
        members = itertools.product(*(_looked_up(axis, params) or [] for axis in axes)) if axes else ()
        names += [f"{name}@{'-'.join(map(str, member))}" for member in members]
    return names


def _looked_up(value: Any, params: dict[str, Any]) -> Any:
    """Return what a `${section.key}` of dvc.yaml stands for; anything else as it is."""
    if not (isinstance(value, str) and value.startswith("${")):
        return value
    found: Any = params
    for key in value[2:-1].split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def read_results(project: Project, folders: Mapping[str, Path]) -> list[StrategyResult]:
    """Return the test figures of strategies and ensembles, in the order of ``folders``.

    Raises:
        GraftError: the pipeline has not been run to its end.
    """
    try:
        return [_read_result(project, name, folder) for name, folder in folders.items()]
    except FileNotFoundError:
        raise GraftError("There are no results yet", "Run the pipeline with `graft run`") from None


def read_registered(project: Project) -> dict[str, object]:
    """Return the record of the last register stage: model, version, aliases, strategy, metric, value, run_id.

    Raises:
        GraftError: nothing has been registered yet.
    """
    from graft.registry.register import registered_record

    record = registered_record(project)
    if not record:
        raise GraftError("No model has been registered yet", "Run the pipeline with `graft run`")
    return record


def _read_result(project: Project, name: str, folder: Path) -> StrategyResult:
    figures = Headline.read(project, name)
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return StrategyResult(strategy=name, figures=figures, seconds=record["seconds"], run_id=record["run_id"])


def _environment() -> dict[str, str]:
    """Return this process's environment with its own Python first, so that stages need no activated venv."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path}
