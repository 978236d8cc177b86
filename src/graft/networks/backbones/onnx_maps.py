"""Convolutions, pooling and normalisation of ONNX as TensorFlow's, of maps ``[N, C, H, W]``.

Convolutions and pooling turn them round and back: TensorFlow's CPU kernels know ``[N, H, W, C]`` alone.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from graft.networks.backbones.onnx_node import Node, shape_of


def _of_channels(x: Any, numbers: Any) -> Any:
    return tf.reshape(numbers, [-1, *[1] * (len(x.shape) - 2)])


def batch_normalization(node: Node, x: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> Any:
    """Return the map, normalised by the statistics that training left.

    Raises:
        ValueError: the operation would still move them.
    """
    if node.get("training_mode", 0):
        raise ValueError("it was exported while in training")
    factor = scale * tf.math.rsqrt(variance + node.get("epsilon", 1e-5))
    return x * _of_channels(x, factor) + _of_channels(x, bias - mean * factor)


def _normalized(x: Any, axes: list[int], epsilon: float) -> Any:
    centred = x - tf.reduce_mean(x, axes, keepdims=True)
    return centred * tf.math.rsqrt(tf.reduce_mean(tf.square(centred), axes, keepdims=True) + epsilon)


def layer_normalization(node: Node, x: Any, scale: Any, bias: Any = None) -> Any:
    """Return the input with mean 0 and deviation 1 over its axes from one on, scaled."""
    rank = len(x.shape)
    axes = list(range(node.get("axis", -1) % rank, rank))
    scaled = _normalized(x, axes, node.get("epsilon", 1e-5)) * scale
    return scaled if bias is None else scaled + bias


def instance_normalization(node: Node, x: Any, scale: Any, bias: Any) -> Any:
    """Return the map with mean 0 and deviation 1 over the pixels of each channel, scaled."""
    normal = _normalized(x, list(range(2, len(x.shape))), node.get("epsilon", 1e-5))
    return normal * _of_channels(x, scale) + _of_channels(x, bias)


def _channels_last(x: Any) -> Any:
    if len(x.shape) != 4:
        raise ValueError(f"a convolution or pooling of {len(x.shape)} axes")
    return tf.transpose(x, (0, 2, 3, 1))


def _channels_first(x: Any) -> Any:
    return tf.transpose(x, (0, 3, 1, 2))


def _around(node: Node, x: Any, window: Sequence[int]) -> list[list[int]]:
    """Return the pixels to add before and behind rows and columns of a map ``[N, C, H, W]``.

    With ceil_mode the last window may begin inside the map and end beyond it.
    """
    strides, pads = node.get("strides", [1, 1]), node.get("pads", [0, 0, 0, 0])
    automatic = node.text("auto_pad", "NOTSET")
    found = []
    for axis, (size, step, wide) in enumerate(zip(shape_of(x)[2:], strides, window, strict=True)):
        before, behind = pads[axis], pads[axis + 2]
        if automatic.startswith("SAME"):
            both = max(0, (math.ceil(size / step) - 1) * step + wide - size)
            less, more = both // 2, both - both // 2
            before, behind = (less, more) if automatic == "SAME_UPPER" else (more, less)
        elif automatic == "VALID":
            before = behind = 0
        elif node.get("ceil_mode", 0):
            last = math.ceil((size + before + behind - wide) / step) * step
            if last < size + before:  # else it would see nothing of the map
                behind = max(behind, last + wide - size - before)
        found.append([before, behind])
    return [[0, 0], *found, [0, 0]]


def conv(node: Node, x: Any, kernel: Any, bias: Any = None) -> Any:
    """Return the convolution of a map with a kernel ``[D, C / groups, H, W]``."""
    strides, dilations, groups = node.get("strides", [1, 1]), node.get("dilations", [1, 1]), node.get("group", 1)
    images = _channels_last(x)
    around = _around(node, x, [(size - 1) * gap + 1 for size, gap in zip(kernel.shape[2:], dilations, strict=True)])
    images = tf.pad(images, around) if np.any(around) else images
    if groups == images.shape[-1]:
        depthwise = tf.reshape(tf.transpose(kernel, (2, 3, 0, 1)), [*kernel.shape[2:], groups, -1])
        maps = tf.nn.depthwise_conv2d(images, depthwise, [1, *strides, 1], "VALID", dilations=dilations)
    else:
        parts = zip(tf.split(images, groups, -1), tf.split(kernel, groups, 0), strict=True)
        made = [
            tf.nn.conv2d(part, tf.transpose(one, (2, 3, 1, 0)), strides, "VALID", dilations=dilations)
            for part, one in parts
        ]
        maps = made[0] if groups == 1 else tf.concat(made, -1)
    return _channels_first(maps if bias is None else tf.nn.bias_add(maps, bias))


def max_pool(node: Node, x: Any) -> Any:
    """Return the largest number in each window; padding counts as none."""
    window, images = node.get("kernel_shape"), _channels_last(x)
    if set(node.get("dilations", [1])) != {1}:
        raise ValueError("MaxPool with dilations")
    around = _around(node, x, window)
    images = tf.pad(images, around, constant_values=images.dtype.min) if np.any(around) else images
    return _channels_first(tf.nn.max_pool2d(images, window, node.get("strides", [1, 1]), "VALID"))


def average_pool(node: Node, x: Any) -> Any:
    """Return the mean of each window."""
    window, strides, images = node.get("kernel_shape"), node.get("strides", [1, 1]), _channels_last(x)
    if set(node.get("dilations", [1])) != {1}:
        raise ValueError("AveragePool with dilations")
    around = _around(node, x, window)
    if not np.any(around):
        return _channels_first(tf.nn.avg_pool2d(images, window, strides, "VALID"))
    # What is beyond the map, and the padding too unless it is included, does not count.
    counted = np.ones((1, *images.shape[1:3], 1), np.float32)
    pads = node.get("pads", [0, 0, 0, 0])
    given = [[0, 0], [pads[0], pads[2]], [pads[1], pads[3]], [0, 0]]
    rest = around
    if node.get("count_include_pad", 0) and node.text("auto_pad", "NOTSET") == "NOTSET":
        counted = np.pad(counted, given, constant_values=1)
        rest = (np.array(around) - given).tolist()
    share = tf.nn.avg_pool2d(np.pad(counted, rest), window, strides, "VALID")
    return _channels_first(tf.nn.avg_pool2d(tf.pad(images, around), window, strides, "VALID") / share)


def over_all_pixels(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the operation that applies a function of TensorFlow's over the pixels of a map."""
    return lambda node, x: function(x, axis=list(range(2, len(x.shape))), keepdims=True)


def local_response_normalization(node: Node, x: Any) -> Any:
    """Return each number over the power of the squares of its neighbours in the channels."""
    size = node.get("size")
    maps = tf.nn.local_response_normalization(
        _channels_last(x),
        (size - 1) // 2,
        node.get("bias", 1.0),
        node.get("alpha", 1e-4) / size,
        node.get("beta", 0.75),
    )
    return _channels_first(maps)
