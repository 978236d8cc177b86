"""Run a registered model in a process of its own: ``python -m graft.registry.promotion.answer_process REQUEST``.

A model brings the code that decodes and predicts, as the package ``graft_model``. Two models in one process would
share whichever was imported first; and one process for each also makes their timings comparable.

The request is a JSON file with ``model`` (its folder), ``images`` (a list of path and SHA-256, may be empty), ``timed``
(such a list, of at least one photograph), ``batch`` (images at a time) and ``answers`` (the ``.npz`` file to write).
Standard output reports the progress in lines that start with ``LINE_PREFIX``.
"""

import hashlib
import json
import logging
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

LINE_PREFIX = "graft-answers "
# Photographs that are asked about before any is timed: the first call sets up what later ones use.
WARM_UP = 3


def run_request(request: dict[str, Any]) -> None:
    """Write probabilities float64 ``[N, C]``, classes and answers as JSON, and the median milliseconds of a photograph.

    An answer is a class, or ``unknown``.
    """
    for name in ("mlflow.pyfunc", "mlflow.models.model", "mlflow.utils.requirements_utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(request["model"])
    images: list[tuple[str, str]] = request["images"]
    singles = [_read(Path(path), sha256) for path, sha256 in request["timed"]]
    for photograph in singles[:WARM_UP]:
        predictions = _predict(model, [photograph])["probabilities"]
    classes = list(predictions[0])
    parts = [np.zeros((0, len(classes)))]
    labels: list[str] = []
    for start in range(0, len(images), request["batch"]):
        batch = images[start : start + request["batch"]]
        found = _predict(model, [_read(Path(path), sha256) for path, sha256 in batch])
        predictions = found["probabilities"]
        labels += found["label"]
        parts.append(np.array([[predictions[row][name] for name in classes] for row in range(len(batch))]))
        _report(answered=start + len(batch))
    seconds = []
    for photograph in singles:
        started = time.perf_counter()
        _predict(model, [photograph])
        seconds.append(time.perf_counter() - started)
    np.savez(
        request["answers"],
        probabilities=np.concatenate(parts),
        classes=json.dumps(classes),
        answers=json.dumps(labels),
        latency_ms=1000 * statistics.median(seconds),
    )


def _predict(model: Any, photographs: list[bytes]) -> dict[str, list[Any]]:
    import pandas as pd

    predictions = model.predict(pd.DataFrame({"image": photographs}))
    return {name: list(predictions[name]) for name in ("label", "probabilities")}


def _read(path: Path, sha256: str) -> bytes:
    """Return the bytes of a test image; end the process where they are not those that its table names."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        _report(changed=str(path))
        sys.exit(1)
    return data


def _report(**what: Any) -> None:
    print(LINE_PREFIX + json.dumps(what), flush=True)


if __name__ == "__main__":
    run_request(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
