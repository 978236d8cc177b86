"""Running a network with OpenVINO on the CPU: in float32, several small requests under way at a time."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

# Inputs ``[n, ...]`` to outputs float32 ``[n, ...]``, in inference mode.
Run = Callable[[np.ndarray], np.ndarray]

# With several requests under way at a time, small ones keep all cores busy to the end.
BATCH = 8


def import_openvino() -> Any:
    """The package, with nothing to report with: it would tell its makers of each import and conversion."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def compiled_run(core: Any, network: Any) -> Run:
    """Compiles a network of one input and one output for throughput, and returns what runs it.

    Args:
        core: an ``openvino.Core``.
        network: an ``openvino.Model`` whose first axis, the batch's, is free.
    """
    # bf16, the default where the CPU has it, is off by percents.
    precise = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
    compiled = core.compile_model(network, "CPU", precise)
    kind = np.dtype(compiled.input(0).element_type.to_dtype())

    # In turns, and without the callbacks of OpenVINO's own queue: a thread that still waits for Python in one while
    # the network is given up would never be done.
    requests = [
        compiled.create_infer_request()
        for _ in range(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
    ]

    def run(inputs: np.ndarray) -> np.ndarray:
        answers: list[np.ndarray] = []
        under_way: deque[Any] = deque()

        def collect() -> None:
            request = under_way.popleft()
            request.wait()
            # Copied: the request writes its next answer into the same memory.
            answers.append(np.array(request.get_output_tensor(0).data, np.float32))

        # An empty input is one empty batch, whose answer has the right shape.
        for number, start in enumerate(range(0, max(1, len(inputs)), BATCH)):
            if len(under_way) == len(requests):
                collect()
            request = requests[number % len(requests)]
            request.start_async({0: np.ascontiguousarray(inputs[start : start + BATCH], kind)})
            under_way.append(request)
        while under_way:
            collect()
        return answers[0] if len(answers) == 1 else np.concatenate(answers)

    return run
