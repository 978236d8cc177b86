"""Sweep over settings of strategies, in Optuna's order and with its memory.

Takuya Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework", KDD 2019,
https://doi.org/10.1145/3292500.3330701. Its TPE sampler: James Bergstra et al., "Algorithms for Hyper-Parameter
Optimization", NeurIPS 2011.

A trial trains one strategy with its settings changed and is judged on validation; test images are not read. What
frozen networks make of the images comes from the feature store, so that trials that differ in head, rate or epochs
pay for training alone.

Of many trials the best is the luckiest too. So each strategy is trained as it is, too, and what a trial gains over that
is measured with its standard error, image by image.
"""

import hashlib
import itertools
import json
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graft.core.errors import GraftError
from graft.core.files import replaced_file
from graft.core.lock import locked
from graft.core.paired import difference
from graft.core.params.models import Params
from graft.core.params.strategy_params import StrategyParams
from graft.core.params.sweep_params import Range, SweepParams, whole, with_settings
from graft.core.project import Project
from graft.core.timing import StageClock
from graft.data.splits.image_groups import read_groups
from graft.evaluation.metrics import HIGHER_IS_BETTER
from graft.training.train import FittedStrategy, checkpoint_folder, fit_strategy, work_key

STRATEGY = "strategy"


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: from 0, in the order they were tried.
        strategy: its name under ``train.strategies``.
        settings: what was tried in place of the strategy's own, by dotted key.
        figures: on validation, by metric; empty where it failed.
        seconds: it took.
        problem: why it failed; ``""`` where it did not.
        gain: by how much its mean loss is lower than that of the strategy as it is: log loss in nats, or for the other
            metrics the share of wrong images; None where one of the two failed.
        error: standard error of the gain; groups of images count as one each.
    """

    number: int
    strategy: str
    settings: dict[str, Any]
    figures: dict[str, float]
    seconds: float
    problem: str = ""
    gain: float | None = None
    error: float | None = None

    @property
    def is_own(self) -> bool:
        """Whether it is the strategy as it is."""
        return not self.settings

    def beats_luck(self, trials: int) -> bool:
        """Return whether it gains more than the best of so many equal ones would by luck.

        The largest of n standard normal numbers is about sqrt(2 ln n).
        """
        if self.gain is None or self.error is None:
            return False
        return self.gain > self.error * max(1.0, np.sqrt(2 * np.log(trials)))


def tried(params: Params, trial: Trial) -> StrategyParams:
    """Return the strategy as the trial trained it."""
    return with_settings(params.train.strategies[trial.strategy], trial.settings)


def combinations(sweep: SweepParams) -> list[dict[str, Any]]:
    """Return all trials of a grid, as Optuna's parameters.

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


