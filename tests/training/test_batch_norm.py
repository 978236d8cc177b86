"""Batch-norm statistics are those of the training images under the weights that are kept."""

from typing import Any

import keras
import numpy as np
import pytest
from tiny import tinted_images

from graft.core.params.strategy_params import FitParams, HeadParams, ScratchParams
from graft.networks.head import build_head
from graft.training.augmentation import augmentation_layers
from graft.training.batch_norm import set_batch_norm_statistics
from graft.training.fit import Labelled, fit
from graft.training.strategies.scratch import build_network

SIZE = 16
IMAGES = Labelled(*tinted_images(50, SIZE))


def norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    layers = model._flatten_layers()
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


def moments(model: keras.Model, norm: keras.layers.BatchNormalization, inputs: np.ndarray) -> list[np.ndarray]:
    """Mean and variance of what a layer of a flat model is given in inference, computed directly."""
    below = keras.Model(model.input, norm.input)
    values = np.asarray(below(inputs.astype(np.float32), training=False), np.float64)
    axes = tuple(range(values.ndim - 1))
    return [values.mean(axes), values.var(axes)]


@pytest.mark.parametrize("ema_momentum", [0.0, 0.9])
@pytest.mark.parametrize("keep", ["best", "last"])
def test_c6_statistics_are_those_of_the_weights_that_are_kept(ema_momentum: float, keep: str) -> None:
    params = ScratchParams(
        kind="scratch",
        filters=[6],
        epochs=3,
        batch_size=8,
        learning_rate=0.05,
        ema_momentum=ema_momentum,
        keep=keep,  # type: ignore[arg-type]
        head=HeadParams(dropout=0.5),
        augment={"flip": "horizontal", "brightness": 0.5},  # type: ignore[arg-type]
    )
    model = build_network(params, SIZE, 2, 1)
    fit(
        model,
        IMAGES,
        IMAGES,
        params,
        classes=2,
        seed=1,
        label="test",
        augmentation=augmentation_layers(params.augment, 1),
    )
    (norm,) = norms(model)
    mean, variance = moments(model, norm, IMAGES.inputs)
    np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.99  # as it was


@pytest.mark.parametrize("ema_momentum", [0.0, 0.95])
def test_c6_of_a_head_too(ema_momentum: float) -> None:
    random = np.random.default_rng(0)
    data = Labelled(random.normal(3, 2, (60, 5)).astype(np.float32), np.arange(60) % 2)
    head = build_head(5, 2, HeadParams(hidden=[7], batch_norm=True, dropout=0.4), 1)
    params = FitParams(epochs=4, batch_size=10, learning_rate=0.05, ema_momentum=ema_momentum)
    fit(head, data, data, params, classes=2, seed=1, label="test")
    (norm,) = norms(head)
    mean, variance = moments(head, norm, data.inputs)
    np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-4, atol=1e-5)


def test_layers_above_are_set_too_and_dropout_is_off() -> None:
    params = ScratchParams(kind="scratch", filters=[4, 5], epochs=1, learning_rate=0.1)
    model = build_network(params, SIZE, 2, 1)
    set_batch_norm_statistics(model, IMAGES.inputs, batch_size=50)  # of one batch, exactly
    for norm in norms(model):
        mean, variance = moments(model, norm, IMAGES.inputs)
        np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-3, atol=1e-4)
    at_once = [np.array(norm.moving_variance) for norm in norms(model)]
    set_batch_norm_statistics(model, IMAGES.inputs, batch_size=7)
    np.testing.assert_allclose(norms(model)[0].moving_variance, at_once[0], rtol=1e-4)
    np.testing.assert_allclose(norms(model)[1].moving_variance, at_once[1], rtol=0.3)


def test_frozen_layers_keep_what_they_have() -> None:
    params = ScratchParams(kind="scratch", filters=[4], epochs=1, learning_rate=0.1)
    model = build_network(params, SIZE, 2, 1)
    (norm,) = norms(model)
    norm.trainable = False

    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a pass over the images")

    model.call = never
    set_batch_norm_statistics(model, IMAGES.inputs, batch_size=8)
    np.testing.assert_array_equal(norm.moving_mean, np.zeros(4))
