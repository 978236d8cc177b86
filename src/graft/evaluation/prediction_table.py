"""Tables of predictions: a row per image, and a column ``p_<class>`` for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


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
    """Return a table that was written from :func:`with_probabilities`: sha256 and label as text, the rest as numbers.

    Raises:
        FileNotFoundError: there is no such file.
    """
    import pandas as pd

    names = pd.read_csv(path, nrows=0, lineterminator="\n").columns
    text = dict.fromkeys(("sha256", "label"), str)  # a class may be called 001 or NA
    numbers = {column: np.float64 for column in names if column not in text}
    return pd.read_csv(path, dtype={**text, **numbers}, keep_default_na=False, lineterminator="\n")
