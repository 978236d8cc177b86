"""Train 1x1 convolutions as the matrix products that they are: on a CPU TensorFlow takes a third less time for these.

Most arithmetic of MobileNetV2 and its kin is in 1x1 convolutions, over maps of a few pixels. oneDNN's convolution is at
its slowest there, the gradient by the kernel most of all; its product of the same numbers is not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from graft.networks.engines.devices import gpu_count


@contextmanager
def pointwise_as_products(model: keras.Model) -> Iterator[int]:
    """Have a model's 1x1 convolutions computed as products for the block, and yield how many they are.

    Weights and results are the same, but for the order of sums. On a GPU nothing is changed: cuDNN knows by itself.
    What is traced within the block keeps the products.
    """
    layers = [] if gpu_count() else [layer for layer in model._flatten_layers() if _is_pointwise(layer)]
    for layer in layers:
        layer.convolution_op = _product
    try:
        yield len(layers)
    finally:
        for layer in layers:
            del layer.convolution_op


def _is_pointwise(layer: keras.Layer) -> bool:
    return (
        type(layer) is keras.layers.Conv2D
        and {*layer.kernel_size, *layer.strides, *layer.dilation_rate, layer.groups} == {1}
        and layer.data_format == "channels_last"
    )


def _product(maps: Any, kernel: Any) -> Any:
    """Return the 1x1 convolution of maps ``[N, H, W, C]`` with a kernel ``[1, 1, C, D]``."""
    ops = keras.ops
    *places, channels = ops.shape(maps)
    rows = ops.matmul(ops.reshape(maps, (-1, channels)), ops.reshape(kernel, kernel.shape[-2:]))
    return ops.reshape(rows, (*places, kernel.shape[-1]))
