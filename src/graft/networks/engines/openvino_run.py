"""Run a network with OpenVINO on the CPU: in float32, several small requests under way at a time."""

import math
import sys
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from graft.bundle.model import PROBABILITIES
from graft.core.quotas import fewer_cores

# Inputs ``[n, ...]`` to outputs float32 ``[n, ...]``, in inference mode.
Run = Callable[[np.ndarray], np.ndarray]

# Numbers that go into one request: few enough for what a network makes of them to stay in a core's cache. MobileNetV2
# is a quarter quicker with 2 images of 224 pixels than with 8; at 96 pixels 8 are best.
REQUEST_NUMBERS = 2 * 224 * 224 * 3
MOST_INPUTS = 16
# Answers are collected in order: a core whose request is done goes on with the next one while another, which decoding
# may have held up, is waited for. A tenth more images in a second than with one.
REQUESTS_A_STREAM = 2
# From so many inputs on, the network is compiled once more, for requests of exactly one size: MobileNetV2 gains 4 % by
# it and EfficientNetB0 a third, for a tenth of a second.
MANY = 64
# Fewer inputs than this are through Keras before OpenVINO has taken the network over, which takes seconds.
WORTH_CONVERTING = 200
NETWORK = "network.xml"  # file of a cached network


def import_openvino() -> Any:
    """Import the package with nothing to report with: it would tell its makers of each import and conversion."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def compiled_run(
    core: Any, network: Any, count: int | None = None, kind: DTypeLike = np.float32, outputs: Sequence[int] = (0,)
) -> Run:
    """Compile a network of one input for throughput, and return what runs it.

    Args:
        core: an ``openvino.Core``.
        network: an ``openvino.Model`` of float32, whose first axis, the batch's, is free.
        count: inputs that are to come, where that is known: what these need is compiled now, other things once they
            are needed.
        kind: of these inputs. Bytes are made floats of in the network: a quarter to copy, and 2 to 5 % more images in
            a second.
        outputs: which ones are wanted, by their place; several ``[n, D]`` are joined along their second axis.
    """
    size = _inputs_of_a_request(network)
    # Also this now, so that what cannot be run so raises before anything is run.
    fixed = network.clone()
    fixed.reshape([size, *list(network.input(0).partial_shape)[1:]])

    @cache
    def requests_for(is_fixed: bool, takes_bytes: bool) -> list[Any]:
        """Return the requests that run some of the inputs."""
        chosen = fixed if is_fixed else network
        settings = cpu_settings("THROUGHPUT")
        compiled = core.compile_model(_taking_bytes(chosen) if takes_bytes else chosen, "CPU", settings)
        # In turns, and without the callbacks of OpenVINO's own queue: a thread that still waits for Python in one
        # while the network is given up would never be done.
        count = REQUESTS_A_STREAM * compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        return [compiled.create_infer_request() for _ in range(count)]

    requests_for(count is not None and count >= MANY, np.dtype(kind) == np.uint8)

    def run(inputs: np.ndarray) -> np.ndarray:
        is_fixed, takes_bytes = len(inputs) >= MANY, inputs.dtype == np.uint8
        requests = requests_for(is_fixed, takes_bytes)
        collected: list[np.ndarray] = []
        under_way: deque[Any] = deque()

        def collect() -> None:
            request = under_way.popleft()
            request.wait()
            # Copied: the request writes its next answer into the same memory.
            found = [np.array(request.get_output_tensor(place).data, np.float32) for place in outputs]
            collected.append(found[0] if len(found) == 1 else np.concatenate(found, axis=1))

        # An empty input is one empty batch, whose answer has the right shape.
        for number, start in enumerate(range(0, max(1, len(inputs)), size)):
            if len(under_way) == len(requests):
                collect()
            part = np.ascontiguousarray(inputs[start : start + size], np.uint8 if takes_bytes else np.float32)
            if is_fixed and len(part) < size:
                nothing = np.zeros((size - len(part), *part.shape[1:]), part.dtype)
                part = np.concatenate([part, nothing])
            request = requests[number % len(requests)]
            request.start_async({0: part})
            under_way.append(request)
        while under_way:
            collect()
        found = collected[0] if len(collected) == 1 else np.concatenate(collected)
        return found[: len(inputs)]

    return run


def converted_run(folder: Path, kind: DTypeLike) -> Run:
    """Return a function that runs the network that is cached in a folder in OpenVINO's form; needs no Keras.

    Raises:
        Exception: there is none, or OpenVINO cannot run it.
    """
    core = import_openvino().Core()
    return compiled_run(core, core.read_model(folder / NETWORK), MANY, kind)


def cpu_settings(hint: str) -> dict[str, Any]:
    """Return OpenVINO's settings for a network on the CPU: float32, and no more threads than a container may use.

    Args:
        hint: ``"THROUGHPUT"`` or ``"LATENCY"``.
    """
    # bf16, the default where the CPU has it, is off by percents.
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": hint}
    if threads := fewer_cores():
        settings["INFERENCE_NUM_THREADS"] = threads
    return settings


def _taking_bytes(network: Any) -> Any:
    """Return the network with bytes for its input, which it makes floats of, exactly."""
    from openvino.preprocess import PrePostProcessor

    before = PrePostProcessor(network.clone())
    before.input().tensor().set_element_type(import_openvino().Type.u8)
    return before.build()


def _inputs_of_a_request(network: Any) -> int:
    """Return how many inputs a request takes: a power of two, into which chunks and batches divide evenly."""
    shape = list(network.input(0).partial_shape)[1:]
    numbers = math.prod(side.get_length() if side.is_static else 1 for side in shape)
    fitting = max(1, min(MOST_INPUTS, REQUEST_NUMBERS // numbers))
    return 1 << (fitting.bit_length() - 1)


def saved_model_run(folder: Path, kind: DTypeLike = np.float32, also: str = "") -> Run:
    """Return a function that runs the default signature of a SavedModel, of one input, to its probabilities.

    ``kind`` is of the inputs that are to come, as :func:`compiled_run` takes it; the output ``also``, where it is
    named, is joined behind the probabilities.

    Raises:
        Exception: OpenVINO cannot take the network over; of whatever kind its reader raises.
    """
    core = import_openvino().Core()
    network = core.read_model(folder)
    places = {name: place for place, output in enumerate(network.outputs) for name in output.get_names()}
    # An output of another name is the only one: of an earlier graft, or of a network of TensorFlow Hub.
    wanted = [places.get(PROBABILITIES, 0), *([places[also]] if also else [])]
    return compiled_run(core, network, kind=kind, outputs=wanted)
