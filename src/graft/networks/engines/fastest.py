"""Choose what runs a frozen network: OpenVINO on a CPU, where it is several times as fast as TensorFlow, else Keras."""

from pathlib import Path

import keras
import numpy as np
from numpy.typing import DTypeLike

from graft.core.errors import first_line
from graft.core.progress import console
from graft.networks.engines.artifact_cache import is_cached
from graft.networks.engines.conversion import cached_network, openvino_network
from graft.networks.engines.openvino_run import WORTH_CONVERTING, Run, compiled_run, import_openvino

# Images per forward pass: past this, speed on a CPU no longer grows and memory does.
KERAS_BATCH = 32


def keras_engine(model: keras.Model) -> Run:
    """Return a function that runs the network with Keras, on whatever devices its backend sees."""
    from graft.networks.engines.devices import device_count, with_copies

    devices = device_count(model)

    def run(inputs: np.ndarray) -> np.ndarray:
        filled = with_copies(inputs, -len(inputs) % devices)
        outputs = model.predict(filled, batch_size=KERAS_BATCH * devices, verbose=0)
        return np.asarray(outputs[: len(inputs)], np.float32)

    return run


def openvino_engine(
    model: keras.Model, cached: Path | None = None, count: int | None = None, kind: DTypeLike = np.float32
) -> Run:
    """Return a function that runs a copy of the network, in float32, with OpenVINO on the CPU.

    Later changes to ``model`` do not reach the copy.

    Args:
        cached: see :func:`graft.networks.engines.conversion.openvino_network`.
        count, kind: of inputs, see :func:`graft.networks.engines.openvino_run.compiled_run`.

    Raises:
        Exception: OpenVINO cannot take the network over; of whatever kind its converter raises.
    """
    core = import_openvino().Core()
    return compiled_run(core, openvino_network(core, model, cached), count, kind)


def cached_engine(cached: Path, count: int, kind: DTypeLike) -> Run | None:
    """Return a function that runs the network cached in OpenVINO's form on ``count`` inputs of a ``kind``, without
    Keras.

    None where nothing is cached, or Keras is what networks are run with here.
    """
    if not suits_openvino() or not is_cached(cached):
        return None
    core = import_openvino().Core()
    try:
        network = cached_network(core, cached)
        return None if network is None else compiled_run(core, network, count, kind)
    except Exception:
        # Gone since it was looked at, or none that runs here: fastest_engine has the last word, and says why.
        return None


def fastest_engine(model: keras.Model, count: int, cached: Path | None = None, kind: DTypeLike = np.float32) -> Run:
    """Return the engine for ``count`` inputs of a ``kind`` here.

    Where OpenVINO cannot take the network over, that is Keras, with a warning. ``cached`` is the folder in which the
    network is cached, or will be, in OpenVINO's form: see :mod:`graft.networks.engines.conversion`.

    Outputs of both agree to 1e-4 of the largest output, which the contract test checks for the backbones.
    """
    is_worth_it = count >= WORTH_CONVERTING or is_cached(cached)
    if not is_worth_it or not suits_openvino():
        return keras_engine(model)
    try:
        return openvino_engine(model, cached, count, kind)
    except Exception as error:
        # The converter raises all kinds, for example where a network holds an operation that it does not know.
        console.print(
            f"OpenVINO does not take {model.name} over ({first_line(error)}): running it with Keras", soft_wrap=True
        )
        return keras_engine(model)


def suits_openvino() -> bool:
    """Return whether there is no GPU to run on, and no half precision to run in."""
    from graft.networks.engines.devices import gpu_count

    return not gpu_count() and keras.config.dtype_policy().name == "float32"
