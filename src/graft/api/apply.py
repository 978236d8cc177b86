"""A model at work: load, predict, export."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graft.core.project import Project

if TYPE_CHECKING:
    import pandas as pd

    from graft.bundle.model import ImageClassifier


def load(project: Project, model: str | None = None) -> ImageClassifier:
    """Load a trained model on the engine that is fastest here.

    Args:
        model: a strategy or ensemble that is trained (``"frozen"``), the folder of one, or one of MLflow's registry
            (``"models:/flowers@champion"``). None is the champion, or the challenger where there is none yet.

    Returns:
        The classifier: ``classes``, and ``predict(images)``, which takes paths (:class:`pathlib.Path`), bytes of image
        files, or pixels uint8 ``[H, W, 3]`` (RGB), and returns a DataFrame of label, probability and probabilities.

    Raises:
        GraftError: there is no such model, or its files were changed since they were written.

    Example:
        >>> classifier = graft.load(project, "frozen")
        >>> classifier.classes
        ['daisy', 'rose']
    """
    from graft.networks.engines.open_classifier import open_classifier
    from graft.registry.resolve import resolve_trained, wanted_decisions

    resolved = resolve_trained(project, model)
    return open_classifier(resolved.bundle, wanted=wanted_decisions(project, resolved))


def predict(
    project: Project, paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], model: str | None = None
) -> pd.DataFrame:
    """Label photographs.

    Args:
        paths: image files, folders (at any depth), archives, or patterns such as ``"photos/**/*.jpg"``.
        model: see :func:`load`.

    Returns:
        A row for each photograph, in order: path, label (``unknown`` for none of the classes, where params.yaml sets
        ``decide.unknown``), probability (0..1), problem (why it could not be read, else null), and a column
        ``p_<class>`` for each class.

    Raises:
        GraftError: there is nothing at one of the paths, or no such model.

    Example:
        >>> labelled = graft.predict(project, "photographs", model="frozen")
        >>> list(labelled.columns)
        ['path', 'label', 'probability', 'problem', 'p_daisy', 'p_rose']
    """
    import pyarrow as pa

    from graft.core.progress import progress_bar
    from graft.deployment.predict.inputs import find_photographs
    from graft.deployment.predict.predict_photographs import predict_photographs
    from graft.deployment.predict.prediction_tables import no_rows, rows_of
    from graft.networks.engines.open_classifier import open_classifier
    from graft.registry.resolve import resolve_trained, wanted_decisions

    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    photographs = find_photographs([os.fspath(path) for path in given])
    total = sum(1 for some in photographs for _ in some.names())
    resolved = resolve_trained(project, model)
    classifier = open_classifier(resolved.bundle, total, wanted_decisions(project, resolved))
    stream = (photograph for some in photographs for photograph in some.read())
    tables = [no_rows(classifier.classes)]
    with progress_bar("Photographs", total) as advance:
        for some in predict_photographs(classifier, stream):
            tables.append(rows_of(some, classifier.classes))
            advance(len(some.names))
    return pa.concat_tables(tables).to_pandas()


def export(
    project: Project,
    out: str | os.PathLike[str],
    formats: str | Sequence[str] = ("onnx",),
    model: str | None = None,
    *,
    int8: bool = False,
    most_lost: float = 0.01,
    replace: bool = False,
) -> pd.DataFrame:
    """Write a model in other runtimes' formats; each is loaded again and compared with the model first.

    Args:
        out: each format becomes a folder in it.
        formats: of saved_model, hub, tflite, onnx and openvino.
        model: see :func:`load`.
        int8: TensorFlow Lite in 8-bit whole numbers.
        most_lost: accuracy on validation that ``int8`` may cost, a share of 1.
        replace: replace what is in ``out`` of these formats.

    Returns:
        A row for each format: folder, megabytes, milliseconds (of one image), largest_difference (of a probability),
        accuracy and accuracy_of_model (0..1, on validation photographs).

    Raises:
        GraftError: there is no such format, a folder is there already, or an export does not answer as the model does.

    Example:
        >>> exported = graft.export(project, "exported", ["openvino"], model="frozen")
        >>> exported.loc["openvino", "folder"].name
        'openvino'
    """
    import pandas as pd

    from graft.core.errors import GraftError, did_you_mean
    from graft.networks.engines.tensorflow_import import import_tensorflow

    import_tensorflow()
    from graft.deployment.export import export_model
    from graft.registry.resolve import resolve_trained

    chosen = [formats] if isinstance(formats, str) else list(formats)
    for name in chosen:
        if name not in export_model.FORMATS:
            raise GraftError(f"There is no format '{name}'", did_you_mean(name, export_model.FORMATS))
    resolved = resolve_trained(project, model)
    rows = {}
    for one in export_model.export(project, resolved, chosen, int8, most_lost, Path(out), replace):
        checked = one.checked
        rows[one.name] = {
            "folder": one.folder,
            "megabytes": one.bytes / 1e6,
            "milliseconds": checked.milliseconds,
            "largest_difference": checked.largest_difference,
            "accuracy": checked.accuracy,
            "accuracy_of_model": checked.accuracy_of_model,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("format")
