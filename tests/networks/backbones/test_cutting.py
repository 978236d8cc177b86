"""A backbone cut in two answers as the whole, and training what is above trains the backbone."""

from pathlib import Path

import keras
import numpy as np
import pytest
from tiny import tinted_images

from graft.core.params.backbone_params import KerasBackboneParams
from graft.networks.backbones import build_backbone
from graft.networks.backbones.backbone import Backbone
from graft.networks.backbones.cutting import cut
from graft.training.unfreezing import first_trained_layer

# Plain chains, sums, concatenations, inverted bottlenecks, gates made of operations that are no layers, and nested
# models. NASNet and the large ones are built alike and take long.
NAMES = [
    "VGG16",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "ResNet50",
    "DenseNet121",
    "EfficientNetB0",
    "ConvNeXtTiny",
]
SLOW = {"DenseNet121", "EfficientNetB0", "ConvNeXtTiny", "ResNet50"}


def backbone(name: str, folder: Path, pooling: str = "average") -> Backbone:
    params = KerasBackboneParams(source="keras", name=name, weights="none")
    return build_backbone(params, 32, folder, pooling)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in NAMES])
def test_below_and_above_are_the_whole(name: str, tmp_path: Path) -> None:
    whole = backbone(name, tmp_path)
    images = tinted_images(3, 32)[0].astype(np.float32)
    expected = keras.ops.convert_to_numpy(whole.model(images))
    for share in (0.1, 0.5):
        first = first_trained_layer(whole.network, share)
        pieces = cut(whole, first)
        assert pieces is not None
        names = [layer.name for layer in whole.network.layers]
        assert names.index(pieces.layer) < first if pieces.layer in names else True
        found = keras.ops.convert_to_numpy(pieces.above(pieces.below(images)))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
        trained = {id(weight) for layer in whole.network.layers[first:] for weight in layer.weights}
        assert trained <= {id(weight) for weight in pieces.above.weights}
        assert not trained & {id(weight) for weight in pieces.below.weights}


def test_the_cut_goes_below_a_block_that_a_skip_connection_passes(tmp_path: Path) -> None:
    whole = backbone("MobileNetV2", tmp_path)
    names = [layer.name for layer in whole.network.layers]
    # block_14 has one, so that inside it two tensors go on; block_13, which halves the map, has none.
    cuts = {name: cut(whole, names.index(name)) for name in ("block_14_project", "block_13_project")}
    assert {name: pieces.layer if pieces else None for name, pieces in cuts.items()} == {
        "block_14_project": "block_13_project_BN",
        "block_13_project": "block_13_depthwise_relu",
    }


def test_pooling_is_above_the_cut(tmp_path: Path) -> None:
    whole = backbone("MobileNet", tmp_path, "flatten")
    pieces = cut(whole, first_trained_layer(whole.network, 3))
    assert pieces is not None
    assert pieces.above.output_shape == whole.model.output_shape == (None, 1024)
    assert len(pieces.below.output_shape) == 4


def test_nothing_is_below_the_first_layer(tmp_path: Path) -> None:
    whole = backbone("MobileNet", tmp_path)
    assert cut(whole, 0) is None
    assert cut(whole, 1) is None
