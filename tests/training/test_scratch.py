"""The small network from random weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from graft.errors import GraftError
from graft.params.strategies import ScratchParams
from graft.training.strategies.scratch import build_network


def params(**changes: Any) -> ScratchParams:
    return ScratchParams(
        **{"kind": "scratch", "epochs": 1, "learning_rate": 0.01, "filters": [4, 8], **changes}
    )


def test_one_block_per_number_of_filters() -> None:
    model = build_network(params(filters=[3, 5, 7]), 16, 4, seed=1)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [3, 5, 7]
    assert model.output_shape == (None, 4)
    assert model.get_layer("pool").input.shape[1:] == (2, 2, 7)


def test_images_come_as_they_are() -> None:
    model = build_network(params(), 8, 2, seed=1)
    scaled = model.get_layer("input_scaling")(np.array([[[[0.0, 127.5, 255.0]]]]))
    np.testing.assert_allclose(scaled, [[[[-1, 0, 1]]]])


def test_the_seed_sets_the_weights() -> None:
    models = [build_network(params(), 8, 2, seed=seed) for seed in (1, 1, 2)]
    kernels = [model.layers[2].kernel.numpy() for model in models]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.allclose(kernels[0], kernels[2])


def test_l2_is_a_part_of_the_loss() -> None:
    assert build_network(params(l2=0.0), 8, 2, seed=1).losses == []
    model = build_network(params(l2=0.5), 8, 2, seed=1)
    kernels = [layer.kernel.numpy() for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert sum(map(float, model.losses)) == pytest.approx(
        0.5 * sum((kernel**2).sum() for kernel in kernels), rel=1e-5
    )


def test_images_that_cannot_be_halved_so_often_are_refused() -> None:
    assert build_network(params(filters=[2, 2, 2]), 8, 2, seed=1).output_shape == (None, 2)
    with pytest.raises(
        GraftError, match=r"7 pixels cannot be halved 3 times \(filters \[2, 2, 2\]\).*image_size"
    ):
        build_network(params(filters=[2, 2, 2]), 7, 2, seed=1)
