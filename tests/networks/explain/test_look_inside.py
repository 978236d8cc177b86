"""Kernels, maps and features of a bundle's network, held against Keras' own."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from graft.core.errors import GraftError
from graft.networks.explain.look_inside import embedding_run, feature_maps, first_kernels
from graft.registry.report.draw_network import draw_features, draw_kernels
from graft.training.write_bundle import write_bundle

SIDE = 24
layers = keras.layers


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, Path]:
    keras.utils.set_random_seed(3)
    images = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="first")(images)
    x = layers.Conv2D(10, 3, strides=2, activation="relu", name="last")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(images, layers.Dense(3)(x))
    bundle = tmp_path_factory.mktemp("small") / "model"
    write_bundle(model, ["a", "b", "c"], SIDE, bundle)
    return model, bundle


def test_kernels_are_those_of_the_first_layer(small: tuple[keras.Model, Path], tmp_path: Path) -> None:
    model, bundle = small
    found, (expected,) = first_kernels(bundle), model.get_layer("first").get_weights()
    np.testing.assert_allclose(found, np.moveaxis(expected, -1, 0), atol=1e-6)
    draw_kernels(bundle, tmp_path / "kernels.png")
    assert Image.open(tmp_path / "kernels.png").size[0] > 400


def test_maps_and_features_are_what_keras_computes(small: tuple[keras.Model, Path], tmp_path: Path) -> None:
    model, bundle = small
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    (_, first), (_, last) = feature_maps(bundle, image)
    assert (first.shape, last.shape) == ((8, SIDE, SIDE), (8, 11, 11))
    outputs = keras.Model(model.input, [model.get_layer("first").output, model.get_layer("pool").output])
    maps, pooled = (np.asarray(one) for one in outputs(image[None].astype(np.float32)))
    expected = np.maximum(np.moveaxis(maps[0], -1, 0), 0)
    order = np.argsort(-expected.std(axis=(1, 2)), kind="stable")
    np.testing.assert_allclose(first, expected[order], rtol=1e-4, atol=1e-3)
    size, run = embedding_run(bundle)
    assert size == SIDE
    np.testing.assert_allclose(run(image[None]), pooled, rtol=1e-4, atol=1e-3)
    Image.fromarray(image).save(tmp_path / "photograph.png")
    draw_features(bundle, SIDE, tmp_path / "photograph.png", tmp_path / "maps.png")
    assert Image.open(tmp_path / "maps.png").size[1] > 300


def test_a_network_without_convolutions_says_so(tmp_path: Path) -> None:
    images = keras.Input((SIDE, SIDE, 3))
    write_bundle(keras.Model(images, layers.Dense(2)(layers.Flatten()(images))), ["a", "b"], SIDE, tmp_path / "model")
    with pytest.raises(GraftError, match="no convolution"):
        first_kernels(tmp_path / "model")
