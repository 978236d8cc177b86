"""Tables of predictions: a row per image, and a column ``p_<class>`` for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def with_probabilities(
    images: pd.DataFrame, classes: Sequence[str], probabilities: np.ndarray
) -> pd.DataFrame:
    """Return a table of images with a column of probabilities behind it for each class, made in one piece.

    Column by column, a thousand classes would take minutes.

    Args:
        probabilities: ``[N, C]``.
    """
    import pandas as pd

    columns = pd.DataFrame(probabilities, index=images.index, columns=[f"p_{name}" for name in classes])
    return pd.concat([images, columns], axis=1)
