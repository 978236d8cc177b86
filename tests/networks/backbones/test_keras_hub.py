"""Backbones from Keras Hub: what is read from a preset, what becomes of it, and what is refused."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras_hub_presets import PRESETS, SIZE, write_preset
from tiny import tinted_images

from graft.core.errors import GraftError
from graft.core.params.backbone_params import KerasHubBackboneParams
from graft.networks.backbones import build_backbone, default_image_size, keras_hub_preset, weights_files
from graft.networks.backbones.backbone import Backbone
from graft.networks.backbones.cutting import cut
from graft.networks.features.frozen_backbone import FrozenBackbone
from graft.training.unfreezing import unfreeze

IMAGES = tinted_images(3, SIZE)[0].astype(np.float32)


@pytest.fixture(scope="session")
def presets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("presets")


def params(path: Path | str) -> KerasHubBackboneParams:
    return KerasHubBackboneParams(source="keras_hub", name=str(path))


def build(path: Path, size: int = SIZE, pooling: str = "average") -> Backbone:
    return build_backbone(params(path), size, path.parent, pooling)  # type: ignore[arg-type]


def test_without_keras_hub_the_error_is_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras_hub_preset.util, "find_spec", lambda name: None)
    for use in (default_image_size, lambda one: build_backbone(one, SIZE, tmp_path)):
        with pytest.raises(GraftError) as caught:
            use(params("vit_base_patch16_224_imagenet"))
        assert "Keras Hub is not installed" in caught.value.what
        assert caught.value.fix == f"{sys.executable} -m pip install 'graft[keras_hub]'"


def test_files_of_a_preset_folder_are_its_own_and_a_name_has_none(tmp_path: Path) -> None:
    for name in ("config.json", "model.weights.h5", "image_converter.json"):
        (tmp_path / name).write_text(name)
    files = [tmp_path / name for name in ("config.json", "image_converter.json", "model.weights.h5")]
    assert weights_files(params(tmp_path), tmp_path) == files
    assert weights_files(params("vit_base_patch16_224_imagenet"), tmp_path) == []
    assert weights_files(params("hf://somebody/something"), tmp_path) == []


@pytest.mark.parametrize("name", PRESETS)
def test_pixels_and_features_are_the_presets_own(name: str, presets: Path) -> None:
    path = write_preset(name, presets)
    keras_hub = pytest.importorskip("keras_hub")
    backbone = build(path)
    images = np.random.default_rng(5).integers(0, 256, (4, SIZE, SIZE, 3)).astype(np.float32)
    scaled = keras_hub.layers.ImageConverter.from_preset(str(path))(images)
    found = keras.Model(backbone.model.input, backbone.scaled)(images)
    np.testing.assert_allclose(found, scaled, rtol=1e-5, atol=1e-6)
    own = keras_hub.models.Backbone.from_preset(str(path))
    answers = keras.ops.convert_to_numpy(own({"images": scaled} if isinstance(own.input, dict) else scaled))
    expected = answers.mean((1, 2)) if answers.ndim == 4 else answers[:, 0]
    np.testing.assert_allclose(backbone.model(images), expected, rtol=1e-4, atol=1e-5)
    assert expected.std() > 0.01
    assert backbone.has_layers
    assert default_image_size(params(path)) == SIZE


@pytest.mark.parametrize("name", ["MobileNetBackbone", "DINOV2Backbone"])
def test_a_cut_changes_nothing_and_depths_begin_with_the_top(name: str, presets: Path) -> None:
    backbone = build(write_preset(name, presets))
    assert isinstance(backbone.network, keras.Model)
    pieces = cut(backbone, len(backbone.network.layers) - 1)
    assert pieces is not None
    np.testing.assert_allclose(pieces.above(pieces.below(IMAGES)), backbone.model(IMAGES), rtol=1e-4, atol=1e-5)
    deep = build(write_preset(name, presets), pooling="depths").model(IMAGES)
    np.testing.assert_allclose(deep[:, : backbone.feature_count], backbone.model(IMAGES), rtol=1e-4, atol=1e-5)
    assert deep.shape[1] < 20 * backbone.feature_count


def test_batch_norm_within_a_block_stays_as_it_is(presets: Path) -> None:
    network = build(write_preset("MobileNetBackbone", presets)).network
    norms = [one for one in network._flatten_layers() if isinstance(one, keras.layers.BatchNormalization)]
    assert set(norms) - set(network.layers)
    unfreeze(network, "all", "inference")
    assert not any(one.trainable for one in norms)
    assert len(network.trainable_weights) > 10
    unfreeze(network, "all", "update")
    assert all(one.trainable for one in norms)


def test_an_image_size_that_does_not_fit_is_refused_and_one_that_does_is_another_network(presets: Path) -> None:
    with pytest.raises(GraftError, match=r"ViTBackbone cannot be loaded for images of 48x48.*Set image_size: 32, or"):
        build(write_preset("ViTBackbone", presets), 48)
    path = write_preset("DINOV2Backbone", presets)
    other = build(path, 48)
    assert other.feature_count == build(path).feature_count
    assert FrozenBackbone.of(other).description != FrozenBackbone.of(build(path)).description


def test_what_is_no_preset_of_an_image_backbone_is_refused(presets: Path, tmp_path: Path) -> None:
    alone = write_preset("ResNetBackbone", presets, with_converter=False)
    with pytest.raises(GraftError, match="has no image converter to take the scaling of pixels from"):
        build(alone)
    with pytest.raises(GraftError, match="Keras Hub has no preset 'resnet_50_imagenett'.*Did you mean 'resnet_50_im"):
        build_backbone(params("resnet_50_imagenett"), SIZE, tmp_path)
    with pytest.raises(GraftError, match="cannot be had"):
        build(tmp_path)
    with pytest.raises(GraftError, match=r"head.pooling is 'max', but .* answers with one vector"):
        build(write_preset("ViTBackbone", presets), pooling="max")
    broken = write_preset("ResNetBackbone", tmp_path)
    (broken / "model.weights.h5").write_bytes(b"cut off")
    with pytest.raises(GraftError, match="cannot be loaded for images of 32x32 pixels"):
        build(broken)
