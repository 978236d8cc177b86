"""What a frozen network is run with: OpenVINO on a CPU, where it is several times as fast as TensorFlow, else Keras."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np

from graft.errors import first_line
from graft.openvino_run import Run, compiled_run, import_openvino
from graft.progress import console

# Images per forward pass: past this, speed on a CPU no longer grows and memory does.
KERAS_BATCH = 32
# Fewer inputs than this are through Keras before OpenVINO has taken the network over, which takes seconds.
WORTH_CONVERTING = 200


def keras_engine(model: keras.Model) -> Run:
    """Runs the network with Keras, on whatever devices its backend sees."""
    from graft.training.batches import with_copies
    from graft.training.devices import device_count

    devices = device_count(model)

    def run(inputs: np.ndarray) -> np.ndarray:
        filled = with_copies(inputs, -len(inputs) % devices)
        outputs = model.predict(filled, batch_size=KERAS_BATCH * devices, verbose=0)
        return np.asarray(outputs[: len(inputs)], np.float32)

    return run


def openvino_engine(model: keras.Model) -> Run:
    """Runs a copy of the network, in float32, with OpenVINO on the CPU; later changes to ``model`` do not reach it.

    Raises:
        Exception: OpenVINO cannot take the network over; of whatever kind its converter raises.
    """
    core = import_openvino().Core()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras' exporter, about what does not concern the user
        path = Path(folder) / "network.xml"
        model.export(str(path), format="openvino", verbose=False)
        return compiled_run(core, core.read_model(path))


def fastest_engine(model: keras.Model, count: int) -> Run:
    """The engine for ``count`` inputs here; where OpenVINO cannot take the network over, a word about it and Keras.

    Answers of both agree to 1e-4 of the largest output, which the contract test checks for the backbones.
    """
    from graft.training.devices import gpu_count

    is_float32 = keras.config.dtype_policy().name == "float32"
    if count < WORTH_CONVERTING or gpu_count() or not is_float32:
        return keras_engine(model)
    try:
        return openvino_engine(model)
    except Exception as error:
        # The converter raises all kinds, for example where a network holds an operation that it does not know.
        console.print(
            f"OpenVINO does not take {model.name} over ({first_line(error)}): running it with Keras",
            soft_wrap=True,
        )
        return keras_engine(model)
