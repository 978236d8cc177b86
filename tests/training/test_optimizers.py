"""Optimizers: the rate of each step, what decays, a rate for each layer, the running mean of weights."""

import math
from typing import Any

import keras
import numpy as np
import pytest

from graft.core.params.strategy_params import FitParams, HeadParams
from graft.networks.head import build_head
from graft.networks.temperature import softmax
from graft.training import graph_epochs as feature_epochs
from graft.training.checkpoint import TrainingState
from graft.training.fit import FitResult, Labelled, fit
from graft.training.optimizers import build_optimizer, layer_rate_factors

STEPS = 5  # of an epoch
EPOCHS = 4
RATE = 0.5


def params(**changes: Any) -> FitParams:
    return FitParams(**{"epochs": EPOCHS, "patience": 10, "learning_rate": RATE, **changes})


# --- the rate ---------------------------------------------------------------------------------------------------


def rates(**changes: Any) -> list[float]:
    """How far plain gradient descent goes with gradients of 1, step by step."""
    variable = keras.Variable(np.zeros((), np.float32))
    optimizer = build_optimizer(params(optimizer="sgd", momentum=0.0, **changes), STEPS)
    optimizer.build([variable])
    found, before = [], 0.0
    for _ in range(EPOCHS * STEPS):
        optimizer.apply([keras.ops.ones(())])
        after = float(keras.ops.convert_to_numpy(variable))
        found.append(before - after)
        before = after
    return found


def cosine(step: int, steps: int) -> float:
    return RATE * 0.5 * (1 + math.cos(math.pi * step / steps))


def test_a_constant_rate_stays() -> None:
    assert rates() == pytest.approx([RATE] * EPOCHS * STEPS, rel=1e-4)


def test_a_cosine_goes_from_the_rate_down_to_nothing() -> None:
    total = EPOCHS * STEPS
    assert rates(schedule="cosine") == pytest.approx([cosine(step, total) for step in range(total)], abs=1e-5)


def test_a_warm_up_rises_in_a_straight_line_to_the_rate() -> None:
    rising = [RATE * step / (2 * STEPS) for step in range(2 * STEPS)]
    expected = rising + [RATE] * (EPOCHS - 2) * STEPS
    assert rates(warm_up_epochs=2) == pytest.approx(expected, abs=1e-5)


def test_a_cosine_after_a_warm_up_ends_with_the_last_epoch() -> None:
    rising = [RATE * step / STEPS for step in range(STEPS)]
    left = (EPOCHS - 1) * STEPS
    expected = rising + [cosine(step, left) for step in range(left)]
    assert rates(schedule="cosine", warm_up_epochs=1) == pytest.approx(expected, abs=1e-5)


# --- weight decay -----------------------------------------------------------------------------------------------


def model_of_layers() -> keras.Model:
    """Dense and batch-norm layers whose weights are all 1; one is named as if it were a scale."""
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, name="first"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(2, name="beta_block"),
        ],
        name="layers",
    )
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    return model


def step(model: keras.Model, gradient: float, rate_factors: Any = None, **changes: Any) -> dict[str, float]:
    """What one step takes off each variable, by path."""
    optimizer = build_optimizer(params(**changes), STEPS, rate_factors)
    variables = model.trainable_variables
    optimizer.build(variables)
    before = [keras.ops.convert_to_numpy(variable) for variable in variables]
    gradients = [keras.ops.full(variable.shape, gradient) for variable in variables]
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    moves = [one - keras.ops.convert_to_numpy(variable) for one, variable in zip(before, variables, strict=True)]
    for move in moves:
        np.testing.assert_allclose(move, move.flat[0], rtol=1e-5)
    return {variable.path: float(move.flat[0]) for variable, move in zip(variables, moves, strict=True)}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_weight_decay_moves_kernels_and_nothing_else(optimizer: str) -> None:
    moves = step(model_of_layers(), gradient=0.0, optimizer=optimizer, weight_decay=0.1)
    decayed = {path for path, move in moves.items() if move}
    assert {path.removeprefix("layers/") for path in decayed} == {"first/kernel", "beta_block/kernel"}
    assert [moves[path] for path in decayed] == pytest.approx([RATE * 0.1] * 2, rel=1e-5)


def test_without_weight_decay_nothing_shrinks() -> None:
    for optimizer in ("adam", "adamw", "sgd"):
        assert not any(step(model_of_layers(), gradient=0.0, optimizer=optimizer).values())


# --- a rate for each layer --------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_factor_scales_the_step_of_its_variable_and_of_no_other(optimizer: str) -> None:
    model = model_of_layers()
    slow = [variable.path for variable in model.get_layer("first").trainable_variables]
    plain = step(model_of_layers(), gradient=2.0, optimizer=optimizer)
    moves = step(model, gradient=2.0, rate_factors=dict.fromkeys(slow, 0.25), optimizer=optimizer)
    assert set(moves) == set(plain)
    for path, move in moves.items():
        assert move == pytest.approx(plain[path] * (0.25 if path in slow else 1), rel=1e-4), path


