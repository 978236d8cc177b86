"""Choose what the arithmetic runs on, and in which precision."""

import functools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import metadata
from typing import Any

import keras
import numpy as np

from graft.core.params.strategy_params import Precision
from graft.networks.backbones.backbone import LayerlessNetwork


def gpu_count() -> int:
    """Return how many GPUs TensorFlow sees."""
    import tensorflow as tf

    return len(tf.config.list_logical_devices("GPU"))


def whole_float32() -> None:
    """Make GPUs multiply float32 as float32, for as long as the process lives.

    Left to itself, TensorFlow has them round it to ten bits first where they can (TensorFloat-32, from NVIDIA's Ampere
    on). MobileNetV2's features of photographs were off by 1.5 % of the largest then, on an H200: as much as in half
    precision, which is there for whoever wants the speed.
    """
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)


def all_devices(names: Sequence[str] | None = None) -> AbstractContextManager[Any]:
    """Return a context in which models are built on every GPU, each of which is given its share of every batch.

    With one device it changes nothing. Steps are those that one device would take, except that random layers draw, and
    batch norm in training looks, at the share of each device.

    Args:
        names: other devices than all GPUs, for example ``["CPU:0", "CPU:1"]``.
    """
    if names is None and gpu_count() < 2:
        return nullcontext()
    scope: AbstractContextManager[Any] = _mirrored(tuple(names) if names else None).scope()
    return scope


@functools.cache
def _mirrored(names: tuple[str, ...] | None) -> Any:
    """Return TensorFlow's strategy; a second one in a process would take its messages for those of the first."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(names)


def device_count(model: keras.Model) -> int:
    """Return how many devices share each batch of the model. A batch must give each of them as many images."""
    strategy = getattr(model, "distribute_strategy", None)
    return int(strategy.num_replicas_in_sync) if strategy is not None else 1


@contextmanager
def arithmetic(precision: Precision, deterministic: bool = False) -> Iterator[str]:
    """Build models in this block for a precision; yield the precision that ``auto`` stands for.

    Mixed precision keeps weights in float32 and multiplies in half, which the matrix units of GPUs are made for
    (https://arxiv.org/abs/1710.03740). What is float32 is :func:`whole_float32`.

    Args:
        deterministic: stays in force for the process: TensorFlow cannot be told to go back.
    """
    chosen = precision if precision != "auto" else ("mixed_float16" if gpu_count() else "float32")
    if deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    whole_float32()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(chosen)
    try:
        yield chosen
    finally:
        keras.config.set_dtype_policy(before)


def machine_record(precision: str) -> dict[str, str]:
    """Return what the machine had a say in, for the record of a training: JSON-ready, in words.

    Settings and data decide what is trained. What they leave to the machine is which arithmetic ``precision: auto``
    comes to, how many devices share a batch (each draws its own random changes), and what runs frozen networks, whose
    features agree to 1e-4 of the largest.
    """
    from graft.networks.engines.fastest import suits_openvino

    gpus = gpu_count()
    engine = "openvino" if suits_openvino() else "keras"
    return {
        "precision": precision,
        "devices": f"{gpus} GPU" if gpus else "CPU",
        "backend": keras.config.backend(),
        "frozen_networks": f"{engine} {metadata.version(engine)}",
    }


def in_float32(model: keras.Model) -> keras.Model:
    """Copy a model trained in mixed precision to one that computes in float32: half precision is slow on CPUs.

    Backbones without layers, which are float32 always, are shared with the original.
    """

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, LayerlessNetwork):
            return layer
        if isinstance(layer, keras.Sequential):
            return keras.Sequential([copy(part) for part in layer.layers], name=layer.name)
        if isinstance(layer, keras.Model):
            return in_float32(layer)
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    # Bare: Keras would copy what a model was compiled with as well, and cannot read an optimizer of graft's back.
    bare = keras.Model(model.input, model.output, name=model.name)
    clone = keras.models.clone_model(bare, clone_function=copy)
    clone.set_weights(model.get_weights())
    return clone


def with_copies(batch: np.ndarray, count: int) -> np.ndarray:
    """Return the batch ``[N, ...]`` with ``count`` more of what is in it."""
    return np.concatenate([batch, batch[np.arange(count) % len(batch)]]) if count else batch


def with_zeros(batch: np.ndarray, count: int) -> np.ndarray:
    """Return the batch ``[N, ...]`` with ``count`` rows of zeros behind it."""
    return np.concatenate([batch, np.zeros_like(batch, shape=(count, *batch.shape[1:]))]) if count else batch
