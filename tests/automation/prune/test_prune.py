"""Pruning: what nobody needs goes, and everything else works as before."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from quick import in_this_process, make_quick_project, retrain
from recorded import copy_of
from small_project import deliver, pictures_in, shell
from typer.testing import CliRunner

from graft.automation.prune.file_leftovers import cached_leftovers
from graft.automation.prune.pruning import find_leftovers, prune_nightly, remove_leftovers
from graft.automation.retraining.retrain_history import last_outcomes
from graft.cli.main import app
from graft.core.params import load_params
from graft.core.params.decide_params import DecideParams
from graft.core.params.models import RegisterParams
from graft.core.params.monitor_params import LogParams
from graft.core.params.prune_params import PruneParams
from graft.core.project import Project
from graft.data.folder.versioning import copy_pointer
from graft.deployment.monitor.observation import observe
from graft.deployment.monitor.prediction_log import LoggedPrediction, PredictionLog
from graft.registry.promotion.promote import open_registry, promote
from graft.registry.register import register_best
from graft.registry.resolve import resolve_model
from graft.registry.runs.strategy_runs import read_run
from graft.registry.store.tracking_store import experiment_id

pytestmark = pytest.mark.usefixtures("no_outside_settings")
LONG_AGO = time.time() - 400 * 86400


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with in_this_process():
        yield make_quick_project(tmp_path / "project")


def age(folder: Path) -> None:
    """Has everything below a folder be a year old, so that nothing stays for being young."""
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (LONG_AGO, LONG_AGO), follow_symlinks=False)


def plant(path: Path, data: bytes = b"left") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def set_prune(project: Project, **settings: object) -> None:
    text = project.params_file.read_text()
    for name, value in settings.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"  {name}:") and "# " in line][-1:]
        text = text.replace(line, f"  {name}: {value}")
    project.params_file.write_text(text)
    shell(project.root, "git", "commit", "-qam", "What pruning keeps")


def dvc(project: Project, *arguments: str) -> str:
    return shell(project.root, sys.executable, "-m", "dvc", *arguments)


def test_what_nobody_needs_goes_and_what_a_commit_or_a_person_needs_stays(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(project.root / "inbox/one", {"red": 2}, first=3000)
    first = shell(project.root, "git", "rev-parse", "HEAD")
    before = pictures_in(project)
    retrain(project)
    # What is on a branch alone, in a commit that nothing but the reflog names, and what an import has replaced.
    shell(project.root, "git", "checkout", "-q", "-b", "side")
    deliver(project.data, {"blue": 1}, first=5000)
    dvc(project, "add", "-q", "data")
    shell(project.root, "git", "commit", "-qam", "On a branch")
    shell(project.root, "git", "checkout", "-q", "main")
    shell(project.root, "git", "branch", "-q", "-D", "side")
    dvc(project, "checkout", "-q", "data.dvc")
    replaced = project.data / "red/9000.png"
    deliver(project.data, {"red": 1}, first=9000)
    dvc(project, "add", "-q", "data")
    copy_pointer(project)
    replaced.unlink()
    dvc(project, "add", "-q", "data")
    shell(project.root, "git", "checkout", "-q", "data.dvc")
    set_prune(project, quarantine_days=100, log_days=100)
    cache = project.root / ".dvc/cache/files/md5"
    kept = files(cache)
    young = plant(cache / "ff/0000000000000000000000000000")
    gone = {
        plant(cache / "00/0000000000000000000000000000"),
        plant(cache / "00/1111111111111111111111111111.dir", b"[]"),
        plant(project.root / "inbox/done/2020-01-01T000000-week/red/1.png"),
        plant(project.root / "quarantine/2020-01-01T000000-bad/reasons.json", b"{}"),
        plant(project.mlflow_log),
        plant(project.drift_reports / "2020-01-01T000000.html"),
        plant(project.prediction_log / "predictions.sqlite.damaged-2020"),
    }
    report = plant(project.drift_reports / "report.html")
    stops = plant(
        project.root / "quarantine/2020-01-01T000001-waits/reasons.json", b'{"stops": true, "delivery": "waits"}'
    )
    today = plant(project.root / "quarantine/2020-01-02T000000-new/reasons.json", b"{}")
    for folder in (cache, project.root / "quarantine", project.root / "inbox/done", project.state):
        age(folder)
    for fresh in (young, today):
        os.utime(fresh)
    image = observe((project.data / "red/100.png").read_bytes(), 10_000)
    with PredictionLog(project.prediction_log, LogParams()) as log:
        log.append([LoggedPrediction(image, "m", "d", "red", 0.9)] * 2)
    import sqlite3

    with sqlite3.connect(project.prediction_log / "predictions.sqlite") as rows:
        rows.execute("UPDATE predictions SET time = ? WHERE id = 1", (LONG_AGO,))

    monkeypatch.chdir(project.root)
    shown = CliRunner().invoke(app, ["prune"])
    assert shown.exit_code == 0, shown.output
    assert "nothing was removed" in shown.output
    assert all(path.exists() for path in gone)
    done = CliRunner().invoke(app, ["prune", "--yes"])
    assert done.exit_code == 0, done.output
    assert "Pruned: 7 things" in done.output
    assert not [path for path in gone if path.exists()]
    assert all(path.exists() for path in (young, report, stops, today))
    assert files(cache) - {"ff/0000000000000000000000000000"} == kept
    assert len(list(PredictionLog(project.prediction_log, LogParams()).read())) == 1
    assert "Nothing to prune" in CliRunner().invoke(app, ["prune"]).output

    shell(project.root, "git", "checkout", "-q", first)
    dvc(project, "checkout", "-q")
    assert pictures_in(project) == before
    shell(project.root, "git", "checkout", "-q", "main")
    dvc(project, "checkout", "-q")
    deliver(project.root / "inbox/two", {"blue": 2}, first=4000)
    assert [one.verdict for one in retrain(project).deliveries] == ["taken in"]
    assert last_outcomes(project, 1)[0].commit


def test_a_cache_outside_the_project_is_not_looked_at(project: Project, tmp_path: Path) -> None:
    dvc(project, "config", "cache.dir", str(tmp_path / "shared"))
    age(plant(tmp_path / "shared/files/md5/00/0000000000000000000000000000").parents[1])
    assert list(cached_leftovers(project, load_params(project.params_file))) == []


def test_versions_and_models_that_nothing_names_go(recorded: Project, tmp_path: Path) -> None:
    project = copy_of(recorded, tmp_path / "project")
    params = load_params(Path(__file__).parents[3] / "params.yaml")
    prune = PruneParams.model_construct(keep_days=0, keep_versions=1, nightly=True, quarantine_days=0, log_days=0)
    params = params.model_copy(update={"prune": prune})

    def register(strategy: str, unknown: float = 0.0) -> str:
        decide = DecideParams(unknown=unknown)
        return register_best(project, RegisterParams(), {strategy: project.strategy(strategy)}, decide).version

    registry = open_registry(project, "tints")
    client = registry.client
    former = register("first")
    promote(registry, former, "the first", forced=True)
    champion = register("first", 0.2)
    promote(registry, champion, "better", forced=True)
    tagged, superseded, aliased = (register("second", share) for share in (0.3, 0.4, 0.25))
    client.set_model_version_tag("tints", tagged, "keep", "for the paper")
    client.set_registered_model_alias("tints", "museum", aliased)
    challenger = register("second")
    experiment = experiment_id(project, client, "tints")
    deleted = client.create_run(experiment).info.run_id
    client.log_text(deleted, "figures", "figures.txt")
    client.delete_run(deleted)
    orphan = plant(project.mlflow_artifacts / "tints" / ("0" * 32) / "artifacts/half.txt").parents[1]
    age(orphan)
    time.sleep(0.01)

    own = {version: client.get_model_version("tints", version) for version in (former, champion, superseded)}
    found = find_leftovers(project, params)
    assert {one.name for one in found} == {f"tints {superseded}", deleted, orphan.name}
    assert [one.bytes > 0 for one in found] == [True] * 3
    remove_leftovers(found)
    assert {str(one.version) for one in client.search_model_versions()} == {
        former,
        champion,
        tagged,
        aliased,
        challenger,
    }
    assert not list(project.mlflow_artifacts.glob(f"*/models/{own[superseded].model_id}"))
    assert not orphan.exists()
    assert not list(project.mlflow_artifacts.glob(f"*/{deleted}"))
    assert find_leftovers(project, params) == []

    assert [entry.version for entry in registry.line().entries] == [former, champion]
    for version in (former, champion, challenger):
        assert resolve_model(project, f"models:/tints/{version}").version == version
    # A model of no version goes with its age, unless the folder artifacts was made with it.
    run = read_run(project.strategy("second"))
    client.delete_registered_model_alias("tints", "challenger")
    (project.strategy("second") / "run.json").unlink()
    client.delete_model_version("tints", challenger)
    assert [one.name for one in find_leftovers(project, params)] == [run["model_uri"].removeprefix("models:/")]
    assert prune_nightly(project, params)[0].startswith("Pruned: 1 thing")
    assert client.get_run(run["run_id"]).data.metrics, "runs stay"
