"""Augmentation: what it changes, when, and that it can be repeated."""

from typing import Any

import keras
import numpy as np
import pytest

from graft.core.params.strategy_params import AugmentParams
from graft.training.augmentation import augmentation_layers
from graft.training.fit import with_augmentation

EVERYTHING = {
    "flip": "horizontal_and_vertical",
    "rotate": 0.2,
    "zoom": 0.3,
    "translate": 0.2,
    "contrast": 0.4,
    "brightness": 0.3,
}


def images(count: int = 8) -> np.ndarray:
    return np.random.default_rng(0).uniform(20, 235, (count, 12, 12, 3)).astype(np.float32)


def augmented(settings: dict[str, Any], seed: int = 1, training: bool = True) -> np.ndarray:
    x: Any = images()
    for layer in augmentation_layers(AugmentParams(**settings), seed):
        x = layer(x, training=training)
    return np.asarray(x)


def test_no_change_is_no_layer() -> None:
    assert augmentation_layers(AugmentParams(), seed=1) == []
    model = keras.Sequential([keras.Input((12, 12, 3)), keras.layers.Flatten()])
    assert with_augmentation(model, []) is model


@pytest.mark.parametrize("setting", EVERYTHING)
def test_each_setting_changes_images_in_training_only(setting: str) -> None:
    alone = {setting: EVERYTHING[setting]}
    assert not np.allclose(augmented(alone), images())
    np.testing.assert_array_equal(augmented(alone, training=False), images())


def test_values_stay_in_range() -> None:
    changed = augmented(EVERYTHING)
    assert changed.shape == images().shape
    assert changed.min() >= 0
    assert changed.max() <= 255


def test_a_flip_mirrors_some_images_and_leaves_the_others() -> None:
    changed = augmented({"flip": "horizontal"})
    kinds = []
    for before, after in zip(images(), changed, strict=True):
        is_mirrored = np.array_equal(after, before[:, ::-1])
        assert is_mirrored or np.array_equal(after, before)
        kinds.append(is_mirrored)
    assert set(kinds) == {True, False}


def test_a_vertical_flip_turns_images_upside_down() -> None:
    pairs = zip(images(), augmented({"flip": "vertical"}), strict=True)
    assert any(np.array_equal(after, before[::-1]) for before, after in pairs)


def test_the_same_seed_gives_the_same_images() -> None:
    np.testing.assert_array_equal(augmented(EVERYTHING, seed=4), augmented(EVERYTHING, seed=4))
    assert not np.allclose(augmented(EVERYTHING, seed=4), augmented(EVERYTHING, seed=5))


def test_the_model_that_is_kept_has_none_of_it_and_shares_its_weights() -> None:
    model = keras.Sequential([keras.Input((12, 12, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    training = with_augmentation(model, augmentation_layers(AugmentParams(**EVERYTHING), 1))
    np.testing.assert_allclose(training(images(), training=False), model(images()), rtol=1e-6)
    assert not np.allclose(training(images(), training=True), model(images()))
    model.layers[-1].kernel.assign(np.zeros((432, 2)))
    assert not np.any(training(images(), training=False))
    assert not any("random" in layer.name for layer in model.layers)
