"""Unfreezing: which layers of a backbone training moves, and what is refused."""

from typing import Any

import keras
import pytest

from graft.core.errors import GraftError
from graft.training.unfreezing import first_trained_layer, unfreeze

NAMES = ["in", "conv_1", "norm_1", "relu_1", "conv_2", "norm_2", "relu_2", "top"]


def network() -> keras.Model:
    """Eight layers, frozen; weights in both convolutions, both batch norms and the top."""
    layers = keras.layers
    x = inputs = keras.Input((8, 8, 3), name="in")
    for index in (1, 2):
        x = layers.Conv2D(2, 3, name=f"conv_{index}")(x)
        x = layers.BatchNormalization(name=f"norm_{index}")(x)
        x = layers.ReLU(name=f"relu_{index}")(x)
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="top")(x), name="tiny_trunk")
    model.trainable = False
    assert [layer.name for layer in model.layers] == NAMES
    return model


def trained(start: Any, batch_norm: str = "inference") -> list[str]:
    """Names of the layers whose weights training would move."""
    model = network()
    unfreeze(model, start, batch_norm)
    moved = {id(variable) for variable in model.trainable_variables}
    return [
        layer.name
        for layer in model.layers
        if layer.weights and any(id(variable) in moved for variable in layer.weights)
    ]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("all", ["conv_1", "conv_2", "top"]),
        ("conv_2", ["conv_2", "top"]),
        ("relu_1", ["conv_2", "top"]),  # a layer without weights is a place too
        ("top", ["top"]),
        (1, ["top"]),
        (4, ["conv_2", "top"]),  # conv_2, norm_2, relu_2, top: counted as Keras counts
        (8, ["conv_1", "conv_2", "top"]),
        (0.125, ["top"]),
        (0.5, ["conv_2", "top"]),
        (1.0, ["conv_1", "conv_2", "top"]),
    ],
)
def test_layers_are_trained_from_the_start_named_up(start: Any, expected: list[str]) -> None:
    assert trained(start) == expected


def test_a_count_and_a_fraction_of_one_are_not_the_same() -> None:
    assert first_trained_layer(network(), 1) == 7
    assert first_trained_layer(network(), 1.0) == 0


@pytest.mark.parametrize("start", ["all", "norm_1", 7, 1.0])
def test_batch_norm_is_trained_only_where_it_is_updated(start: Any) -> None:
    assert not {"norm_1", "norm_2"} & set(trained(start))
    assert {"norm_1", "norm_2"} <= set(trained(start, "update"))


def test_batch_norm_below_the_start_stays_where_it_is_updated_above() -> None:
    assert trained("conv_2", "update") == ["conv_2", "norm_2", "top"]


def test_batch_norm_that_is_kept_answers_in_training_as_it_does_after_it() -> None:
    for batch_norm in ("inference", "update"):
        model = network()
        unfreeze(model, "all", batch_norm)
        images = keras.random.normal((4, 8, 8, 3), seed=1)
        before = [keras.ops.convert_to_numpy(weight) for weight in model.get_layer("norm_1").weights]
        in_training = keras.ops.convert_to_numpy(model(images, training=True))
        same_answer = (in_training == keras.ops.convert_to_numpy(model(images, training=False))).all()
        after = [keras.ops.convert_to_numpy(weight) for weight in model.get_layer("norm_1").weights]
        same_statistics = all((one == other).all() for one, other in zip(before, after, strict=True))
        assert same_answer == same_statistics == (batch_norm == "inference")


def test_a_trunk_may_be_unfrozen_again_to_less() -> None:
    model = network()
    unfreeze(model, "all", "update")
    unfreeze(model, "top", "inference")
    assert [variable.path.split("/")[-2] for variable in model.trainable_variables] == ["top", "top"]


@pytest.mark.parametrize("count", [9, 100])
def test_more_layers_than_there_are_is_refused(count: int) -> None:
    with pytest.raises(GraftError, match=rf"unfreeze is {count}, and tiny_trunk has 8 layers.*count from 1 to 8"):
        unfreeze(network(), count, "inference")


def test_a_share_of_less_than_a_layer_is_refused() -> None:
    with pytest.raises(GraftError, match=r"unfreeze is 0.01, and tiny_trunk has 8 layers.*at least one layer"):
        unfreeze(network(), 0.01, "inference")


def test_a_name_that_is_not_there_suggests_the_nearest_and_changes_nothing() -> None:
    model = network()
    with pytest.raises(GraftError, match=r"tiny_trunk has no layer 'conv2' to unfreeze from. Did you mean 'conv_2'?"):
        unfreeze(model, "conv2", "inference")
    assert model.trainable_variables == []
