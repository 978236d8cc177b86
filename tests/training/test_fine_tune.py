"""Fine-tuning on kept activations: without augmentation exactly what training end to end gives."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from pydantic import ValidationError
from tiny import clock, tinted_images

from graft.core.errors import GraftError
from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.params.strategy_params import AugmentParams, FineTuneParams, HeadParams
from graft.networks.decode_images import DecodedImages
from graft.networks.features.feature_store import FeatureStore
from graft.networks.features.space_info import space_infos
from graft.training.checkpoint import TrainingState
from graft.training.strategies import fine_tune
from graft.training.strategy import Task, Trained
from graft.training.views import view

SIZE, SEED = 32, 3
TRAIN, VAL = DecodedImages(*tinted_images(20, SIZE)), DecodedImages(*tinted_images(8, SIZE, seed=1))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a MobileNet whose batch norm fits these images, so that features are of a sane size."""
    path = tmp_path_factory.mktemp("weights") / "mobilenet.weights.h5"
    keras.utils.set_random_seed(SEED)
    network = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(keras.applications.mobilenet.preprocess_input(TRAIN.inputs.astype(np.float32)), training=True)
    network.save_weights(path)
    return path


def params(weights: Path, **changes: Any) -> FineTuneParams:
    settings = {
        "kind": "fine_tune",
        "backbone": KerasBackboneParams(source="keras", name="MobileNet", weights=str(weights)),
        "unfreeze": "conv_dw_12",
        "head": HeadParams(dropout=0.3),
        "head_epochs": 2,
        "epochs": 3,
        "batch_size": 8,
        "learning_rate": 0.001,
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "schedule": "cosine",
        "layer_decay": 0.8,
        "label_smoothing": 0.1,
    }
    return FineTuneParams(**{**settings, **changes})  # type: ignore[arg-type]


def train(folder: Path, settings: FineTuneParams, images: DecodedImages = TRAIN) -> Trained:
    keras.utils.set_random_seed(SEED)
    return fine_tune.train(
        settings, Task("tune", ["a", "b"], images, VAL, SIZE, SEED, folder, folder / "checkpoint", clock())
    )


def assert_same(one: Trained, other: Trained) -> None:
    for weight, again in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_allclose(weight, again, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(one.val_logits, other.val_logits, rtol=1e-3, atol=1e-3)
    figures = [trained.fit.epochs.drop(columns="seconds") for trained in (one, other)]
    np.testing.assert_allclose(figures[0], figures[1], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_without_augmentation_it_equals_training_end_to_end(weights: Path, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", params(weights))
    kept = train(tmp_path / "kept", params(weights, views=4))
    assert_same(kept, whole)


@pytest.mark.slow
def test_the_model_that_is_kept_is_the_one_that_was_validated(weights: Path, tmp_path: Path) -> None:
    augment = AugmentParams(flip="horizontal", rotate=0.1, brightness=0.1)
    trained = train(tmp_path, params(weights, views=2, augment=augment))
    whole = trained.model.predict(VAL.inputs, verbose=0)
    np.testing.assert_allclose(trained.val_logits, whole, rtol=1e-4, atol=1e-4)


def test_the_views_are_taken_in_turns(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    original = TrainingState.on_epoch_begin

    def note(self: TrainingState, epoch: int, logs: dict[str, Any] | None = None) -> None:
        original(self, epoch, logs)
        batches = [self.batches[index][0] for index in range(len(self.batches))]
        # In the order of the images, whatever that of the epoch is.
        seen.append(np.concatenate(batches)[np.argsort(self.batches.order)])

    monkeypatch.setattr(TrainingState, "on_epoch_begin", note)
    augment = AugmentParams(brightness=0.3)
    train(tmp_path, params(weights, views=2, augment=augment, head_epochs=0, epochs=4))
    assert len(seen) == 4
    np.testing.assert_array_equal(seen[0], seen[2])
    np.testing.assert_array_equal(seen[1], seen[3])
    assert not np.allclose(seen[0], seen[1])


def test_where_nothing_stays_frozen_views_are_refused(weights: Path, tmp_path: Path) -> None:
    settings = params(weights, views=2, unfreeze="all", head_epochs=0, epochs=1, layer_decay=1.0)
    with pytest.raises(GraftError, match=r"views is 2, and nothing of MobileNet stays frozen.*Set views: 0"):
        train(tmp_path, settings)


@pytest.mark.slow
def test_c5_what_is_trained_depends_on_no_machine(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = params(weights, views=8, augment=AugmentParams(brightness=0.3), head_epochs=0, epochs=1)
    here = train(tmp_path / "here", settings)
    full = type("Usage", (), {"free": 100, "total": 100, "used": 0})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: full)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 0, "total": 1}))
    monkeypatch.setattr("os.cpu_count", lambda: 1000)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(1000)), raising=False)
    assert_same(train(tmp_path / "there", settings), here)


def test_c5_where_activations_have_no_room_it_is_an_error_that_says_what_to_do(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", refuse, raising=False)
    monkeypatch.setattr("graft.networks.decode_images.large_array.__defaults__", (1000,))
    images = DecodedImages(TRAIN.inputs, TRAIN.labels)
    settings = params(weights, views=2, head_epochs=0, epochs=1)
    with pytest.raises(GraftError, match=r"what a network made of them, need .*Free some space there, or lower"):
        train(tmp_path, settings, images)


def test_c5_the_seed_reaches_the_views(weights: Path, tmp_path: Path) -> None:
    images = TRAIN.inputs
    changes = AugmentParams(flip="horizontal", rotate=0.1)
    one, again, other = (view(images, TRAIN.keys, 0, changes, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)
    store = FeatureStore(tmp_path / "store", 10**9)
    settings = params(weights, views=1, augment=changes, head_epochs=0, epochs=1)
    for seed in (1, 2):
        task = Task("tune", ["a", "b"], TRAIN, VAL, SIZE, seed, tmp_path, tmp_path / f"{seed}", clock(), store)
        fine_tune.train(settings, task)
    views = [space for space in space_infos(store) if space.description["view"]]
    assert {space.description["view"]["seed"] for space in views} == {1, 2}


@pytest.mark.parametrize("change", ["mix_up", "cut_mix", "rand_augment"])
def test_what_is_drawn_anew_in_every_epoch_has_no_views(change: str, weights: Path) -> None:
    with pytest.raises(ValidationError, match=rf"views is 2, but augment.{change} is drawn anew"):
        params(weights, views=2, augment=AugmentParams(**{change: 0.3}))


@pytest.mark.slow
def test_what_stays_frozen_drops_nothing_end_to_end_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EfficientNet drops whole blocks in training, also where nothing of them is trained."""
    seen: list[keras.Model] = []
    original = fine_tune.fit_end_to_end

    def note(model: keras.Model, *arguments: Any) -> Any:
        seen.append(model)
        return original(model, *arguments)

    monkeypatch.setattr(fine_tune, "fit_end_to_end", note)
    network = KerasBackboneParams(source="keras", name="EfficientNetB0", weights="none")
    settings = params(
        Path(), backbone=network, unfreeze="top_conv", head_epochs=0, epochs=1, head=HeadParams(dropout=0)
    )
    train(tmp_path, settings)
    images = VAL.inputs.astype(np.float32)
    np.testing.assert_allclose(seen[0](images, training=True), seen[0](images), rtol=1e-4, atol=1e-5)
