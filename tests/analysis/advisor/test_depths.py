"""Depths of a backbone: what the model answers there is what the trunk has there, and `above` cuts there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import tinted_images

from graft.analysis.advisor.depths import deep_features
from graft.core.params.backbone_params import KerasBackboneParams
from graft.networks.backbones import build_backbone
from graft.networks.backbones.backbone import Backbone
from graft.networks.backbones.cutting import cut
from graft.networks.decode_images import DecodedImages
from graft.networks.features.feature_store import FeatureStore
from graft.networks.features.frozen_trunk import FrozenTrunk
from graft.training.unfreezing import first_trained_layer

SIZE = 32


@pytest.fixture(scope="module", params=["MobileNetV2", "ResNet50"])
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    params = KerasBackboneParams(source="keras", name=request.param, weights="none")
    return build_backbone(params, SIZE, tmp_path_factory.mktemp("cache"))


def test_each_depth_is_the_pooled_output_of_the_cut_that_its_layers_above_name(backbone: Backbone) -> None:
    deep = deep_features(backbone, 4)
    pixels = tinted_images(3, SIZE)[0].astype(np.float32)
    answers = deep.model.predict(pixels, verbose=0)
    assert len(deep.depths) == 4
    assert [depth.share for depth in deep.depths] == sorted(depth.share for depth in deep.depths)
    for depth in deep.depths[:-1]:
        pieces = cut(backbone, first_trained_layer(backbone.trunk, depth.above))
        assert pieces is not None
        assert pieces.layer == depth.layer
        maps = pieces.below.predict(pixels, verbose=0)
        np.testing.assert_allclose(answers[:, depth.columns], maps.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)


def test_the_last_depth_is_the_backbone_itself(backbone: Backbone) -> None:
    deep = deep_features(backbone, 3)
    pixels = tinted_images(2, SIZE)[0].astype(np.float32)
    top = deep.model.predict(pixels, verbose=0)[:, deep.depths[-1].columns]
    np.testing.assert_allclose(top, backbone.model.predict(pixels, verbose=0), rtol=1e-4, atol=1e-6)
    assert deep.depths[-1].above == 0
    assert deep.depths[-1].share == 1


# Millions, as their papers have them; ResNet50's ("3.8 billion") to the digits that Keras' strides give.
@pytest.mark.parametrize(
    ("name", "millions", "top"),
    [("MobileNetV2", 300, 7 * 7 * 1280), ("MobileNet", 569, 7 * 7 * 1024), ("ResNet50", 3858, 7 * 7 * 2048)],
)
def test_multiply_adds_are_those_that_the_papers_count(
    name: str, millions: int, top: int, tmp_path: Path
) -> None:
    params = KerasBackboneParams(source="keras", name=name, weights="none")
    depths = deep_features(build_backbone(params, 224, tmp_path), 4).depths
    assert depths[-1].multiply_adds / 1e6 == pytest.approx(millions, rel=0.02)
    assert [depth.multiply_adds for depth in depths] == sorted(depth.multiply_adds for depth in depths)
    assert depths[-1].bytes == 4 * top


def test_computed_once_and_mirrored_apart(backbone: Backbone, tmp_path: Path) -> None:
    deep, store = deep_features(backbone, 2), FeatureStore(tmp_path, 10**9)
    images = DecodedImages(tinted_images(4, SIZE)[0])
    first = deep.of(images, "x", store)
    mirrored = deep.of(images, "x", store, (2,))
    assert not np.allclose(first, mirrored)
    images.at = None  # type: ignore[method-assign, assignment]  # nothing may be decoded any more
    np.testing.assert_array_equal(deep.of(images, "x", store), first)
    np.testing.assert_array_equal(deep.of(images, "x", store, (2,)), mirrored)


def test_the_top_that_was_measured_is_what_a_head_is_trained_on(backbone: Backbone, tmp_path: Path) -> None:
    deep, store = deep_features(backbone, 2), FeatureStore(tmp_path, 10**9)
    images = DecodedImages(tinted_images(4, SIZE)[0])
    expected = FrozenTrunk.of(backbone).features(images, "x", (2,))
    for mirrored in ((), (2,)):
        deep.of(images, "x", store, mirrored)
    images.at = None  # type: ignore[method-assign, assignment]  # nothing may be decoded any more
    trunk = FrozenTrunk.of(backbone, store)
    kept = trunk.features(images, "x", (2,))
    np.testing.assert_allclose(kept, expected, rtol=1e-4, atol=1e-6)
    assert not np.array_equal(trunk.features(images, "x"), kept)
