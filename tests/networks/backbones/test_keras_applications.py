"""Backbones of keras.applications: names, input scaling, sizes, features; and what holds for any backbone untrained."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from backbone_sources import SOURCES, Source
from tiny import tinted_images

from graft.core.errors import GraftError
from graft.core.params.backbone_params import BackboneParams, KerasBackboneParams
from graft.networks.backbones import build_backbone, default_image_size, efficientnet_lite
from graft.networks.backbones.keras_applications import application_names, build, find_application, input_scaling
from graft.training.unfreezing import unfreeze


class AskedError(Exception):
    """Instead of building a network, once Keras has said which size it takes."""


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The default size of each network that is about to be built; none is."""
    from keras.src.applications import imagenet_utils

    seen: list[int] = []

    def ask(input_shape: Any, default_size: int, **options: Any) -> None:
        seen.append(default_size)
        raise AskedError

    monkeypatch.setattr(imagenet_utils, "obtain_input_shape", ask)
    return seen


ANY_SIZE = {"MobileNetV3Large", "MobileNetV3Small"}  # by default Keras fixes none: made for 224, by its documentation


@pytest.mark.parametrize("name", application_names())
def test_the_default_size_is_that_of_keras(name: str, sizes: list[int]) -> None:
    size = default_image_size(KerasBackboneParams(source="keras", name=name))
    application = find_application(name)
    if name in efficientnet_lite.names():
        assert application().input_shape == (None, size, size, 3)
        return
    if name in ANY_SIZE:
        assert application(weights=None).input_shape == (None, None, None, 3)
        sizes.append(224)
    else:
        with pytest.raises(AskedError):
            application(weights=None)
    assert sizes == [size]


@pytest.mark.parametrize("name", sorted({*application_names()} - ANY_SIZE - {*efficientnet_lite.names()}))
def test_keras_builds_each_by_the_arguments_of_graft(name: str, sizes: list[int], tmp_path: Path) -> None:
    with pytest.raises(AskedError):
        build(KerasBackboneParams(source="keras", name=name, weights="none"), 224, tmp_path)


@pytest.mark.parametrize("name", application_names())
def test_inputs_are_scaled_as_keras_does_it(name: str) -> None:
    application = find_application(name)
    images = np.random.default_rng(3).uniform(0, 255, (2, 5, 4, 3)).astype(np.float32)
    preprocess = importlib.import_module(application.__module__).preprocess_input
    expected = np.asarray(preprocess(images.copy()))
    np.testing.assert_allclose(np.asarray(input_scaling(application)(images)), expected, atol=1e-4)


def test_every_application_of_keras_is_known() -> None:
    assert len(application_names()) >= 40
    assert {"MobileNetV2", "VGG16", "EfficientNetB0", "ConvNeXtTiny"} <= set(application_names())


@pytest.mark.parametrize("source", [source for source in SOURCES if not source.slow], ids=lambda s: s.name)
def test_a_backbone_takes_photographs_as_they_are(
    source: Source, backbone_params: Callable[[Source], BackboneParams], tmp_path: Path
) -> None:
    backbone = build_backbone(backbone_params(source), source.size, tmp_path)
    images = tinted_images(3, source.size)[0].astype(np.float32)
    features = backbone.model(images).numpy()
    assert features.shape == (3, backbone.feature_count)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert features.std() > 1e-3
    # One image's features do not depend on its neighbours.
    np.testing.assert_allclose(backbone.model(images[1:2]).numpy()[0], features[1], rtol=1e-3, atol=1e-4)


def test_features_are_those_of_keras_own_road(tmp_path: Path) -> None:
    params = KerasBackboneParams(source="keras", name="VGG16", weights="none")
    backbone = build_backbone(params, 32, tmp_path)
    images = tinted_images(2, 32)[0].astype(np.float32)
    maps = backbone.network(keras.applications.vgg16.preprocess_input(images.copy()))
    np.testing.assert_allclose(backbone.model(images), np.asarray(maps).mean(axis=(1, 2)), rtol=1e-4, atol=1e-6)


def test_an_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    params = KerasBackboneParams(source="keras", name="MobilNetV2", weights="none")
    with pytest.raises(GraftError, match="no model 'MobilNetV2'. Did you mean 'MobileNetV2'?"):
        build_backbone(params, 32, tmp_path)


def test_images_too_small_for_a_backbone_are_refused(tmp_path: Path) -> None:
    params = KerasBackboneParams(source="keras", name="InceptionV3", weights="none")
    with pytest.raises(GraftError, match=r"InceptionV3 cannot take images of 32x32 pixels: .*75.*image_size"):
        build_backbone(params, 32, tmp_path)


def test_a_layer_that_is_not_there_suggests_the_nearest(tmp_path: Path) -> None:
    params = KerasBackboneParams(source="keras", name="MobileNet", weights="none")
    backbone = build_backbone(params, 32, tmp_path)
    with pytest.raises(GraftError, match=r"no layer 'conv_dw_31' to unfreeze from. Did you mean 'conv_dw_1?3'?"):
        unfreeze(backbone.network, "conv_dw_31", "inference")
