"""The SavedModel of a head on a frozen backbone: exported once, and filled with the weights of each head."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import tinted_images

from graft.bundle.model import HEAD, SAVED_MODEL, SavedModelNetwork
from graft.bundle.trial import trial_images
from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.params.strategy_params import HeadParams
from graft.networks.backbones import build_backbone
from graft.networks.backbones.backbone import Backbone
from graft.networks.engines import artifact_cache as kept
from graft.networks.engines.openvino_run import saved_model_run
from graft.networks.features.feature_store import FeatureStore
from graft.networks.features.frozen_backbone import FrozenBackbone
from graft.networks.head import build_head
from graft.networks.temperature import softmax
from graft.training import head_export
from graft.training.head_export import save_with_backbone
from graft.training.head_on_backbone import HeadOnBackbone, as_model

SIZE, CLASSES = 32, 3
PARAMS = KerasBackboneParams(source="keras", name="MobileNet", weights="none")
IMAGES = tinted_images(5, SIZE)[0].astype(np.float32)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    keras.utils.set_random_seed(3)
    built = build_backbone(PARAMS, SIZE, tmp_path_factory.mktemp("cache"))
    # Larger than random weights are: through those all images come to nearly the same.
    built.network.set_weights([6 * value if value.ndim > 1 else value for value in built.network.get_weights()])
    return built


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store", 10**9)


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A word for each export that is made."""
    made: list[str] = []
    export = head_export._export
    monkeypatch.setattr(head_export, "_export", lambda *arguments: made.append("export") or export(*arguments))
    return made


@pytest.fixture
def head_on(backbone: Backbone) -> Callable[..., HeadOnBackbone]:
    def make(store: FeatureStore | None, seed: int = 1, **settings: Any) -> HeadOnBackbone:
        params = HeadParams(**settings)
        head = build_head(backbone.feature_count, CLASSES, params, seed)
        generator = np.random.default_rng(seed)
        # All of them, biases and what batch norm has seen too.
        head.set_weights(
            [
                generator.normal(size=weight.shape) if weight.ndim > 1 else generator.uniform(0.1, 1, weight.shape)
                for weight in head.get_weights()
            ]
        )
        return HeadOnBackbone(head, params, PARAMS, FrozenBackbone.of(backbone, store))

    return make


def answers_of(network: HeadOnBackbone, temperature: float, images: np.ndarray) -> np.ndarray:
    logits = as_model(network).predict(images, verbose=0)
    return softmax(logits / temperature)


SETTINGS: list[dict[str, Any]] = [
    {},
    {"dropout": 0.5},
    {"hidden": [7], "dropout": 0.2},
    {"hidden": [7, 5], "batch_norm": True},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_it_answers_for_images_and_for_features_as_the_model_does(
    head_on: Callable[..., HeadOnBackbone], store: FeatureStore, tmp_path: Path, settings: dict[str, Any]
) -> None:
    network = head_on(store, **settings)
    expected = answers_of(network, 1.7, IMAGES)
    assert np.ptp(expected, axis=0).max() > 1e-3
    answers = save_with_backbone(network, 1.7, tmp_path)
    np.testing.assert_allclose(answers, answers_of(network, 1.7, trial_images(SIZE)), atol=1e-5)
    tf.config.experimental.enable_tensor_float_32_execution(True)  # as TensorFlow does by itself
    np.testing.assert_allclose(SavedModelNetwork(tmp_path)(IMAGES), expected, atol=1e-5)
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
    features = network.backbone.built.model.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(saved_model_run(tmp_path / HEAD)(features), expected, atol=1e-5)
    np.testing.assert_allclose(saved_model_run(tmp_path / SAVED_MODEL)(IMAGES), expected, atol=1e-4)


def test_another_head_is_filled_in_without_the_trunk(
    head_on: Callable[..., HeadOnBackbone], store: FeatureStore, tmp_path: Path, exports: list[str]
) -> None:
    save_with_backbone(head_on(store), 1.0, tmp_path / "first")

    def gone() -> Backbone:
        raise AssertionError("built")

    # With dropout: its seed is no weight.
    other = head_on(store, seed=2, dropout=0.5)
    described = FrozenBackbone.described(other.backbone.description, other.backbone.feature_count, store, gone)
    without = HeadOnBackbone(other.head, other.head_params, PARAMS, described)
    target = tmp_path / "other"
    answers = save_with_backbone(without, 2.5, target)
    assert exports == ["export"]
    np.testing.assert_allclose(answers, answers_of(other, 2.5, trial_images(SIZE)), atol=1e-5)
    expected = answers_of(other, 2.5, IMAGES)
    np.testing.assert_allclose(SavedModelNetwork(target)(IMAGES), expected, atol=1e-5)
    features = other.backbone.built.model.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(saved_model_run(target / HEAD)(features), expected, atol=1e-5)
    # The same files as where nothing had been kept.
    alone = tmp_path / "alone"
    save_with_backbone(head_on(None, seed=2, dropout=0.5), 2.5, alone)
    assert exports == ["export"] * 2
    names = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert names == {str(path.relative_to(alone)) for path in alone.rglob("*") if path.is_file()}
    for name in (SAVED_MODEL, HEAD):
        data = f"{name}/variables/variables.data-00000-of-00001"
        assert (target / data).read_bytes()[-4000:] == (alone / data).read_bytes()[-4000:]


@pytest.mark.parametrize("settings", [{"hidden": [7]}, {"hidden": [7], "batch_norm": True}, {"hidden": [8]}])
def test_other_layers_are_another_export(
    head_on: Callable[..., HeadOnBackbone],
    store: FeatureStore,
    tmp_path: Path,
    exports: list[str],
    settings: dict[str, Any],
) -> None:
    for number, given in enumerate([{}, {"hidden": [6]}, settings, settings]):
        network = head_on(store, seed=number, **given)
        save_with_backbone(network, 1.0, tmp_path / str(number))
        np.testing.assert_allclose(
            SavedModelNetwork(tmp_path / str(number))(IMAGES), answers_of(network, 1.0, IMAGES), atol=1e-5
        )
    assert len(exports) == 3


@pytest.mark.parametrize("gone", ["trial.npy", "saved_model/saved_model.pb", "head/variables"])
def test_an_export_that_is_removed_while_it_is_read_is_made_anew(
    head_on: Callable[..., HeadOnBackbone],
    store: FeatureStore,
    tmp_path: Path,
    exports: list[str],
    monkeypatch: pytest.MonkeyPatch,
    gone: str,
) -> None:
    network = head_on(store)
    first = save_with_backbone(network, 1.0, tmp_path / "first")

    def whole_until_now(folder: Path) -> bool:
        path = folder / gone
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return True

    monkeypatch.setattr(kept, "is_whole", whole_until_now)
    target = tmp_path / "second"
    np.testing.assert_array_equal(save_with_backbone(network, 1.0, target), first)
    assert len(exports) == 2
    np.testing.assert_allclose(SavedModelNetwork(target)(IMAGES), answers_of(network, 1.0, IMAGES), atol=1e-5)


def test_a_damaged_export_is_made_anew(
    head_on: Callable[..., HeadOnBackbone], store: FeatureStore, tmp_path: Path, exports: list[str]
) -> None:
    network = head_on(store)
    first = save_with_backbone(network, 1.0, tmp_path / "first")
    (graph,) = store.networks.glob("*/saved_model/saved_model.pb")
    damaged = bytearray(graph.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    graph.write_bytes(damaged)
    np.testing.assert_array_equal(save_with_backbone(network, 1.0, tmp_path / "second"), first)
    assert len(exports) == 2
