"""The head: what it pools, what stands in it, what it is penalised for."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from graft.core.params.strategy_params import HeadParams
from graft.networks.head import build_head, pool

MAPS = np.random.default_rng(0).normal(0, 1, (2, 3, 4, 5)).astype(np.float32)


@pytest.fixture
def mixed_precision() -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


def head(seed: int = 1, **changes: Any) -> keras.Model:
    return build_head(6, 3, HeadParams(**changes), seed)


def dense_layers(model: keras.Model) -> list[keras.layers.Dense]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]


def kernels(model: keras.Model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(layer.kernel) for layer in dense_layers(model)]


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [("average", MAPS.mean(axis=(1, 2))), ("max", MAPS.max(axis=(1, 2))), ("flatten", MAPS.reshape(2, 60))],
)
def test_each_kind_of_pooling(pooling: Any, expected: np.ndarray) -> None:
    inputs = keras.Input((3, 4, 5))
    model = keras.Model(inputs, pool(inputs, pooling))
    assert model.output_shape == (None, expected.shape[1])
    np.testing.assert_allclose(model.predict(MAPS, verbose=0), expected, rtol=1e-5, atol=1e-6)


def test_vectors_are_pooled_already() -> None:
    inputs = keras.Input((5,))
    assert pool(inputs, "average") is inputs


def test_without_hidden_layers_the_head_is_one_dense_layer() -> None:
    model = head(dropout=0.0)
    assert [layer.name for layer in model.layers] == ["features", "logits"]
    features = np.random.default_rng(1).normal(0, 1, (4, 6)).astype(np.float32)
    expected = features @ kernels(model)[0]
    np.testing.assert_allclose(model.predict(features, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_hidden_layers_stand_in_the_order_named_with_relu_behind_each() -> None:
    model = head(hidden=[7, 4], dropout=0.0)
    assert [layer.units for layer in dense_layers(model)] == [7, 4, 3]
    features = np.random.default_rng(1).normal(0, 1, (4, 6)).astype(np.float32)
    first, second, last = kernels(model)
    expected = np.maximum(np.maximum(features @ first, 0) @ second, 0) @ last
    np.testing.assert_allclose(model.predict(features, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_comes_behind_each_hidden_layer_and_only_there() -> None:
    kinds = [type(layer).__name__ for layer in head(hidden=[7, 4], batch_norm=True).layers]
    assert kinds == ["InputLayer", "Dense", "BatchNormalization", "Dense", "BatchNormalization", "Dropout", "Dense"]
    assert "BatchNormalization" not in [type(layer).__name__ for layer in head(batch_norm=True).layers]


def test_dropout_leaves_out_its_share_in_training_alone() -> None:
    model = head(hidden=[200], dropout=0.4)
    (dropout,) = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    ones = np.ones((5, 200), np.float32)
    left_out = (keras.ops.convert_to_numpy(dropout(ones, training=True)) == 0).mean()
    assert left_out == pytest.approx(0.4, abs=0.08)
    np.testing.assert_array_equal(dropout(ones, training=False), ones)


@pytest.mark.parametrize("hidden", [[], [7, 4]])
def test_penalties_are_those_of_all_kernels(hidden: list[int]) -> None:
    assert head(hidden=hidden).losses == []
    for l1, l2 in ((0.01, 0.0), (0.0, 0.02), (0.01, 0.02)):
        model = head(hidden=hidden, l1=l1, l2=l2)
        expected = sum(l1 * np.abs(kernel).sum() + l2 * (kernel**2).sum() for kernel in kernels(model))
        assert sum(map(float, model.losses)) == pytest.approx(expected, rel=1e-5)


def test_the_seed_sets_the_weights_and_no_two_layers_share_them() -> None:
    models = [head(seed, hidden=[6, 6]) for seed in (1, 1, 2)]
    for one, same, other in zip(*map(kernels, models), strict=True):
        np.testing.assert_array_equal(one, same)
        assert not np.allclose(one, other)
    first, second, _ = kernels(models[0])
    assert not np.allclose(first, second)


@pytest.mark.usefixtures("mixed_precision")
def test_logits_are_float32_also_in_mixed_precision() -> None:
    model = head(hidden=[4], batch_norm=True)
    features = np.random.default_rng(1).normal(0, 1, (4, 6)).astype(np.float32)
    assert dense_layers(model)[0].compute_dtype == "bfloat16"
    assert model.get_layer("logits").compute_dtype == "float32"
    assert keras.backend.standardize_dtype(model(features).dtype) == "float32"
    assert {weight.dtype for weight in model.weights} == {"float32"}
