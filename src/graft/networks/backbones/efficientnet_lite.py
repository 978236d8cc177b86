"""EfficientNet-Lite 0 to 2: EfficientNet without squeeze-and-excitation and with ReLU6, for small devices.

Keras has no such networks. They are built here as its own applications are, from the settings in
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite: the stem, the head and the number of
blocks in the first and the last stage are those of EfficientNet-B0 in every size. As a backbone for transfer they cost
what MobileNetV2 costs (Lite0: 0.40 GMACs at 224 pixels) with 74.8 instead of 71.3 % on ImageNet.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

# Channels are multiplied by the width, blocks of a stage by the depth: the paper's coefficients
# (https://arxiv.org/abs/1905.11946, section 4), and pixels a side that the weights were trained with.
_SIZES = {
    "EfficientNetLite0": (1.0, 1.0, 224),
    "EfficientNetLite1": (1.0, 1.1, 240),
    "EfficientNetLite2": (1.1, 1.2, 260),
}
# Of each stage: blocks, kernel, stride, expansion, channels. EfficientNet-B0's.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM_CHANNELS, _HEAD_CHANNELS, _CLASSES = 32, 1280, 1000
_EPSILON = 1e-3  # of batch norm, as the weights were trained

IMAGE_SIZES = {name: size for name, (_, _, size) in _SIZES.items()}


def preprocess_input(images: Any) -> Any:
    """Return RGB images of 0..255 scaled as the weights were trained with: (x - 127) / 128."""
    return (np.asarray(images, dtype="float32") - 127.0) / 128.0


def application(name: str) -> Callable[..., keras.Model]:
    """Return the function that builds a network of this family, with the arguments of ``keras.applications``."""

    def build(
        include_top: bool = True, weights: None = None, input_shape: tuple[int, int, int] | None = None
    ) -> keras.Model:
        """Return the network with random weights; float32 ``[N, S, S, 3]`` to a map, or to 1000 probabilities.

        Args:
            weights: None; pretrained weights are loaded by :mod:`graft.networks.backbones.weights`.
            input_shape: by default that of the images that the weights were trained with.
        """
        size = IMAGE_SIZES[name]
        return _network(name, input_shape or (size, size, 3), include_top)

    return build


def names() -> list[str]:
    """Return the names of the networks, smallest first."""
    return list(_SIZES)


def tensor_place(torch_name: str) -> tuple[str, str] | None:
    """Return layer and tensor that a tensor of the published PyTorch files belongs to; None for counters of batches.

    Args:
        torch_name: such as ``_blocks.3._bn1.running_mean``.
    """
    parts = re.fullmatch(r"(?:_blocks\.(\d+)\.)?_(\w+?)\.(weight|bias|running_mean|running_var)", torch_name)
    if parts is None:
        return None
    block, layer, tensor = parts.groups()
    batch_norm = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    where = "network" if block is None else "block"
    return (
        {
            "network": {
                "conv_stem": "stem_conv",
                "bn0": "stem_bn",
                "conv_head": "head_conv",
                "bn1": "head_bn",
                "fc": "predictions",
            },
            "block": {
                "expand_conv": f"block{block}_expand_conv",
                "bn0": f"block{block}_expand_bn",
                "depthwise_conv": f"block{block}_depthwise_conv",
                "bn1": f"block{block}_depthwise_bn",
                "project_conv": f"block{block}_project_conv",
                "bn2": f"block{block}_project_bn",
            },
        }[where][layer],
        batch_norm[tensor] if layer.startswith("bn") else {"weight": "kernel", "bias": "bias"}[tensor],
    )


def as_keras(layer: str, values: np.ndarray) -> np.ndarray:
    """Return a tensor of a PyTorch layer in the order of axes that Keras has: HWIO kernels, inputs before outputs."""
    if values.ndim == 4:
        return values.transpose((2, 3, 0, 1) if "depthwise" in layer else (2, 3, 1, 0))
    return values.T if values.ndim == 2 else values


def _network(name: str, input_shape: tuple[int, int, int], include_top: bool) -> keras.Model:
    width, depth, _ = _SIZES[name]
    inputs = keras.Input(input_shape)
    x = _conv(inputs, _STEM_CHANNELS, 3, 2, "stem")
    block = 0
    for stage, (blocks, kernel, stride, expansion, channels) in enumerate(_STAGES):
        is_outer = stage in (0, len(_STAGES) - 1)
        for repeat in range(blocks if is_outer else math.ceil(depth * blocks)):
            x = _block(x, _rounded(width * channels), kernel, 1 if repeat else stride, expansion, f"block{block}")
            block += 1
    x = _conv(x, _HEAD_CHANNELS, 1, 1, "head")
    if include_top:
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
        x = keras.layers.Dense(_CLASSES, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name=name.lower())


def _rounded(channels: float) -> int:
    """Return a number of channels as a multiple of 8, never less than nine tenths of it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def _block(x: Any, channels: int, kernel: int, stride: int, expansion: int, name: str) -> Any:
    """Return an inverted residual block: expanded by 1x1, filtered channel by channel, projected by 1x1."""
    before = x
    if expansion != 1:
        x = _conv(x, expansion * x.shape[-1], 1, 1, f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv")(x)
    x = keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_depthwise_bn")(x)
    x = keras.layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = keras.layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_project_bn")(x)
    return keras.layers.Add(name=f"{name}_add")([x, before]) if x.shape == before.shape else x


def _conv(x: Any, channels: int, kernel: int, stride: int, name: str) -> Any:
    x = keras.layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)
