"""Export one model in several formats: each is loaded again, compared with the model, and only then put in place."""

import importlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graft.bundle.model import ImageClassifier
from graft.bundle.record import read_checked
from graft.core.errors import GraftError, first_line
from graft.core.files import folder_bytes, new_folder
from graft.core.project import Project
from graft.data.splits.split_tables import read_splits
from graft.deployment.export import check_export as check
from graft.deployment.export import tflite
from graft.deployment.export.bundle_source import ExportSource, prepare_saved_model
from graft.deployment.export.check_export import ExportCheck
from graft.deployment.export.description import describe, write_decisions, write_description
from graft.deployment.export.formats import FORMATS
from graft.evaluation.prediction_table import class_indices
from graft.networks.decode_images import Photographs
from graft.networks.engines.open_classifier import unchanged
from graft.networks.engines.openvino_run import Run
from graft.networks.engines.tensorflow_import import stderr_silenced
from graft.registry.resolve import ResolvedModel, wanted_decisions

# Training photographs that set the ranges of 8-bit numbers; TensorFlow's guide to post-training quantisation names
# 100 to 500.
CALIBRATION = 200


@dataclass(frozen=True)
class Exported:
    """One format of a model, on the disk.

    Attributes:
        name: of the format, with ``-int8`` behind it where it is in 8 bits.
        folder: where it lies.
        bytes: of the model's own files there, without description.
        checked: how it answers.
    """

    name: str
    folder: Path
    bytes: int
    checked: ExportCheck


def export(
    project: Project,
    model: ResolvedModel,
    formats: Sequence[str],
    int8: bool,
    most_lost: float,
    out: Path,
    replace: bool,
) -> Iterator[Exported]:
    """Export a model, format by format; each is in place, checked, when it is yielded.

    Args:
        project: whose validation photographs check the exports, and whose training photographs calibrate 8 bits.
        formats: keys of :data:`graft.deployment.export.formats.FORMATS`.
        int8: TensorFlow Lite in 8-bit whole numbers instead of float32.
        most_lost: accuracy that these may lose on validation, a share of 1.
        out: each format becomes a folder in it.
        replace: replace such a folder where it is there already.

    Raises:
        GraftError: a folder is there already, a format cannot be made or does not answer as the model does, the
            model was changed, or the project's data is not what it was trained on.
    """
    names = {name: f"{name}-int8" if int8 and name == "tflite" else name for name in formats}
    for name in names.values():
        if (out / name).exists() and not replace:
            raise GraftError(f"{out / name} is there already", "Name another --out, or add --replace")
    with unchanged():
        settings = read_checked(model.bundle)
    if broken := [label for label in settings["classes"] if len(label.splitlines()) > 1]:
        raise GraftError(
            f"The class {broken[0]!r} holds a line break, and labels.txt has a line for each class",
            "Rename the class, and train again",
        )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        saved_model, size = prepare_saved_model(model.bundle, Path(temporary) / "source")
        validation = _Validation(project, settings["classes"], size)
        classifier = ImageClassifier(model.bundle, wanted=wanted_decisions(project, model))
        expected, decided = classifier.probabilities({size: validation.pixels}), classifier.decided
        identity = {"name": model.name, "version": model.version, "digest": model.digest}
        for name, written in names.items():
            about = describe(identity, settings, size, FORMATS[name])
            source = ExportSource(saved_model, size, settings["classes"], about)
            is_int8 = written.endswith("-int8")
            calibration = _calibration(project, size) if is_int8 else None
            with new_folder(out / written, replace) as folder:
                run = _make(name, source, folder, calibration)
                size_in_bytes = folder_bytes(folder)
                count = check.MOST_COMPARED if is_int8 else check.COMPARED
                some = slice(0, count)
                checked = check.check(run, validation.pixels[some], expected[some], validation.labels[some])
                if is_int8:
                    check.require_accuracy(written, checked, most_lost)
                else:
                    check.require_agreement(written, checked)
                recipe = write_decisions(folder, model.bundle, decided)
                _describe(name, source, folder, is_int8, checked, written, recipe)
            yield Exported(written, out / written, size_in_bytes, checked)


def load_exported(folder: Path, name: str) -> Run:
    """Return a function that runs an exported model: images ``[N, S, S, 3]``, RGB in 0..255, to probabilities float32
    ``[N, C]``.

    Args:
        name: a key of :data:`graft.deployment.export.formats.FORMATS`.
    """
    run: Run = _module(name).load(folder)
    return run


class _Validation:
    """Validation photographs at the model's size; the table is in the order of hashes, so the first are any."""

    def __init__(self, project: Project, classes: list[str], size: int) -> None:
        table = read_splits(project, ["val"])["val"].iloc[: check.MOST_COMPARED]
        self.labels = class_indices(table["label"], classes)
        self.pixels = Photographs.of(project, table, size, label="validation images").inputs


def _calibration(project: Project, size: int) -> np.ndarray:
    table = read_splits(project, ["train"])["train"].iloc[:CALIBRATION]
    return Photographs.of(project, table, size, label="training images").inputs


def _module(name: str) -> Any:
    return importlib.import_module(f"graft.deployment.export.{name}")


def _make(name: str, source: ExportSource, folder: Path, calibration: np.ndarray | None) -> Run:
    try:
        with stderr_silenced():  # pages about passes and delegates, from native code
            if calibration is not None:
                tflite.write(source, folder, calibration)
            else:
                _module(name).write(source, folder)
            return load_exported(folder, name)
    except Exception as error:
        # Converters raise all kinds, for example where a network holds an operation that they do not know.
        raise GraftError(
            f"The model cannot be exported as {name}: {first_line(error)}", "Choose another --format"
        ) from error


def _describe(
    name: str,
    source: ExportSource,
    folder: Path,
    is_int8: bool,
    checked: ExportCheck,
    written: str,
    recipe: Sequence[str],
) -> None:
    module = _module(name)
    kind = tflite.INT8_INPUT_KIND if is_int8 else module.INPUT_KIND
    form = {
        "int8": is_int8,
        "input_kind": kind,
        "input_range": list(module.INPUT_RANGE),
        "tolerance": None if is_int8 else check.TOLERANCE,
        "checked": asdict(checked),
    }
    write_description(folder, written, source.about, form, module.USAGE, recipe)