def run_sweep(project: Project, params: Params, on_trial: Callable[[Trial], None] | None = None) -> list[Trial]:
    """Run the trials that are missing; return all of them, best first, failed ones last.

    Each strategy is first trained as it is; these come on top of the trials that are asked for.

    A sweep that was stopped or killed carries on as if it had not been: what trial n tries follows from the seed, n and
    the trials before it. Trials are remembered under what decides their outcome, see :func:`_identity`.

    Args:
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
            "Name strategies and settings, such as try: {fine_tune: {learning_rate: [0.0001, 0.0003]}}",
        )
    try:
        sweep.check_against(params.train)
    except ValueError as error:
        raise GraftError(str(error)) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = project.sweeps
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "sweep.lock", "Another sweep of this project is under way", "Wait for it, or stop it"):
        study = optuna.create_study(
            storage=f"sqlite:///{folder / 'sweeps.sqlite'}",
            study_name=_identity(project, params),
            load_if_exists=True,
            direction="maximize" if HIGHER_IS_BETTER[sweep.metric] else "minimize",
        )
        state = optuna.trial.TrialState
        for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
            study.tell(trial.number, state=state.FAIL)  # cut off, and as good as never begun
        ended = study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED))
        trials = [Trial(**json.loads(trial.user_attrs["trial"])) for trial in ended]
        runs = _Runs(project, params, folder / study.study_name)

        def run(name: str, settings: dict[str, Any], asked: Any = None) -> None:
            done, fitted = runs.run(name, settings, len(trials))
            if on_trial:
                on_trial(done)
            if asked is None:  # as it is: nothing that Optuna chose
                asked = study.ask()
            asked.set_user_attr("trial", json.dumps(vars(done)))
            if done.problem:
                study.tell(asked, state=state.PRUNED)  # remembered, and not tried again
            else:
                study.tell(asked, done.figures[sweep.metric])
            if fitted is not None:
                fitted.clean_up()
            trials.append(done)

        for name in sweep.settings:
            if not any(trial.is_own and trial.strategy == name for trial in trials):
                run(name, {})
        earlier = [trial.params for trial in ended]
        drawn = sum(not trial.is_own for trial in trials)
        wanted = combinations(sweep) if sweep.order == "grid" else [{}] * (sweep.trials - drawn)
        for combination in [one for one in wanted if one not in earlier or not one]:
            # One for all trials would go through its random numbers from the first again in every process.
            seed = int(np.random.SeedSequence([params.train.seed, len(trials)]).generate_state(1)[0])
            study.sampler = optuna.samplers.TPESampler(seed=seed)
            if combination:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # that it is experimental
                    study.sampler = optuna.samplers.PartialFixedSampler(combination, study.sampler)
            asked = study.ask()
            run(*_suggest(sweep, asked), asked)
    sign = -1 if HIGHER_IS_BETTER[sweep.metric] else 1
    trials.sort(key=lambda trial: (bool(trial.problem), sign * trial.figures.get(sweep.metric, 0.0), trial.number))
    drawn_trials = [trial for trial in trials if not trial.is_own]
    if all(trial.problem for trial in drawn_trials):
        raise GraftError(f"All {len(drawn_trials)} trials failed, the first with: {drawn_trials[0].problem}")
    return trials


class _Runs:
    """Runs of trials, each compared with its strategy as it is, whose losses are kept in a file for that."""

    def __init__(self, project: Project, params: Params, kept: Path) -> None:
        self.project, self.params, self._kept = project, params, kept

    def run(self, name: str, settings: dict[str, Any], number: int) -> tuple[Trial, FittedStrategy | None]:
        """Train a strategy with settings of a trial; what was trained is None where that failed."""
        train = self.params.train
        strategy = with_settings(train.strategies[name], settings)
        changed = train.model_copy(update={"strategies": {**train.strategies, name: strategy}})
        started = time.perf_counter()
        figures: dict[str, float] = {}
        gain = error = None
        problem = ""
        fitted = None
        try:
            fitted = fit_strategy(self.project, changed, name, StageClock("sweep"))
            figures = fitted.validation.headline()
            gain, error = self._gained(name, fitted, is_own=not settings)
        except GraftError as raised:
            problem = str(raised)  # of these settings; the sweep goes on
            shutil.rmtree(checkpoint_folder(self.project, changed, name), ignore_errors=True)  # it is not tried again
        finally:
            keras.utils.clear_session()
        seconds = time.perf_counter() - started
        return Trial(number, name, settings, figures, seconds, problem, gain, error), fitted

    def _gained(self, name: str, fitted: FittedStrategy, is_own: bool) -> tuple[float | None, float | None]:
        file = self._kept.with_name(f"{self._kept.name}-{name}.npy")
        losses = fitted.validation_losses(self.params.sweep.metric)
        if is_own:
            with replaced_file(file) as partial:
                np.save(partial, losses)
        if not file.exists():
            return None, None
        groups = read_groups(self.project.training_groups, list(fitted.val_table["sha256"]))
        found = difference(losses, np.load(file), groups)
        return found.gain, found.error


def _suggest(sweep: SweepParams, trial: Any) -> tuple[str, dict[str, Any]]:
    """Return a strategy and its settings, from what Optuna wants to try next."""
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


def _identity(project: Project, params: Params) -> str:
    """Return a name of the sweep that follows from all that decides its outcome but the number of trials, which may
    grow.

    That is the section, and of each strategy in it what :func:`graft.training.train.work_key` counts: settings,
    images, weights, versions and code.
    """
    described = {
        "sweep": params.sweep.model_dump(mode="json", exclude={"trials"}),
        "seed": params.train.seed,
        "work": [work_key(project, params.train, params.train.strategy(name)) for name in params.sweep.settings],
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
