"""Tables of predictions: a row per image, and a column ``p_<class>`` for each class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graft.core.errors import GraftError
from graft.core.text_tables import read_text_table

if TYPE_CHECKING:
    import pandas as pd

_TEXT = ("path", "sha256", "label", "predicted")


def class_indices(labels: Iterable[str], classes: Sequence[str]) -> np.ndarray:
    """Return the place of each label among the classes, int ``[N]``.

    Raises:
        GraftError: a label is none of the classes.
    """
    index_of = {name: index for index, name in enumerate(classes)}
    try:
        return np.array([index_of[label] for label in labels], np.int64)
    except KeyError as error:
        raise GraftError(
            f"The project's photographs have the label {error}, which the model does not know",
            "Use a model in the project whose data it was trained on, or train it again: dvc repro",
        ) from None


def with_probabilities(images: pd.DataFrame, classes: Sequence[str], probabilities: np.ndarray) -> pd.DataFrame:
    """Return a table of images with a column of probabilities behind it for each class, made in one piece.

    Column by column, a thousand classes would take minutes.

    Args:
        probabilities: ``[N, C]``.
    """
    import pandas as pd

    columns = pd.DataFrame(probabilities, index=images.index, columns=[f"p_{name}" for name in classes])
    return pd.concat([images, columns], axis=1)


def read_prediction_table(path: Path) -> pd.DataFrame:
    """Return a table that was written from :func:`with_probabilities`: names as text, the rest as numbers.

    Columns that some of them have are path, sha256, label and predicted.

    Raises:
        GraftError: there is no such file, or it is no table.
    """
    return read_text_table(path, "a table of predictions", "Train it: dvc repro train", text=_TEXT)


def classes_of(table: pd.DataFrame) -> list[str]:
    """Return the classes that a table of predictions has a column for, in its order."""
    return [column.removeprefix("p_") for column in table.columns if column.startswith("p_")]


def probabilities_of(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return class indices ``[N]`` and probabilities float64 ``[N, C]``, whose rows sum to 1, of labelled images."""
    classes = classes_of(table)
    probabilities = table[[f"p_{one}" for one in classes]].to_numpy(np.float64)
    return class_indices(table["label"], classes), probabilities / probabilities.sum(axis=1, keepdims=True)
