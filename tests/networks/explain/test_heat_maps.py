"""Heat maps of bundles, held against Keras' own activations and gradients of the same networks."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from graft.bundle.images import CENTRE
from graft.networks.explain.heat_maps import HeatMaps, NoHeatMapError
from graft.networks.explain.heat_picture import heat_picture, shown_box
from graft.training.write_bundle import write_bundle

SIDE, CLASSES = 24, ["a", "b", "c"]
layers = keras.layers


def network(kind: str) -> tuple[keras.Model, keras.layers.Layer]:
    """A network with random weights, and its layer whose output is the last map of places."""
    keras.utils.set_random_seed(3)
    images = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 127.5, -1)(images)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    # Squeeze and excite: a mean over places that is not the last.
    squeezed = layers.Dense(8, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, squeezed])
    last = layers.Conv2D(10, 3, strides=2, padding="same", activation="relu")
    x = last(x)
    if kind == "linear":
        x = layers.GlobalAveragePooling2D()(x)
    elif kind == "hidden":
        x = layers.BatchNormalization()(layers.Dense(16, activation="relu")(layers.GlobalAveragePooling2D()(x)))
    else:
        x = layers.Dense(12, activation="gelu")(layers.Flatten()(x))
    # Called as graft calls it, so that what is written gives the features beside the probabilities.
    return keras.Model(images, layers.Dense(len(CLASSES), name="head")(x)), last


def independent(model: keras.Model, last: keras.layers.Layer, image: np.ndarray, label: int) -> np.ndarray:
    """Grad-CAM by TensorFlow's gradients, before anything is cut off: of a linear head, times places, Zhou's map."""
    cut = keras.Model(model.input, [last.output, model.output])
    with tf.GradientTape() as tape:
        maps, logits = cut(tf.constant(image[None].astype(np.float32)), training=False)
        tape.watch(maps)
        # Again from the maps on, for the tape to see it.
        x = maps
        for layer in model.layers[model.layers.index(last) + 1 :]:
            x = layer(x, training=False)
        logit = x[0, label] - tf.reduce_mean(x[0])
    np.testing.assert_allclose(x, logits, rtol=1e-4, atol=1e-5)
    weights = tf.reduce_sum(tape.gradient(logit, maps), axis=(1, 2))[0]
    return np.asarray(tf.tensordot(maps[0], weights, axes=1))


@pytest.mark.parametrize("kind", ["linear", "hidden", "flat"])
def test_heat_maps_are_those_of_an_independent_computation(kind: str, tmp_path: Path) -> None:
    model, last = network(kind)
    write_bundle(model, CLASSES, SIDE, tmp_path / "model", temperature=2.0)
    heats = HeatMaps(tmp_path / "model")
    assert heats.is_exact == (kind == "linear")
    generator = np.random.default_rng(0)
    for label in range(len(CLASSES)):
        image = generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        (found,) = heats.of({SIDE: image[None]}, [label])
        expected = independent(model, last, image, label) / 2.0  # the logits are divided by the temperature
        expected = expected if kind == "linear" else np.maximum(expected, 0)
        tolerance = 1e-4 if kind == "linear" else 0.03  # of activations that are smooth, a difference is not exact
        assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max() + 1e-7
        if kind == "linear":
            # Exact: the mean over places is what the image adds to the logit.
            logits = np.asarray(model(image[None].astype(np.float32), training=False))[0] / 2.0
            bias = np.asarray(model.layers[-1].bias) / 2.0
            contrast = logits - bias - (logits - bias).mean()
            assert found.mean() == pytest.approx(contrast[label], abs=1e-5)


def test_of_a_mirrored_network_the_map_is_of_the_image_as_it_is(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    images = keras.Input((SIDE, SIDE, 3))
    backbone = keras.Sequential([layers.Conv2D(6, 3, strides=4, padding="same", activation="relu")])
    pool = layers.GlobalAveragePooling2D()
    both = layers.Average()([pool(backbone(images)), pool(backbone(keras.ops.flip(images, axis=2)))])
    write_bundle(keras.Model(images, layers.Dense(3)(both)), CLASSES, SIDE, tmp_path / "model")
    heats = HeatMaps(tmp_path / "model")
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    (one,), (other,) = (heats.of({SIDE: some[None]}, [0]) for some in (image, image[:, ::-1]))
    np.testing.assert_allclose(one, other[:, ::-1], atol=1e-4 * np.abs(one).max())


def test_networks_without_places_say_why(tmp_path: Path) -> None:
    images = keras.Input((SIDE, SIDE, 3))
    flat = keras.Model(images, layers.Dense(3)(layers.Flatten()(images)))
    write_bundle(flat, CLASSES, SIDE, tmp_path / "flat")
    with pytest.raises(NoHeatMapError, match="the photograph itself"):
        HeatMaps(tmp_path / "flat")
    tokens = layers.Reshape((36, 8))(layers.Conv2D(8, 4, strides=4)(images))
    mixed = layers.MultiHeadAttention(2, 4)(tokens, tokens)
    attention = keras.Model(images, layers.Dense(3)(layers.GlobalAveragePooling1D()(mixed)))
    write_bundle(attention, CLASSES, SIDE, tmp_path / "attention")
    with pytest.raises(NoHeatMapError, match="attention"):
        HeatMaps(tmp_path / "attention")


def test_the_picture_is_the_photograph_with_the_heat_where_it_is() -> None:
    photograph = Image.new("RGB", (300, 150), (40, 160, 90))
    heat = np.zeros((4, 4), np.float32)
    heat[0, 3] = 2.0
    heat[3, 0] = -5.0
    picture = np.asarray(heat_picture(photograph, heat, "whole"), np.int16)
    assert picture.shape == (80, 160, 3)
    redness = picture[..., 0] - picture[..., 2]
    assert redness[5, 150] > 100 > 5 > abs(int(redness[75, 10]))
    assert shown_box((300, 150), CENTRE) == (84, 9, 215, 140)
    centred = np.asarray(heat_picture(photograph, np.ones((2, 2), np.float32), CENTRE), np.int16)
    assert centred[40, 80, 0] - centred[40, 80, 2] > 100 > 5 > abs(int(centred[40, 10, 0] - centred[40, 10, 2]))
