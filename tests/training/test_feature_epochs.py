"""Epochs in one graph come to what Keras' own loop comes to."""

import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

from graft.core.params.strategy_params import FitParams, HeadParams
from graft.networks.head import build_head
from graft.training import fit as fit_module
from graft.training import graph_epochs as feature_epochs
from graft.training.batches import Batches
from graft.training.fit import FitResult, Labelled, fit
from graft.training.graph_epochs import suits_graph

WIDTH, CLASSES = 6, 3


def points(count: int, seed: int) -> Labelled:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    return Labelled(random.normal(size=(count, WIDTH)).astype(np.float32) + labels[:, None], labels)


def trained(views: int = 1, **changes: Any) -> tuple[FitResult, list[np.ndarray]]:
    keras.utils.set_random_seed(3)
    head = build_head(WIDTH, CLASSES, HeadParams(hidden=[4], batch_norm=True, dropout=0.4, l2=0.01), seed=5)
    params = FitParams(**{"epochs": 4, "patience": 9, "batch_size": 7, "learning_rate": 0.02, **changes})
    train, val = points(24 * views, 0), points(70, 1)
    result = fit(
        head, Labelled(train.inputs, train.labels[:24]), val, params, classes=CLASSES, seed=2, label="test", views=views
    )
    return result, head.get_weights()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"class_weight": "balanced", "label_smoothing": 0.1},
        {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "cosine", "warm_up_epochs": 1},
        {"ema_momentum": 0.9, "keep": "last"},
        {"views": 2},
        {"learning_rate": 2.0, "patience": 1, "epochs": 30},
    ],
)
def test_figures_and_weights_are_those_of_keras(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    here, weights = trained(**changes)
    monkeypatch.setattr(fit_module, "suits_graph", lambda batches: False)
    there, expected = trained(**changes)
    assert list(here.epochs) == list(there.epochs)
    columns = [name for name in here.epochs if name != "seconds"]
    np.testing.assert_allclose(here.epochs[columns], there.epochs[columns], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(here.steps, there.steps, rtol=1e-4, atol=1e-5)
    assert here.best_epoch == there.best_epoch
    for found, wanted in zip(weights, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_how_many_batches_a_call_takes_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    held, weights = trained(2)
    monkeypatch.setattr(feature_epochs, "HELD_BYTES", 0)  # handed over in each epoch
    for call_bytes in (10**6, 1):  # all at a time, and a batch
        monkeypatch.setattr(feature_epochs, "CALL_BYTES", call_bytes)
        handed, again = trained(2)
        np.testing.assert_allclose(held.steps, handed.steps, rtol=1e-5, atol=1e-6)
        for found, wanted in zip(again, weights, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_c12_the_nth_fit_takes_what_the_first_takes() -> None:
    code = """
import gc
import numpy as np
import psutil
from graft.core.params.strategy_params import FitParams, HeadParams
from graft.training.fit import Labelled, fit
from graft.networks.head import build_head

random, taken = np.random.default_rng(0), []
for _ in range(4):
    data = Labelled(random.normal(size=(8000, 1000)).astype(np.float32), np.arange(8000) % 3)
    params = FitParams(epochs=1, batch_size=500, learning_rate=0.01)
    fit(build_head(1000, 3, HeadParams(), 1), data, data, params, classes=3, seed=1, label="test")
    del data
    gc.collect()
    taken.append(psutil.Process().memory_info().rss / 2**20)
print(taken)
assert taken[-1] - taken[1] < 60, taken  # the features of one fit are 31 MB, in training and in validation
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]


def test_images_mixed_batches_and_several_devices_are_left_to_keras() -> None:
    labels = np.zeros(4, np.int64)
    assert suits_graph(Batches(np.zeros((4, WIDTH), np.float32), labels, 2, 2))
    assert not suits_graph(Batches(np.zeros((4, 8, 8, 3), np.uint8), labels, 2, 2))
    assert not suits_graph(Batches(np.zeros((4, WIDTH), np.float32), labels, 2, 2, devices=2))
    mixed = Batches(np.zeros((4, WIDTH), np.float32), labels, 2, 2, mix=lambda x, y, key: (x, y))
    assert not suits_graph(mixed)
