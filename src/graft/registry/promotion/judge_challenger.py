"""Run a registered model on the test images, and compute its figures."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graft.core.errors import GraftError
from graft.core.files import folder_bytes
from graft.core.processes import end_tree
from graft.core.progress import progress_bar
from graft.core.project import Project
from graft.evaluation.intervals import CONFIDENCE
from graft.evaluation.metrics import calibration_error_by_chance, evaluate, expected_calibration_error
from graft.registry.promotion.answer_process import LINE_PREFIX
from graft.registry.promotion.change_champion import Registry, describe
from graft.registry.promotion.gate_verdict import ClassFigures, Judged
from graft.registry.promotion.judged_predictions import (
    VersionPredictions,
    log_predictions,
    no_predictions,
    read_predictions,
)
from graft.registry.store.logged_models import HASH_TAG, files_of_version

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities.model_registry import ModelVersion


CANDIDATE = "candidate"
# Single photographs that are timed.
TIMED = 30


def judge(
    project: Project,
    registry: Registry,
    version: ModelVersion,
    table: pd.DataFrame,
    batch_size: int,
    role: str,
    limit: float | None = None,
    also: pd.DataFrame | None = None,
) -> tuple[Judged, VersionPredictions]:
    """Ask a version about the images that it was not asked about yet, and compute its figures on the test images.

    Args:
        table: the test split with paths, see :func:`graft.data.splits.split_tables.read_splits`, and the column group.
        limit: seconds that it may take; None for any number.
        also: such a table of other images that it has not seen.

    Returns:
        Its figures, and its predictions, which are in its run as well.

    Raises:
        GraftError: see :func:`ask_version`.
    """
    import pandas as pd

    images = pd.concat([table, also], ignore_index=True) if also is not None else table
    predictions, size = ask_version(project, registry, version, images, batch_size, role, limit)
    labels = list(table["label"])
    classes = [*predictions.classes, *sorted(set(labels) - set(predictions.classes))]
    probabilities = predictions.of(list(table["sha256"]), classes)
    indices = np.array([classes.index(label) for label in labels])
    figures = evaluate(indices, probabilities, classes)
    facts = describe(registry.client, registry.model, str(version.version))
    judged = Judged(
        version=str(version.version),
        model_uri=f"models:/{registry.model}/{version.version}",
        run_id=version.run_id or "",
        digest=predictions.digest,
        strategy=facts["strategy"],
        commit=facts.get("commit", ""),
        data=facts.get("data", ""),
        accuracy=figures.accuracy,
        macro_f1=figures.macro_f1,
        log_loss=figures.log_loss,
        calibration_error=expected_calibration_error(indices, probabilities),
        calibration_error_by_chance=float(np.quantile(calibration_error_by_chance(probabilities), CONFIDENCE)),
        classes={
            label: ClassFigures(recall=of_class["recall"], images=int(of_class["support"]))
            for label, of_class in figures.per_class.items()
            if of_class["support"]
        },
        latency_ms=predictions.latency_ms,
        size_mb=size / 1e6,
    )
    return judged, predictions


def ask_version(
    project: Project,
    registry: Registry,
    version: ModelVersion,
    images: pd.DataFrame,
    batch_size: int,
    role: str,
    limit: float | None = None,
) -> tuple[VersionPredictions, int]:
    """Ask a version about the images that it was not asked about yet, as it is registered.

    A candidate is run in any case: it must load, and its time is that of this machine now.

    Returns:
        All its predictions, and the bytes of its files.

    Raises:
        GraftError: the files of the model are not those that were registered, it cannot be loaded or does not
            answer, or an image changed since it was split.
    """
    name = f"version {version.version} of '{registry.model}'"
    with files_of_version(registry.client, registry.model, str(version.version)) as (folder, digest):
        expected = version.tags.get(HASH_TAG, digest)
        if digest != expected:
            raise GraftError(
                f"The files of {name} are not those that were registered: their SHA-256 is "
                f"{digest[:12]}..., and the version's tag {HASH_TAG} says {expected[:12]}...",
                "Find out who changed them; train and register the model again: dvc repro -f",
            )
        size = folder_bytes(folder)
        existing = read_predictions(registry.client, version.run_id) if version.run_id else None
        if existing is None or existing.digest != digest:
            existing = no_predictions(digest)
        lacking = existing.lacking(list(images["sha256"]))
        if not lacking and role != CANDIDATE:
            return existing, size
        once = images.drop_duplicates("sha256")
        asked = ask(project, folder, once[once["sha256"].isin(lacking)], once, batch_size, name, role, limit)
        predictions = existing.joined(replace(asked, digest=digest))
        if version.run_id and lacking:
            log_predictions(registry.client, version.run_id, predictions, images)
    return predictions, size


def ask(
    project: Project,
    folder: Path,
    table: pd.DataFrame,
    timed: pd.DataFrame,
    batch_size: int,
    name: str,
    role: str,
    limit: float | None = None,
) -> VersionPredictions:
    """Predict with the model in ``folder``, in a process of its own; arguments and errors as of :func:`judge`."""
    with tempfile.TemporaryDirectory() as temporary:
        request, written = Path(temporary) / "request.json", Path(temporary) / "answers.npz"
        some = timed.iloc[:: max(1, len(timed) // TIMED)].head(TIMED)
        content = {
            "model": str(folder),
            "images": _paths(project, table),
            "timed": _paths(project, some),
            "batch": batch_size,
            "answers": str(written),
        }
        request.write_text(json.dumps(content), encoding="utf-8")
        command = [sys.executable, "-m", "graft.registry.promotion.answer_process", str(request)]
        with (
            (Path(temporary) / "errors").open("w+", encoding="utf-8", errors="replace") as errors,
            progress_bar(f"{role}: test images", len(table)) as advance,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
            _ended_after(process, limit) as late,
        ):
            assert process.stdout is not None
            answered = 0
            for line in process.stdout:
                if not line.startswith(LINE_PREFIX):
                    continue
                line_content = json.loads(line.removeprefix(LINE_PREFIX))
                if "changed" in line_content:
                    raise GraftError(
                        f"{line_content['changed']} is not the image that was split: its SHA-256 is another",
                        "The data changed since it was split: run `graft run` again",
                    )
                advance(line_content["answered"] - answered)
                answered = line_content["answered"]
            code = process.wait()
            if late.is_set():
                raise GraftError(
                    f"The {role}, {name}, had not answered after {limit:.0f} s, and was ended",
                    "See whether it answers by itself: mlflow.pyfunc.load_model",
                )
            if code != 0:
                errors.seek(0)
                said = [line.strip() for line in errors if line.strip()]
                raise GraftError(
                    f"The {role}, {name}, cannot be loaded or does not answer as graft's models do: "
                    f"{said[-1][:300] if said else f'exit code {code}'}",
                    "See whether it loads by itself: mlflow.pyfunc.load_model, in an environment with its packages",
                )
        with np.load(written) as answers:
            classes = list(json.loads(str(answers["classes"])))
            sha256, latency_ms = list(table["sha256"]), float(answers["latency_ms"])
            labels = json.loads(str(answers["answers"]))
            return VersionPredictions("", classes, sha256, answers["probabilities"], latency_ms, labels)


def _paths(project: Project, table: pd.DataFrame) -> list[list[str]]:
    return [[str(project.data / path), sha256] for path, sha256 in zip(table["path"], table["sha256"], strict=True)]


@contextlib.contextmanager
def _ended_after(process: subprocess.Popen[str], limit: float | None) -> Iterator[threading.Event]:
    """End a process after so many seconds, or with the block; the event says whether it came to the former."""
    late = threading.Event()

    def end() -> None:
        late.set()
        end_tree(process.pid)

    timer = threading.Timer(limit or 0, end)
    timer.daemon = True
    if limit is not None:
        timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        end_tree(process.pid)
