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

import itertools
import json
import shutil
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graft.core.errors import GraftError
from graft.core.lock import locked
from graft.core.paired import difference
from graft.core.params.models import Params
from graft.core.params.strategy_params import StrategyParams
from graft.core.params.sweep_params import Range, SweepParams, whole, with_settings
from graft.core.project import Project
from graft.core.run_each import run_each
from graft.core.timing import StageClock
from graft.data.splits.image_groups import read_groups
from graft.evaluation.metrics import HIGHER_IS_BETTER
from graft.networks.engines.tensorflow_import import with_tensorflow
from graft.training.sweep_memory import sweep_study, this_machine
from graft.training.train import checkpoint_folder, fit_strategy

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
    the trials before it. Trials are remembered under what decides their outcome.

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
    with (
        locked(folder / "sweep.lock", "Another sweep of this project is under way", "Wait for it, or stop it"),
        sweep_study(project, params, folder) as study,
    ):
        state = optuna.trial.TrialState
        for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
            if not sweep.storage or trial.user_attrs.get("by") == this_machine(project):
                study.tell(trial.number, state=state.FAIL)  # cut off, and as good as never begun
        ended = study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED))
        trials = [Trial(**json.loads(trial.user_attrs["trial"])) for trial in ended]
        # Of strategies as they are: what trials are compared with.
        losses = {
            name: np.array(one.user_attrs["losses"])
            for one in ended
            if "losses" in one.user_attrs
            for name in [json.loads(one.user_attrs["trial"])["strategy"]]
        }
        under_way: deque[tuple[int, str, dict[str, Any], Any]] = deque()

        def draw() -> Iterator[tuple[str, dict[str, Any]]]:
            for asked in _asked(study, project, params, trials):
                under_way.append(asked)
                yield asked[1:3]

        train = partial(with_tensorflow, __name__, "train_trial", (project, params))
        together = len(combinations(sweep)) + len(sweep.settings) if sweep.order == "grid" else None
        for trained in run_each(train, draw(), together=together, trains=True):
            number, name, settings, asked = under_way.popleft()
            if not settings and not trained.problem:
                losses[name] = trained.losses
            gained = _gained(project, trained, losses.get(name))
            done = Trial(number, name, settings, trained.figures, trained.seconds, trained.problem, *gained)
            if on_trial:
                on_trial(done)
            if asked is None:  # as it is: nothing that Optuna chose
                asked = study.ask()
            if not settings:
                asked.set_user_attr("losses", trained.losses.tolist())
            asked.set_user_attr("trial", json.dumps(vars(done)))
            if done.problem:
                study.tell(asked, state=state.PRUNED)  # remembered, and not tried again
            else:
                study.tell(asked, done.figures[sweep.metric])
            shutil.rmtree(trained.checkpoint, ignore_errors=True)  # once it is recorded
            trials.append(done)
        if sweep.storage:  # with those of other machines
            ended = study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED))
            trials = [Trial(**json.loads(trial.user_attrs["trial"])) for trial in ended]
    sign = -1 if HIGHER_IS_BETTER[sweep.metric] else 1
    trials.sort(key=lambda trial: (bool(trial.problem), sign * trial.figures.get(sweep.metric, 0.0), trial.number))
    drawn_trials = [trial for trial in trials if not trial.is_own]
    if all(trial.problem for trial in drawn_trials):
        raise GraftError(f"All {len(drawn_trials)} trials failed, the first with: {drawn_trials[0].problem}")
    return trials


def _asked(
    study: Any, project: Project, params: Params, trials: list[Trial]
) -> Iterator[tuple[int, str, dict[str, Any], Any]]:
    """Yield the number, strategy, settings and Optuna's trial of what is missing; None for a strategy as it is.

    What TPE draws follows from the trials that have ended by then. Trials that other machines have begun are not
    missing, and there numbers are Optuna's own, so that no two machines draw alike.

    Args:
        trials: that have ended before.
    """
    import optuna

    sweep, state = params.sweep, optuna.trial.TrialState

    def taken() -> list[dict[str, Any]]:
        found = study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED, state.RUNNING))
        return [trial.params for trial in found if trial.params]

    numbers = itertools.count(len(trials))
    for name in [name for name in sweep.settings if not any(one.is_own and one.strategy == name for one in trials)]:
        yield next(numbers), name, {}, None
    for combination in combinations(sweep) if sweep.order == "grid" else [{}] * sweep.trials:
        before = taken()
        if combination in before or (not combination and len(before) >= sweep.trials):
            continue
        asked = study.ask()
        asked.set_user_attr("by", this_machine(project))
        number = asked.number if sweep.storage else next(numbers)
        # One for all trials would go through its random numbers from the first again in every process.
        seed = int(np.random.SeedSequence([params.train.seed, number]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=seed)
        if combination:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it is experimental
                study.sampler = optuna.samplers.PartialFixedSampler(combination, study.sampler)
        yield number, *_suggest(sweep, asked), asked


@dataclass(frozen=True)
class TrainedTrial:
    """The result of a training, which may have been on another machine.

    Attributes:
        figures, seconds, problem: as of :class:`Trial`.
        losses: of each validated image, float64 ``[N]``, and its ``sha256``; empty where it failed.
        checkpoint: to be removed once the trial is recorded.
    """

    figures: dict[str, float]
    seconds: float
    problem: str
    losses: np.ndarray
    sha256: list[str]
    checkpoint: Path


def train_trial(project: Project, params: Params, trial: tuple[str, dict[str, Any]]) -> TrainedTrial:
    """Train a strategy, by its name, with the settings of a trial."""
    name, settings = trial
    strategy = with_settings(params.train.strategies[name], settings)
    changed = params.train.model_copy(update={"strategies": {**params.train.strategies, name: strategy}})
    started = time.perf_counter()
    try:
        fitted = fit_strategy(project, changed, name, StageClock("sweep"))
        figures, losses = fitted.validation.headline(), fitted.validation_losses(params.sweep.metric)
        checkpoint, sha256 = fitted.task.checkpoint, list(fitted.val_table["sha256"])
        problem = ""
    except GraftError as raised:  # of these settings; the sweep goes on
        figures, losses, sha256, problem = {}, np.empty(0), [], str(raised)
        checkpoint = checkpoint_folder(project, changed, name)  # it is not tried again
    finally:
        keras.utils.clear_session()
    return TrainedTrial(figures, time.perf_counter() - started, problem, losses, sha256, checkpoint)


def _gained(project: Project, trained: TrainedTrial, own: np.ndarray | None) -> tuple[float | None, float | None]:
    """Return by how much losses are lower than ``own``, and the standard error; None where one of the two failed."""
    if trained.problem or own is None:
        return None, None
    found = difference(trained.losses, own, read_groups(project.training_groups, trained.sha256))
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
