"""Sweeps: every combination once, remembered through kills, ranked on validation, in MLflow as nested runs."""

from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from sweeps import DRAWN, StoppedError, nothing_trained, params
from tiny import make_project, tiny_params

from graft.core.errors import GraftError
from graft.core.paired import difference
from graft.core.project import Project
from graft.training import run_sweep as module
from graft.training.checkpoint import TrainingState
from graft.training.run_sweep import Trial, combinations, run_sweep, tried
from graft.training.train import checkpoint_folder

__all__ = ["nothing_trained"]
GRID = {"order": "grid", "metric": "accuracy", "try": {"small": {"learning_rate": [0.001, 0.01], "epochs": [1]}}}


def test_a_grid_tries_every_combination_once_and_ranks_by_validation(project: Project) -> None:
    seen: list[Trial] = []
    done = run_sweep(project, params(GRID), seen.append)
    assert sorted(trial.settings["learning_rate"] for trial in done if not trial.is_own) == [0.001, 0.01]
    assert [(trial.number, trial.is_own) for trial in seen] == [(0, True), (1, False), (2, False)]
    assert (seen[0].gain, seen[0].error) == (0, 0)
    assert all(trial.error is not None and trial.error > 0 for trial in seen[1:])
    accuracies = [trial.figures["accuracy"] for trial in done]
    assert accuracies == sorted(accuracies, reverse=True)
    one = seen[1]
    assert tried(params(GRID), one).learning_rate == one.settings["learning_rate"]  # type: ignore[union-attr]
    assert not list(project.checkpoints.glob("*"))
    again: list[Trial] = []
    assert run_sweep(project, params(GRID), again.append) == done
    assert again == []


def test_a_stopped_sweep_carries_on_where_it_was(project: Project) -> None:
    class StopError(Exception):
        pass

    def stop(trial: Trial) -> None:
        if trial.number == 2:
            raise StopError

    with pytest.raises(StopError):
        run_sweep(project, params(GRID), stop)
    seen: list[Trial] = []
    done = run_sweep(project, params(GRID), seen.append)
    # What was interrupted is run again, what was done is not.
    assert len(seen) == 1
    assert sorted(trial.settings["learning_rate"] for trial in done if not trial.is_own) == [0.001, 0.01]
    assert sum(trial.is_own for trial in done) == 1


def test_tpe_runs_as_many_trials_as_asked_and_more_when_asked_for_more(project: Project) -> None:
    sweep = {
        "trials": 2,
        "try": {"small": {"learning_rate": {"low": 0.001, "high": 0.1}, "epochs": {"low": 1, "high": 2}}},
    }
    done = run_sweep(project, params(sweep))
    assert len(done) == 3
    for trial in [one for one in done if not one.is_own]:
        assert 0.001 <= trial.settings["learning_rate"] <= 0.1
        assert trial.settings["epochs"] in (1, 2)
    more = run_sweep(project, params({**sweep, "trials": 3}))
    assert len(more) == 4
    assert {trial.number for trial in done} < {trial.number for trial in more}


@pytest.mark.usefixtures("nothing_trained")
def test_b17_a_sweep_that_is_resumed_draws_what_it_would_have_drawn(project: Project, tmp_path: Path) -> None:
    def drawn(trials: list[Trial]) -> list[float]:
        return [one.settings["learning_rate"] for one in sorted(trials, key=lambda one: one.number) if not one.is_own]

    whole = drawn(run_sweep(project, params(DRAWN)))
    assert len(set(whole)) == 14
    other = make_project(tmp_path / "other")
    for last in (0, 4, 4, 11, 20):  # killed after so many, once within a trial of which nothing is known yet

        def stop(trial: Trial, last: int = last) -> None:
            if trial.number == last:
                raise StoppedError

        with pytest.raises(StoppedError) if last <= 14 else nullcontext():
            run_sweep(other, params(DRAWN), stop)
    done = run_sweep(other, params(DRAWN))
    assert drawn(done) == whole
    assert sorted(trial.number for trial in done) == list(range(15))


