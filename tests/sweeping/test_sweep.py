"""Sweeps: every combination once, remembered through kills, ranked on validation, in MLflow as nested runs."""

from __future__ import annotations

from typing import Any

import pytest
from filelock import FileLock
from tiny import tiny_params

from graft.errors import GraftError
from graft.params import Params, parse_params
from graft.project import Project
from graft.sweeping.sweep import Trial, combinations, run_sweep, tried

GRID = {
    "order": "grid",
    "metric": "accuracy",
    "try": {"small": {"learning_rate": [0.001, 0.01], "epochs": [1]}},
}


def params(sweep: dict[str, Any], **train: Any) -> Params:
    raw = tiny_params(**train).model_dump(by_alias=True, mode="json")
    return parse_params({**raw, "sweep": sweep})


def test_a_grid_tries_every_combination_once_and_ranks_by_validation(project: Project) -> None:
    seen: list[Trial] = []
    done = run_sweep(project, params(GRID), seen.append)
    assert sorted(trial.settings["learning_rate"] for trial in done) == [0.001, 0.01]
    assert {trial.number for trial in seen} == {0, 1}
    accuracies = [trial.figures["accuracy"] for trial in done]
    assert accuracies == sorted(accuracies, reverse=True)
    assert tried(params(GRID), done[0]).learning_rate == done[0].settings["learning_rate"]  # type: ignore[union-attr]
    assert not list((project.state / "checkpoints").glob("*"))
    again: list[Trial] = []
    assert run_sweep(project, params(GRID), again.append) == done
    assert again == []


def test_a_stopped_sweep_carries_on_where_it_was(project: Project) -> None:
    class StopError(Exception):
        pass

    def stop(trial: Trial) -> None:
        if trial.number == 1:
            raise StopError

    with pytest.raises(StopError):
        run_sweep(project, params(GRID), stop)
    seen: list[Trial] = []
    done = run_sweep(project, params(GRID), seen.append)
    # What was interrupted is run again, what was done is not.
    assert len(done) >= 2
    assert len(seen) == 1
    assert {trial.settings["learning_rate"] for trial in done} == {0.001, 0.01}


def test_tpe_runs_as_many_trials_as_asked_and_more_when_asked_for_more(project: Project) -> None:
    sweep = {
        "trials": 2,
        "try": {"small": {"learning_rate": {"low": 0.001, "high": 0.1}, "epochs": {"low": 1, "high": 2}}},
    }
    done = run_sweep(project, params(sweep))
    assert len(done) == 2
    for trial in done:
        assert 0.001 <= trial.settings["learning_rate"] <= 0.1
        assert trial.settings["epochs"] in (1, 2)
    more = run_sweep(project, params({**sweep, "trials": 3}))
    assert len(more) == 3
    assert {trial.number for trial in done} < {trial.number for trial in more}


def test_a_trial_that_cannot_be_trained_is_last_and_says_why(project: Project) -> None:
    sweep = {"order": "grid", "try": {"small": {"batch_size": [8, 1000]}}}
    done = run_sweep(project, params(sweep))
    assert [bool(trial.problem) for trial in done] == [False, True]
    assert "batch_size is 1000" in done[1].problem
    with pytest.raises(GraftError, match=r"All 1 trials failed.*batch_size is 1000"):
        run_sweep(project, params({"order": "grid", "try": {"small": {"batch_size": [1000]}}}))


def test_refusals(project: Project) -> None:
    with pytest.raises(GraftError, match=r"sweep.try in params.yaml is empty"):
        run_sweep(project, params({}))
    with pytest.raises(GraftError, match=r"sweep.try names 'smal'"):
        run_sweep(project, params({"try": {"smal": {}}}))
    (project.state / "sweeps").mkdir(parents=True)
    with (
        FileLock(project.state / "sweeps" / "sweep.lock"),
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
    from graft.tracking.store import open_store
    from graft.tracking.sweeps import SweepRun

    run = SweepRun(project, params(GRID))
    done = run_sweep(project, params(GRID), run.log)
    run.finish(done)
    client = open_store(project)
    (experiment,) = [one for one in client.search_experiments() if one.name == "tints"]
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [one for one in runs if one.info.run_id == run.run_id]
    children = [one for one in runs if one.data.tags.get("mlflow.parentRunId") == run.run_id]
    assert len(children) == 2
    assert {child.data.params["tried.learning_rate"] for child in children} == {"0.001", "0.01"}
    assert parent.data.metrics["val_best_accuracy"] == max(
        child.data.metrics["val_best_accuracy"] for child in children
    )
    assert parent.data.tags["best_strategy"] == "small"
    idle = SweepRun(project, params(GRID))
    run_sweep(project, params(GRID), idle.log)
    idle.finish(done)
    assert idle.run_id == ""
