"""A sweep over settings of strategies, which Optuna orders and remembers.

Takuya Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework", KDD 2019,
https://doi.org/10.1145/3292500.3330701. Its TPE sampler: James Bergstra et al., "Algorithms for Hyper-Parameter
Optimization", NeurIPS 2011.

A trial trains one strategy with its settings changed and is judged on validation; test images are not read. What
frozen networks make of the images comes from the feature store, so that trials that differ in head, rate or epochs
pay for training alone.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from filelock import FileLock, Timeout

from graft.errors import GraftError
from graft.evaluation.metrics import HIGHER_IS_BETTER
from graft.params.models import Params
from graft.params.strategies import StrategyParams
from graft.params.sweep import Range, SweepParams, whole, with_settings
from graft.project import Project
from graft.timing import StageClock
from graft.training.train import fit_strategy

STRATEGY = "strategy"


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: from 0, in the order they were begun.
        strategy: its name under ``train.strategies``.
        settings: what was tried in place of the strategy's own, by dotted key.
        figures: on validation, by metric; empty where it failed.
        seconds: it took.
        problem: why it failed; ``""`` where it did not.
    """

    number: int
    strategy: str
    settings: dict[str, Any]
    figures: dict[str, float]
    seconds: float
    problem: str = ""


def tried(params: Params, trial: Trial) -> StrategyParams:
    """The strategy as the trial trained it."""
    return with_settings(params.train.strategies[trial.strategy], trial.settings)


def combinations(sweep: SweepParams) -> list[dict[str, Any]]:
    """All trials of a grid, as Optuna's parameters.

    Raises:
        GraftError: there is nothing to try.
    """
    found = []
    for name, settings in sweep.settings.items():
        lists = [choices if isinstance(choices, list) else [] for choices in settings.values()]
        for values in itertools.product(*lists):
            pairs = zip(settings, values, strict=True)
            found.append({STRATEGY: name, **{f"{name}.{key}": json.dumps(value) for key, value in pairs}})
    return found


def run_sweep(
    project: Project, params: Params, on_trial: Callable[[Trial], None] | None = None
) -> list[Trial]:
    """Runs the trials that are missing; returns all of them, best first, failed ones last.

    A sweep that was stopped or killed carries on: trials are remembered under what decides their outcome, which is
    the section, the strategies and the split.

    Args:
        project: whose images, split already.
        params: with ``sweep`` and the strategies it names.
        on_trial: called after each trial that is run now.

    Raises:
        GraftError: there is nothing to try, a strategy or setting that does not exist, another sweep is under way,
            or all trials failed.
    """
    import optuna

    sweep = params.sweep
    if not sweep.settings:
        raise GraftError(
            "There is nothing to sweep: sweep.try in params.yaml is empty",
            "Name strategies and settings, such as try: {frozen: {learning_rate: [0.001, 0.003]}}",
        )
    try:
        sweep.check_against(params.train)
    except ValueError as error:
        raise GraftError(str(error)) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = project.sweeps
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        study = optuna.create_study(
            storage=f"sqlite:///{folder / 'sweeps.sqlite'}",
            study_name=_identity(project, params),
            load_if_exists=True,
            direction="maximize" if HIGHER_IS_BETTER[sweep.metric] else "minimize",
            sampler=optuna.samplers.TPESampler(seed=params.train.seed)
            if sweep.order == "tpe"
            else optuna.samplers.RandomSampler(),
        )
        state = optuna.trial.TrialState
        for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
            study.tell(trial.number, state=state.FAIL)  # of a sweep that was killed: nothing runs now
        ended = study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED))
        if sweep.order == "grid":
            wanted = combinations(sweep)
            known = [trial.params for trial in ended]
            for combination in wanted:
                if combination not in known:
                    study.enqueue_trial(combination, skip_if_exists=False)
            missing = sum(combination not in known for combination in wanted)
        else:
            missing = sweep.trials - len(ended)

        def objective(trial: Any) -> float:
            done = _run_trial(project, params, trial)
            if on_trial:
                on_trial(done)
            if done.problem:
                raise optuna.TrialPruned(done.problem)  # remembered, and not tried again
            return done.figures[sweep.metric]

        if missing > 0:
            study.optimize(objective, n_trials=missing)
        trials = [
            _read_trial(trial) for trial in study.get_trials(deepcopy=False) if "trial" in trial.user_attrs
        ]
    sign = -1 if HIGHER_IS_BETTER[sweep.metric] else 1
    trials.sort(
        key=lambda trial: (bool(trial.problem), sign * trial.figures.get(sweep.metric, 0.0), trial.number)
    )
    if trials[0].problem:
        raise GraftError(f"All {len(trials)} trials failed, the first with: {trials[0].problem}")
    return trials


def _run_trial(project: Project, params: Params, trial: Any) -> Trial:
    name, settings = _suggest(params.sweep, trial)
    train = params.train
    strategy = with_settings(train.strategies[name], settings)
    changed = train.model_copy(update={"strategies": {**train.strategies, name: strategy}})
    started = time.perf_counter()
    figures: dict[str, float] = {}
    problem = ""
    try:
        fitted = fit_strategy(project, changed, name, StageClock("sweep"))
        figures = fitted.validation.headline()
        fitted.clean_up()
    except GraftError as error:
        problem = str(error)  # of these settings; the sweep goes on
    finally:
        keras.utils.clear_session()
    done = Trial(trial.number, name, settings, figures, time.perf_counter() - started, problem)
    trial.set_user_attr("trial", json.dumps(vars(done)))
    return done


def _suggest(sweep: SweepParams, trial: Any) -> tuple[str, dict[str, Any]]:
    """A strategy and its settings, from what Optuna wants to see next."""
    name = trial.suggest_categorical(STRATEGY, list(sweep.settings))
    settings = {}
    for key, choices in sweep.settings[name].items():
        if isinstance(choices, Range):
            drawn = trial.suggest_float(f"{name}.{key}", choices.low, choices.high, log=True)
            settings[key] = whole(drawn, choices)
        else:
            # As text: a value may be a list or a section.
            texts = [json.dumps(value) for value in choices]
            settings[key] = json.loads(trial.suggest_categorical(f"{name}.{key}", texts))
    return name, settings


def _read_trial(trial: Any) -> Trial:
    return Trial(**json.loads(trial.user_attrs["trial"]))


def _identity(project: Project, params: Params) -> str:
    """Names a sweep by all that decides its outcome but the number of trials, which may be raised later."""
    described = {
        "sweep": params.sweep.model_dump(mode="json", exclude={"trials"}),
        "train": params.train.model_dump(mode="json", exclude={"run", "store"}),
    }
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for split in ("train", "val"):
        digest.update(project.split_table(split).read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / "sweep.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise GraftError(
            "Another sweep of this project is under way", "Wait for it to end, or stop it"
        ) from None
    try:
        yield
    finally:
        lock.release()
