"""Tiny presets of Keras Hub with random weights, as ``save_to_preset`` writes them.

Without Keras Hub, which is an extra, what needs one is skipped.
"""

from pathlib import Path
from typing import Any

import keras
import pytest

SIZE = 32
IMAGENET = {"scale": [0.017124754, 0.017507003, 0.017429194], "offset": [-2.1179039, -2.0357141, -1.8044444]}

# Of each network its arguments, and its image converter's.
PRESETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ResNetBackbone": (
        {
            "input_conv_filters": [64],
            "input_conv_kernel_sizes": [3],
            "stackwise_num_filters": [64, 64],
            "stackwise_num_blocks": [1, 1],
            "stackwise_num_strides": [1, 2],
            "block_type": "basic_block",
            "use_pre_activation": True,
        },
        IMAGENET,
    ),
    # Batch norm is in its blocks, and a block is a layer.
    "MobileNetBackbone": (
        {
            "stackwise_expansion": [[8, 16], [16, 16]],
            "stackwise_num_blocks": [2, 2],
            "stackwise_num_filters": [[8, 8], [16, 16]],
            "stackwise_kernel_size": [[3, 3], [5, 5]],
            "stackwise_num_strides": [[2, 1], [2, 1]],
            "stackwise_se_ratio": [[None, None], [0.25, 0.25]],
            "stackwise_activation": [["relu6", "relu6"], ["hard_swish", "hard_swish"]],
            "stackwise_padding": [[1, 1], [2, 2]],
            "output_num_filters": 32,
            "input_activation": "hard_swish",
            "output_activation": "hard_swish",
            "input_num_filters": 8,
            "depthwise_filters": 8,
            "depthwise_stride": 1,
            "depthwise_residual": False,
            "squeeze_and_excite": None,
            "last_layer_filter": 32,
        },
        IMAGENET,
    ),
    "ViTBackbone": (
        {
            "image_shape": (SIZE, SIZE, 3),
            "patch_size": 8,
            "num_layers": 2,
            "num_heads": 2,
            "hidden_dim": 16,
            "mlp_dim": 32,
        },
        {"scale": 1 / 127.5, "offset": -1.0},
    ),
    # Its input has a name, and its encoder answers with more than one tensor.
    "DINOV2Backbone": (
        {
            "image_shape": (SIZE, SIZE, 3),
            "patch_size": 8,
            "num_layers": 2,
            "num_heads": 2,
            "hidden_dim": 16,
            "intermediate_dim": 32,
        },
        {"scale": [1 / 255] * 3},
    ),
}


def write_preset(name: str, folder: Path, with_converter: bool = True) -> Path:
    """The folder of a preset below ``folder``, written where it is not there yet; skips without Keras Hub."""
    path = folder / (name if with_converter else f"{name} alone")
    keras_hub = pytest.importorskip("keras_hub", reason="needs the extra keras_hub: pip install 'graft[keras_hub]'")
    if path.exists():
        return path
    network, converter = PRESETS[name]
    keras.utils.set_random_seed(3)
    backbone = getattr(keras_hub.models, name)(**network)
    for layer in backbone._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # its statistics are those of a few images, so that features are of a sane size
    images = keras.random.normal((8, SIZE, SIZE, 3), seed=4)
    backbone({"images": images} if isinstance(backbone.input, dict) else images, training=True)
    backbone.save_to_preset(str(path))
    if with_converter:
        kind = getattr(keras_hub.layers, name.replace("Backbone", "ImageConverter"))
        kind(image_size=(SIZE, SIZE), **converter).save_to_preset(str(path))
    return path
