"""Tests of 1x1 convolutions as products: the same network, trained to the same weights."""

import keras
import numpy as np
import pytest

from graft.training.pointwise import pointwise_as_products


def network() -> keras.Model:
    """Return a network of two levels with a 1x1 convolution in each, and convolutions that are none."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    inner_input = keras.Input((4, 6, 5))
    inner = keras.Model(inner_input, layers.Conv2D(7, 1, activation="relu")(inner_input), name="inner")
    inputs = keras.Input((8, 12, 3))
    x = layers.Conv2D(4, 1, strides=2)(inputs)
    x = layers.Conv2D(5, 3, padding="same")(x)
    x = layers.Conv2D(6, 1, use_bias=False)(inner(x))
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


def trained(with_products: bool) -> tuple[list[np.ndarray], int]:
    model = network()
    rng = np.random.default_rng(0)
    images, targets = rng.random((32, 8, 12, 3), np.float32), rng.random((32, 6), np.float32)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    count = 0
    if with_products:
        with pointwise_as_products(model) as count:
            model.fit(images, targets, epochs=3, batch_size=8, shuffle=False, verbose=0)
    else:
        model.fit(images, targets, epochs=3, batch_size=8, shuffle=False, verbose=0)
    return model.get_weights(), count


def test_weights_are_those_that_convolutions_are_trained_to() -> None:
    ours, count = trained(with_products=True)
    theirs, _ = trained(with_products=False)
    assert count == 2
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert any(np.abs(one - other).max() > 1e-3 for one, other in zip(ours, network().get_weights(), strict=True))


def test_afterwards_the_layers_are_what_they_were() -> None:
    model = network()
    images = np.random.default_rng(0).random((2, 8, 12, 3), np.float32)
    before = model(images).numpy()
    with pytest.raises(RuntimeError), pointwise_as_products(model):
        np.testing.assert_allclose(model(images).numpy(), before, atol=1e-6)
        raise RuntimeError
    assert not any("convolution_op" in vars(layer) for layer in model._flatten_layers())
    np.testing.assert_array_equal(model(images).numpy(), before)
