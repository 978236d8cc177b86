"""Whether it pays to keep what the frozen part of a network makes of the images, or to compute it in every epoch.

A layer near the image has large activations that took little arithmetic: reading them back may take longer than making
them anew. What both ways cost is estimated from shapes, the number of images and what kind of machine this is. The
rates are round figures, since the answer is seldom close: for MobileNetV2 at 224 pixels, two views and six epochs,
keeping costs a third of computing at block_13, and over four times as much right behind the first convolution.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from dataclasses import dataclass

import keras

# Of a forward pass in TensorFlow, measured on two cores of a server (docs/performance.md).
FLOPS_OF_A_CORE = 35e9
# In float32, of a GPU such as people have; a larger one makes computing cheaper still.
FLOPS_OF_A_GPU = 5e12
# Bytes a second that an epoch reads in an order of its own: what fits into the system's cache, and what does not.
FROM_MEMORY, FROM_DISK = 2e9, 3e8
# Kept twice, as what training reads and in the store, with as much left over.
SHARE_OF_DISK = 1 / 3
SHARE_OF_MEMORY = 1 / 2


@dataclass(frozen=True)
class Machine:
    """What the estimate needs to know.

    Attributes:
        flops: floating-point operations a second.
        memory: bytes that are free, and may cache files.
        disk: bytes that are free.
    """

    flops: float
    memory: float
    disk: float


def this_machine() -> Machine:
    """As it is now."""
    import psutil

    from graft.training.devices import gpu_count

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpus = gpu_count()
    return Machine(
        flops=gpus * FLOPS_OF_A_GPU if gpus else cores * FLOPS_OF_A_CORE,
        memory=psutil.virtual_memory().available,
        disk=shutil.disk_usage(tempfile.gettempdir()).free,
    )


def why_not_kept(
    below: keras.Model, layer: str, train: int, val: int, views: int, epochs: int, machine: Machine
) -> str:
    """Why activations are better not kept, as a clause; ``""`` where they are better kept.

    Args:
        below: the frozen part, images to activations.
        layer: what it ends at, for people.
        train, val: images.
        views: of each training image that are kept.
        epochs: that read them.
        machine: see :func:`this_machine`.
    """
    row = 4 * math.prod(below.output_shape[1:])
    kept = row * (views * train + val)
    if kept > machine.disk * SHARE_OF_DISK:
        room = f"{machine.disk / 1e9:.0f} GB of disk are free"
        return f"activations at {layer} would take {kept / 1e9:.0f} GB, and {room}"
    rate = FROM_MEMORY if kept < machine.memory * SHARE_OF_MEMORY else FROM_DISK
    computing = 2 * multiplications(below) / machine.flops  # seconds an image
    anew = epochs * (train + val) * computing
    keeping = (views * train + val) * (computing + 2 * row / rate) + epochs * (train + val) * row / rate
    if keeping > anew:
        return (
            f"keeping activations at {layer} ({kept / 1e9:.1f} GB) would take about {_seconds(keeping)}, and "
            f"computing them in each of {epochs} epochs {_seconds(anew)}"
        )
    return ""


def multiplications(model: keras.Model) -> int:
    """Multiply-adds of a forward pass of one input, in convolutions and dense layers: what takes the time."""
    return sum(_of_layer(layer) for layer in model._flatten_layers() if not isinstance(layer, keras.Model))


def _of_layer(layer: keras.layers.Layer) -> int:
    kernels = [variable for variable in layer.weights if "kernel" in variable.path.rsplit("/", 1)[-1]]
    if not kernels:
        return 0
    # Of a layer that stands in several graphs, its first place: all have one shape here.
    shape = layer.output.shape[1:]
    places = math.prod(shape[:-1]) if len(shape) > 1 else 1
    return places * sum(math.prod(kernel.shape) for kernel in kernels)


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