@pytest.mark.usefixtures("nothing_trained")
def test_tpe_as_on_a_cluster_draws_what_was_asked_for_and_carries_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three at a time, in order, as on three CPUs."""

    def three_ahead(function: Any, items: Iterator[Any], **more: Any) -> Iterator[Any]:
        assert more == {"together": None, "trains": True}
        ahead = deque(map(function, islice(items, 3)))
        while ahead:
            yield ahead.popleft()
            ahead.extend(map(function, islice(items, 1)))

    monkeypatch.setattr(module, "run_each", three_ahead)

    def stop(trial: Trial) -> None:
        if trial.number == 5:
            raise StoppedError

    with pytest.raises(StoppedError):
        run_sweep(project, params(DRAWN), stop)
    done = run_sweep(project, params(DRAWN))
    assert sorted(trial.number for trial in done) == list(range(15))
    assert len({trial.settings["learning_rate"] for trial in done if not trial.is_own}) == 14
    assert all(trial.gain is not None for trial in done)


@pytest.mark.usefixtures("nothing_trained")
def test_b17_a_sweep_is_named_by_what_decides_its_outcome_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trials_run(**train: Any) -> int:
        seen: list[Trial] = []
        run_sweep(project, params({**DRAWN, "trials": 2}, **train), seen.append)
        return len(seen)

    small = tiny_params().train.strategies["small"].model_dump(mode="json", exclude_unset=True)
    assert trials_run() == 3
    assert trials_run() == 0
    other = {"kind": "frozen", "epochs": 3, "learning_rate": 0.1}
    assert trials_run(strategies={"small": small, "unrelated": other}) == 0
    assert trials_run(strategies={"small": {**small, "l2": 0.1}}) == 3
    assert trials_run(seed=8) == 3
    monkeypatch.setattr("graft.training.train.source_digest", lambda *files: "other code")
    assert trials_run() == 3


def test_b16_a_trial_that_mlflow_did_not_take_is_not_trained_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(trial: Trial) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        run_sweep(project, params(GRID), stop)  # after the strategy as it is, of two epochs
    begun: list[int] = []
    original = TrainingState.on_epoch_begin
    monkeypatch.setattr(
        TrainingState,
        "on_epoch_begin",
        lambda self, epoch, logs=None: (begun.append(epoch), original(self, epoch, logs)),
    )
    assert len(run_sweep(project, params(GRID))) == 3
    assert len(begun) == 2  # of the two others
    assert not list(project.checkpoints.glob("*"))


def test_a_trial_that_cannot_be_trained_is_last_and_says_why(project: Project) -> None:
    sweep = {"order": "grid", "try": {"small": {"filters": [[4], [2] * 6]}}}
    done = run_sweep(project, params(sweep))
    assert [bool(trial.problem) for trial in done] == [False, False, True]
    assert "cannot be halved 6 times" in done[2].problem
    with pytest.raises(GraftError, match=r"All 1 trials failed.*cannot be halved 6 times"):
        run_sweep(project, params({"order": "grid", "try": {"small": {"filters": [[2] * 6]}}}))


def test_a_lucky_trial_does_not_choose() -> None:
    """The best of twenty equal settings gains by luck; only what gains more than that is worth taking."""
    rng = np.random.default_rng(5)
    own = rng.gamma(0.5, 0.1, 168)
    lucky = surely = worth_it = 0
    for _ in range(300):
        found = [difference(own + rng.normal(0, 0.05, 168), own, np.arange(168)) for _ in range(20)]
        best = max(found, key=lambda one: one.gain)
        lucky += Trial(0, "s", {"x": 1}, {}, 0, "", best.gain, best.error).beats_luck(20)
        surely += best.is_sure
        better = difference(own - 0.02 + rng.normal(0, 0.05, 168), own, np.arange(168))
        worth_it += Trial(0, "s", {"x": 1}, {}, 0, "", better.gain, better.error).beats_luck(20)
    assert surely > 280  # by one standard error nearly every sweep would find something
    assert lucky < 40
    assert worth_it > 270
    assert not Trial(0, "s", {"x": 1}, {}, 0, "cannot be trained").beats_luck(1)


def test_refusals(project: Project) -> None:
    with pytest.raises(GraftError, match=r"sweep.try in params.yaml is empty"):
        run_sweep(project, params({}))
    with pytest.raises(GraftError, match=r"sweep.storage: 'sweeps.sqlite' is no address of a database"):
        params({**GRID, "storage": "sweeps.sqlite"})
    with pytest.raises(GraftError, match=r"memory of sweeps at nothing://here cannot be used"):
        run_sweep(project, params({**GRID, "storage": "nothing://here"}))
    with pytest.raises(GraftError, match=r"sweep.try names 'smal'"):
        run_sweep(project, params({"try": {"smal": {}}}))
    project.sweeps.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(project.sweeps / "sweep.lock"),
        pytest.raises(GraftError, match="Another sweep of this project is under way"),
    ):
        run_sweep(project, params(GRID))


def test_other_data_or_settings_are_another_sweep(project: Project) -> None:
    first = run_sweep(project, params(GRID))
    seen: list[Trial] = []
    run_sweep(project, params(GRID, seed=8), seen.append)
    assert len(seen) == len(first)


def test_combinations_of_several_strategies() -> None:
    sweep = params({"order": "grid", "try": {"small": {"epochs": [1, 2], "head.dropout": [0.1, 0.2]}}}).sweep
    assert len(combinations(sweep)) == 4


def test_trials_are_nested_runs_with_their_figures(project: Project) -> None:
    from graft.registry.runs.sweep_runs import SweepRun
    from graft.registry.store.tracking_store import open_store

    run = SweepRun(project, params(GRID))
    done = run_sweep(project, params(GRID), run.log)
    run.finish(done)
    client = open_store(project)
    (experiment,) = [one for one in client.search_experiments() if one.name == "tints"]
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [one for one in runs if one.info.run_id == run.run_id]
    children = [one for one in runs if one.data.tags.get("mlflow.parentRunId") == run.run_id]
    assert len(children) == 3
    rates = [child.data.params.get("tried.learning_rate", "as it is") for child in children]
    assert sorted(rates) == ["0.001", "0.01", "as it is"]
    assert all("gain_error" in child.data.metrics for child in children)
    assert parent.data.metrics["val_best_accuracy"] == max(
        child.data.metrics["val_best_accuracy"] for child in children
    )
    assert parent.data.tags["best_strategy"] == "small"
    idle = SweepRun(project, params(GRID))
    run_sweep(project, params(GRID), idle.log)
    idle.finish(done)
    assert idle.run_id == ""


def test_a_trial_that_failed_leaves_no_checkpoint(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not tried again."""

    def fail(project: Project, train: Any, name: str, clock: Any) -> Any:
        folder = checkpoint_folder(project, train, name)
        folder.mkdir(parents=True)
        (folder / "checkpoint.npz").write_bytes(b"hours")
        raise GraftError("The loss became nan", "Try another rate")

    monkeypatch.setattr(module, "fit_strategy", fail)
    with pytest.raises(GraftError, match="All 2 trials failed"):
        run_sweep(project, params(GRID))
    assert not list(project.checkpoints.glob("*"))