def test_weight_decay_goes_by_the_rate_without_the_factor() -> None:
    model = model_of_layers()
    factors = {variable.path: 0.25 for variable in model.trainable_variables}
    moves = step(model, gradient=0.0, rate_factors=factors, optimizer="adamw", weight_decay=0.1)
    assert moves["layers/first/kernel"] == pytest.approx(RATE * 0.1, rel=1e-5)


def test_the_rate_falls_from_layer_to_layer_and_frozen_ones_have_none() -> None:
    network = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, name="bottom"),
            keras.layers.ReLU(),  # no weights: no step of the ladder
            keras.layers.Dense(4, name="middle"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(4, name="top"),
        ],
        name="network",
    )
    network.get_layer("norm").trainable = False
    factors = layer_rate_factors(network, 0.5)
    by_layer = {path.split("/")[-2]: factor for path, factor in factors.items()}
    assert by_layer == {"top": 0.5, "middle": 0.25, "bottom": 0.125}
    assert set(factors) == {variable.path for variable in network.trainable_variables}
    network.get_layer("bottom").trainable = False
    assert {path.split("/")[-2] for path in layer_rate_factors(network, 0.5)} == {"top", "middle"}


# --- the running mean of weights --------------------------------------------------------------------------------

MOMENTUM = 0.8


def points(count: int, seed: int) -> Labelled:
    labels = np.arange(count) % 2
    noise = np.random.default_rng(seed).normal(0, 1, (count, 3))
    return Labelled((noise + labels[:, None]).astype(np.float32), labels)


class Watched:
    """A fit with its weights after each step, and around each validation."""

    def __init__(self, patch: pytest.MonkeyPatch, momentum: float = MOMENTUM) -> None:
        self.own: list[list[np.ndarray]] = []
        self.validated: list[list[np.ndarray]] = []
        self.after: list[list[np.ndarray]] = []
        batch_end, epoch_end = TrainingState.on_train_batch_end, TrainingState.on_epoch_end

        def on_train_batch_end(state: TrainingState, batch: int, logs: Any = None) -> None:
            batch_end(state, batch, logs)
            self.own.append(state.model.get_weights())

        def on_epoch_end(state: TrainingState, epoch: int, logs: Any = None) -> None:
            self.validated.append(state.model.get_weights())
            epoch_end(state, epoch, logs)
            self.after.append(state.model.get_weights())

        patch.setattr(TrainingState, "on_train_batch_end", on_train_batch_end)
        patch.setattr(TrainingState, "on_epoch_end", on_epoch_end)
        keras.utils.set_random_seed(1)
        self.model = build_head(3, 2, HeadParams(hidden=[4], dropout=0.0), seed=1)
        settings = params(batch_size=6, ema_momentum=momentum, learning_rate=0.3)
        self.result: FitResult = fit(
            self.model, points(24, 0), points(12, 1), settings, classes=2, seed=3, label="test"
        )

    def means(self) -> list[list[np.ndarray]]:
        """The running means after each step, computed here."""
        means = [self.own[0]]
        for weights in self.own[1:]:
            pairs = zip(means[-1], weights, strict=True)
            means.append([MOMENTUM * mean + (1 - MOMENTUM) * weight for mean, weight in pairs])
        return means


def assert_equal(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_running_means_are_validated_and_kept(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keras.config.dtype_policy()
    # Back in Python after each step, to look at the weights.
    monkeypatch.setattr(feature_epochs, "HELD_BYTES", 0)
    monkeypatch.setattr(feature_epochs, "CALL_BYTES", 1)
    keras.config.set_dtype_policy(precision)  # mixed_float16 puts an optimizer around the one with the means
    try:
        watched = Watched(monkeypatch)
    finally:
        keras.config.set_dtype_policy(before)
    means = watched.means()
    steps = len(watched.own) // EPOCHS
    for epoch in range(EPOCHS):
        last = (epoch + 1) * steps - 1
        assert_equal(watched.validated[epoch], means[last])
        # Training goes on with the weights themselves.
        assert_equal(watched.after[epoch], watched.own[last])
    assert_equal(watched.model.get_weights(), means[(watched.result.best_epoch + 1) * steps - 1])
    assert not np.allclose(watched.own[-1][0], means[-1][0], rtol=1e-3)


def test_the_figures_of_validation_are_those_of_the_running_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    val = points(12, 1)
    for epoch, weights in enumerate(watched.validated):
        watched.model.set_weights(weights)
        probabilities = softmax(watched.model.predict(val.inputs, verbose=0))
        log_loss = -np.log(probabilities[np.arange(12), val.labels]).mean()
        assert watched.result.epochs["val_log_loss"][epoch] == pytest.approx(log_loss, rel=1e-4)


def test_without_a_momentum_the_weights_themselves_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, momentum=0.0)
    steps = len(watched.own) // EPOCHS
    assert_equal(watched.model.get_weights(), watched.own[(watched.result.best_epoch + 1) * steps - 1])
