"""The backbones that tests train on: another one is another entry in SOURCES.

Keras' models start from random weights whose batch-norm statistics are those of a few images, so that features are
of a sane size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import keras
import numpy as np
from keras_hub_presets import write_preset
from onnx_files import write_map
from tiny import tinted_images, write_hub_module

from graft.core.params.backbone_params import (
    BackboneParams,
    HubBackboneParams,
    KerasBackboneParams,
    KerasHubBackboneParams,
    OnnxBackboneParams,
)
from graft.networks.backbones import build_backbone

SEED = 11
TINY_HUB_SIZE = 16


@dataclass(frozen=True)
class Source:
    """One backbone under contract.

    Attributes:
        name: a model of ``keras.applications``, a tiny preset, or where a Hub module or an ONNX file comes from.
        size: of the images, the smallest it takes where that is quick.
        middle: the layer to unfreeze from in part; None where there are no layers.
        slow: whether it takes more than a few seconds; then one strategy stands for all.
        kind: as params name the source.
    """

    name: str
    size: int
    middle: str | None = None
    slow: bool = False
    kind: Literal["keras", "hub", "onnx", "keras_hub"] = "keras"


SOURCES = (
    Source("tiny hub module", TINY_HUB_SIZE, kind="hub"),
    Source("../shared/hub", 224, slow=True, kind="hub"),
    Source("tiny onnx file", 16, kind="onnx"),
    Source("ResNetBackbone", 32, "stack1_block0_pre_activation_bn", kind="keras_hub"),
    Source("ViTBackbone", 32, "vit_encoder", kind="keras_hub"),
    Source("MobileNet", 32, "conv_dw_12"),
    Source("MobileNetV2", 32, "block_15_expand", slow=True),
    Source("EfficientNetLite0", 32, "block11_expand_conv", slow=True),
    Source("VGG16", 32, "block5_conv1", slow=True),  # BGR, and no batch norm
)


def prepare(source: Source, folder: Path, shared: Callable[[str], Path]) -> BackboneParams:
    """The params of a source, whose weights are written to a file in ``folder`` at first use."""
    if source.name == "../shared/hub":
        return HubBackboneParams(source="hub", name=str(shared("hub/mobilenet_v2_feature_vector")))
    if source.kind == "onnx":
        path = folder / "map.onnx"
        file = path if path.exists() else write_map(path, source.size)
        return OnnxBackboneParams(source="onnx", name=str(file), scaling="-1..1")
    if source.kind == "hub":
        path = folder / "hub"
        return HubBackboneParams(source="hub", name=str(path if path.exists() else write_hub_module(path)))
    if source.kind == "keras_hub":
        return KerasHubBackboneParams(source="keras_hub", name=str(write_preset(source.name, folder / "keras_hub")))
    path = folder / f"{source.name}.weights.h5"
    if not path.exists():
        keras.utils.set_random_seed(SEED)
        none = KerasBackboneParams(source="keras", name=source.name, weights="none")
        backbone = build_backbone(none, source.size, folder)
        for layer in backbone.network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.0
        images, _ = tinted_images(16, source.size)
        backbone.model(images.astype(np.float32), training=True)
        backbone.network.save_weights(path)
    return KerasBackboneParams(source="keras", name=source.name, weights=str(path))
