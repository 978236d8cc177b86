"""The small network from random weights."""

from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest
from tiny import clock, tinted_images

from graft.bundle.model import ImageClassifier
from graft.core.errors import GraftError
from graft.core.params.strategy_params import HeadParams, ScratchParams
from graft.networks.backbones.backbone import weights_digest
from graft.networks.decode_images import DecodedImages
from graft.networks.temperature import softmax
from graft.training.strategies.scratch import build_network
from graft.training.strategies.scratch import train as scratch_train
from graft.training.strategy import Task
from graft.training.write_bundle import write_bundle


def params(**changes: Any) -> ScratchParams:
    return ScratchParams(**{"kind": "scratch", "epochs": 1, "learning_rate": 0.01, "filters": [4, 8], **changes})


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
    assert sum(map(float, model.losses)) == pytest.approx(0.5 * sum((kernel**2).sum() for kernel in kernels), rel=1e-5)


def test_images_that_cannot_be_halved_so_often_are_refused() -> None:
    assert build_network(params(filters=[2, 2, 2]), 8, 2, seed=1).output_shape == (None, 2)
    with pytest.raises(GraftError, match=r"7 pixels cannot be halved 3 times \(filters \[2, 2, 2\]\).*image_size"):
        build_network(params(filters=[2, 2, 2]), 7, 2, seed=1)


@pytest.mark.parametrize("network", get_args(ScratchParams.model_fields["network"].annotation))
def test_every_network_learns_is_saved_and_answers_in_the_order_of_the_classes(network: str, tmp_path: Path) -> None:
    settings = params(
        network=network,
        epochs=6,
        patience=6,
        batch_size=8,
        learning_rate=0.005,
        head=HeadParams(pooling="flatten", hidden=[8], dropout=0.0),
    )
    train, val = DecodedImages(*tinted_images(24)), DecodedImages(*tinted_images(8, seed=1))
    classes = ["red", "green"]  # not in the order of the alphabet
    before = build_network(settings, 16, 2, seed=5)
    task = Task("net", classes, train, val, 16, 5, tmp_path, tmp_path / "checkpoint", clock())
    trained = scratch_train(settings, task)
    assert trained.weights_source == "random"
    assert trained.weights_digest == weights_digest(before.weights)
    for one, other in zip(before.get_weights(), trained.model.get_weights(), strict=True):
        assert not np.array_equal(one, other)
    losses = trained.fit.epochs["loss"]
    assert losses.iloc[-1] < losses.iloc[0]
    write_bundle(trained.model, classes, 16, tmp_path / "bundle")
    bundle = ImageClassifier(tmp_path / "bundle")
    expected = softmax(trained.val_logits)
    np.testing.assert_allclose(bundle.probabilities({16: val.inputs}), expected, atol=1e-5)
    answers = bundle.predict(list(val.inputs))
    assert answers["label"].tolist() == [classes[index] for index in expected.argmax(axis=1)]
