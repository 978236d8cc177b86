"""What a frozen network is run with: OpenVINO on a CPU, where it is several times as fast as TensorFlow, else Keras."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graft.errors import first_line
from graft.features.converted import is_kept, openvino_network
from graft.progress import console

# Inputs ``[n, ...]`` to outputs float32 ``[n, ...]``, in inference mode.
Run = Callable[[np.ndarray], np.ndarray]

# Images per forward pass: past this, speed on a CPU no longer grows and memory does.
KERAS_BATCH = 32
# With several requests under way at a time, small ones keep all cores busy to the end.
OPENVINO_BATCH = 8
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


def openvino_engine(model: keras.Model, kept: Path | None = None) -> Run:
    """Runs a copy of the network, in float32, with OpenVINO on the CPU; later changes to ``model`` do not reach it.

    Args:
        model: one input, one output.
        kept: see :func:`graft.features.converted.openvino_network`.

    Raises:
        Exception: OpenVINO cannot take the network over; of whatever kind its converter raises.
    """
    core = _import_openvino().Core()
    return _compiled(core, openvino_network(core, model, kept))


def saved_model_engine(folder: Path) -> Run:
    """Runs the default signature of a SavedModel, of one input and one output, likewise.

    Raises:
        Exception: OpenVINO cannot take the network over.
    """
    core = _import_openvino().Core()
    return _compiled(core, core.read_model(folder))


def _compiled(core: Any, network: Any) -> Run:
    # bf16, the default where the CPU has it, is off by percents.
    precise = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
    compiled = core.compile_model(network, "CPU", precise)
    kind = np.dtype(compiled.input(0).element_type.to_dtype())
    shape = tuple(side.get_length() for side in list(compiled.output(0).partial_shape)[1:])

    # In turns, and without the callbacks of OpenVINO's own queue: a thread that still waits for Python in one while
    # the network is given up would never be done.
    requests = [
        compiled.create_infer_request()
        for _ in range(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
    ]

    def run(inputs: np.ndarray) -> np.ndarray:
        outputs = np.empty((len(inputs), *shape), np.float32)
        under_way: deque[tuple[Any, int]] = deque()

        def collect() -> None:
            request, start = under_way.popleft()
            request.wait()
            answer = request.get_output_tensor(0).data
            outputs[start : start + len(answer)] = answer

        for number, start in enumerate(range(0, len(inputs), OPENVINO_BATCH)):
            if len(under_way) == len(requests):
                collect()
            request = requests[number % len(requests)]
            request.start_async({0: np.ascontiguousarray(inputs[start : start + OPENVINO_BATCH], kind)})
            under_way.append((request, start))
        while under_way:
            collect()
        return outputs

    return run


def fastest_engine(model: keras.Model, count: int, kept: Path | None = None) -> Run:
    """The engine for ``count`` inputs here; where OpenVINO cannot take the network over, a word about it and Keras.

    ``kept`` is where the network is, or will be, in OpenVINO's form: see :mod:`graft.features.converted`.

    Answers of both agree to 1e-4 of the largest output, which the contract test checks for the backbones.
    """
    from graft.training.devices import gpu_count

    is_float32 = keras.config.dtype_policy().name == "float32"
    is_worth_it = count >= WORTH_CONVERTING or is_kept(kept)
    if not is_worth_it or gpu_count() or not is_float32:
        return keras_engine(model)
    try:
        return openvino_engine(model, kept)
    except Exception as error:
        # The converter raises all kinds, for example where a network holds an operation that it does not know.
        console.print(
            f"OpenVINO does not take {model.name} over ({first_line(error)}): running it with Keras",
            soft_wrap=True,
        )
        return keras_engine(model)


def _import_openvino() -> Any:
    # It reports each import and conversion to its makers; without this package it has nothing to report with.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
