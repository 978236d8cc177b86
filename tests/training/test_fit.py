"""One fit: what it minimises, what it keeps, when it stops, what it reports."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from tiny import tinted_images

from graft.core.errors import GraftError
from graft.core.params.strategy_params import FitParams, HeadParams, ScratchParams
from graft.networks.class_weights import balanced_class_weights
from graft.networks.head import build_head
from graft.networks.temperature import softmax
from graft.training import fit as fit_module
from graft.training.batches import Batches
from graft.training.checkpoint import TrainingState
from graft.training.fit import EpochLines, FitResult, Labelled, fit
from graft.training.strategies.scratch import build_network


def points(count: int, seed: int = 0, spread: float = 1.0) -> Labelled:
    """Two classes of points, one a third of the other."""
    labels = (np.arange(count) % 4 == 0).astype(int)
    noise = np.random.default_rng(seed).normal(0, spread, (count, 3))
    return Labelled((noise + 2 * labels[:, None]).astype(np.float32), labels)


def params(**changes: Any) -> FitParams:
    return FitParams(**{"epochs": 4, "patience": 10, "batch_size": 7, "learning_rate": 0.05, **changes})


def head(dropout: float = 0.0) -> keras.Model:
    keras.utils.set_random_seed(1)
    return build_head(3, 2, HeadParams(dropout=dropout), seed=1)


def run(model: keras.Model, train: Labelled | None = None, **changes: Any) -> FitResult:
    return fit(model, train or points(24), points(12, seed=1), params(**changes), classes=2, seed=3, label="test")


def log_loss(model: keras.Model, data: Labelled) -> float:
    probabilities = softmax(model.predict(data.inputs, verbose=0))
    return float(-np.log(probabilities[np.arange(len(data.labels)), data.labels]).mean())


def test_loss_falls_and_every_epoch_is_reported() -> None:
    result = run(head())
    epochs = result.epochs
    assert list(epochs["epoch"]) == [0, 1, 2, 3]
    assert epochs["loss"].is_monotonic_decreasing
    assert epochs["learning_rate"].tolist() == pytest.approx([0.05] * 4)
    assert {"accuracy", "log_loss", "val_loss", "val_accuracy", "val_log_loss", "seconds"} <= set(epochs)
    assert list(result.steps["step"]) == list(range(16))
    assert list(result.steps["epoch"]) == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4


def test_a_small_network_learns_what_can_be_learnt() -> None:
    settings = ScratchParams(
        kind="scratch",
        epochs=12,
        patience=12,
        batch_size=8,
        learning_rate=0.02,
        filters=[4],
        head=HeadParams(dropout=0.0),
    )
    model = build_network(settings, 16, 2, seed=1)
    train, val = Labelled(*tinted_images(32)), Labelled(*tinted_images(10, seed=1))
    result = fit(model, train, val, settings, classes=2, seed=1, label="test")
    kept = result.epochs.iloc[result.best_epoch]
    assert kept["val_accuracy"] == 1.0
    assert kept["val_log_loss"] < 0.3


def test_the_weights_of_the_best_epoch_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = []
    keep = TrainingState.on_epoch_end

    def snapshot(self: TrainingState, epoch: int, logs: dict[str, Any] | None = None) -> None:
        snapshots.append(self.model.get_weights())
        keep(self, epoch, logs)

    monkeypatch.setattr(TrainingState, "on_epoch_end", snapshot)
    model = head()
    # A rate far too high jumps about: the last epoch is not the best.
    result = run(model, epochs=8, learning_rate=3.0)
    best = best_of(result.epochs["val_log_loss"])
    assert best < 7
    assert result.best_epoch == best
    for kept, then in zip(model.get_weights(), snapshots[best], strict=True):
        np.testing.assert_array_equal(kept, then)
    assert log_loss(model, points(12, seed=1)) == pytest.approx(result.epochs["val_log_loss"][best], rel=1e-4)


def best_of(losses: pd.Series) -> int:
    """Return the epoch at which the median of it and the two before is least."""
    return int(losses.rolling(3, min_periods=1).median().argmin())


def test_a_lucky_epoch_does_not_choose() -> None:
    """At a rate of 0.003 on the default data one epoch of a hundred had 0.0017, where the median was 0.035.

    It was registered over a model of 0.0066, and has 0.0227 on test, where that has 0.0012.
    """
    model = head()
    model.compile(optimizer="sgd", loss="mse")
    state = TrainingState(Batches(points(24).inputs, points(24).labels, 2, 7, 3), patience=100)
    state.set_model(model)
    losses = 0.035 + 0.01 * np.sin(np.arange(40.0))
    losses[17] = 0.0017
    for epoch, value in enumerate(losses):
        state.on_epoch_begin(epoch)
        state._images_done = 1
        state.on_epoch_end(epoch, {"val_log_loss": value})
    assert state.best_epoch == best_of(pd.Series(losses))
    assert losses[state.best_epoch] > 0.02
    assert state.best_value > 0.02


def test_training_stops_when_patience_runs_out() -> None:
    result = run(head(), epochs=50, patience=3, learning_rate=3.0)
    assert len(result.epochs) == result.best_epoch + 1 + 3
    assert len(result.epochs) < 50


def test_a_loss_that_is_not_a_number_names_epoch_step_and_rate() -> None:
    train = points(24)
    train.inputs[13] = np.nan
    # 24 images in batches of 7: the broken one comes somewhere in the first epoch.
    with pytest.raises(GraftError, match=r"loss became nan in epoch 1, step [1-4], at learning rate 0.05.* 0.005"):
        run(head(), train)


def test_a_model_that_answers_validation_with_no_number_is_not_passed_on() -> None:
    # As one does that its very last step broke: no training loss is computed after that.
    val = Labelled(np.full((4, 3), np.inf, np.float32), np.array([0, 1, 1, 1]))
    with pytest.raises(GraftError, match=r"validation log loss became (nan|inf) in epoch 1, at learning rate 0.05"):
        fit(head(), points(24), val, params(epochs=1), classes=2, seed=1, label="test")


class NoUpdates(keras.optimizers.Adam):
    """Weights stay, so that every batch can be computed again afterwards."""

    def apply_gradients(self, *arguments: Any, **options: Any) -> None:
        pass

    def apply(self, *arguments: Any, **options: Any) -> None:
        pass


@pytest.fixture
def no_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.optimizers, "Adam", NoUpdates)


@pytest.mark.usefixtures("no_updates")
@pytest.mark.parametrize(("class_weight", "smoothing"), [("none", 0.0), ("balanced", 0.0), ("balanced", 0.2)])
def test_the_figures_of_a_batch_are_those_of_that_batch_alone(class_weight: str, smoothing: float) -> None:
    model, train = head(), points(24)
    result = run(model, train, epochs=2, class_weight=class_weight, label_smoothing=smoothing)
    weights = balanced_class_weights(train.labels, 2) if class_weight == "balanced" else np.ones(2)
    batches = Batches(train.inputs, train.labels, 2, 7, seed=3)
    step = iter(result.steps.to_dict("records"))
    for epoch in range(2):
        batches.start_epoch(epoch)
        for index in range(len(batches)):
            inputs, one_hot, _ = batches[index]
            probabilities = softmax(model.predict(inputs, verbose=0))
            targets = one_hot * (1 - smoothing) + smoothing / 2
            losses = -(targets * np.log(probabilities)).sum(axis=1) * weights[one_hot.argmax(axis=1)]
            found = next(step)
            assert found["loss"] == pytest.approx(losses.mean(), rel=1e-3)
            hits = probabilities.argmax(axis=1) == one_hot.argmax(axis=1)
            assert found["accuracy"] == pytest.approx(hits.mean(), abs=1e-4)


@pytest.mark.usefixtures("no_updates")
def test_class_weights_and_smoothing_do_not_blur_the_log_loss() -> None:
    model, train = head(), points(24)
    result = run(model, train, epochs=1, class_weight="balanced", label_smoothing=0.3)
    row = result.epochs.iloc[0]
    assert row["log_loss"] == pytest.approx(log_loss(model, train), rel=1e-4)
    assert row["val_log_loss"] == pytest.approx(log_loss(model, points(12, seed=1)), rel=1e-4)
    assert row["loss"] != pytest.approx(row["log_loss"], rel=1e-3)


def test_class_weights_move_the_answer_towards_the_rare_class() -> None:
    train = points(80, spread=3.0)
    shares = {}
    for class_weight in ("none", "balanced"):
        model = head()
        run(model, train, epochs=6, batch_size=20, learning_rate=0.2, keep="last", class_weight=class_weight)
        shares[class_weight] = softmax(model.predict(train.inputs, verbose=0))[:, 1].mean()
    assert shares["balanced"] > shares["none"] + 0.1


def test_keras_sees_the_batches_in_the_order_of_seed_and_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    class Watched(keras.Model):
        def train_step(self, data: Any) -> Any:
            import tensorflow as tf

            tf.py_function(lambda x: seen.extend(x.numpy()[:, 0].tolist()), [data[0]], [])
            return super().train_step(data)

    plain = head()
    run(Watched(plain.input, plain.output), epochs=3)
    batches = Batches(points(24).inputs, points(24).labels, 2, 7, seed=3)
    expected: list[float] = []
    for epoch in range(3):
        batches.start_epoch(epoch)
        expected += [float(x) for index in range(len(batches)) for x in batches[index][0][:, 0]]
    assert seen == expected


def test_the_same_seeds_give_the_same_model() -> None:
    first, second = head(dropout=0.4), head(dropout=0.4)
    results = [run(first), run(second)]
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert results[0].steps.equals(results[1].steps)


class Status:
    """A terminal's spinner."""

    def __init__(self) -> None:
        self.running = False

    def start(self) -> None:
        self.running = True

    def update(self, text: str) -> None:
        assert self.running

    def stop(self) -> None:
        self.running = False


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Status]:
    status = Status()

    class Console:
        is_terminal = True

        def status(self, text: str) -> Status:
            return status

        def print(self, *arguments: Any, **options: Any) -> None:
            pass

    monkeypatch.setattr(fit_module, "console", Console())
    return lambda: status


def test_a_fit_that_fails_gives_the_terminal_back(terminal: Callable[[], Status]) -> None:
    train = points(24)
    train.inputs[13] = np.nan
    with pytest.raises(GraftError):
        run(head(), train)
    assert not terminal().running


def test_a_fit_away_from_a_terminal_ends_with_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EpochLines, "SECONDS_BETWEEN_LINES", 1e9)
    run(head())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("test: epoch 4/4  loss ")
    assert "val accuracy" in lines[0]
