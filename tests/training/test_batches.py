"""Batches: their order and their contents."""

import numpy as np
import pytest

from graft.networks.class_weights import balanced_class_weights
from graft.training.batches import Batches

INPUTS = np.arange(23, dtype=np.float32)[:, None]
LABELS = np.arange(23) % 3


def batches(seed: int | None = 5, **options: object) -> Batches:
    return Batches(INPUTS, LABELS, 3, batch_size=5, seed=seed, **options)  # type: ignore[arg-type]


def order(of: Batches) -> list[int]:
    return [int(value) for index in range(len(of)) for value in of[index][0][:, 0]]


def test_every_image_comes_once_with_its_label() -> None:
    inputs, labels, weights = (np.concatenate(part) for part in zip(*[batches()[i] for i in range(5)], strict=True))
    assert sorted(inputs[:, 0]) == list(range(23))
    assert labels.argmax(axis=1).tolist() == [LABELS[int(value)] for value in inputs[:, 0]]
    assert labels.sum(axis=1).tolist() == [1.0] * 23
    assert weights.tolist() == [1.0] * 23
    assert {part.dtype for part in (inputs, labels, weights)} == {np.dtype(np.float32)}


def test_the_last_batch_holds_what_is_left() -> None:
    assert len(batches()) == 5
    assert len(batches()[4][0]) == 3
    assert len(Batches(INPUTS[:10], LABELS[:10], 3, batch_size=5)) == 2


def test_order_is_a_function_of_seed_and_epoch() -> None:
    first, second = batches(), batches()
    orders = []
    for epoch in range(3):
        assert order(first) == order(second)
        orders.append(order(first))
        first.start_epoch(epoch + 1)
        second.start_epoch(epoch + 1)
    assert orders[0] != orders[1] != orders[2]
    late = batches()
    late.start_epoch(2)
    assert order(late) == orders[2]
    assert order(batches(seed=6)) != orders[0]


def test_without_a_seed_images_keep_their_places() -> None:
    plain = batches(seed=None)
    plain.start_epoch(1)
    assert order(plain) == list(range(23))


def test_bytes_stay_bytes() -> None:
    images = np.full((4, 2, 2, 3), 200, np.uint8)
    inputs, _, _ = Batches(images, np.zeros(4, int), 2, batch_size=4)[0]
    assert inputs.dtype == np.uint8  # a quarter of the way to a GPU; the model's input layer makes floats of them
    assert inputs.max() == 200


def test_balanced_weights_make_classes_count_alike() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2])
    weights = balanced_class_weights(labels, 3)
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    assert weights[labels].mean() == pytest.approx(1)
    _, _, of_images = Batches(np.zeros((10, 1)), labels, 3, batch_size=10, class_weights=weights)[0]
    assert of_images.tolist() == pytest.approx(weights[labels].tolist())


def test_a_class_without_images_breaks_nothing() -> None:
    assert np.isfinite(balanced_class_weights(np.array([0, 0, 2]), 3)).all()
