"""Read tables that graft wrote as CSV, as they were written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.core.errors import GraftError

if TYPE_CHECKING:
    import pandas as pd


def read_text_table(
    path: Path, what: str, fix: str, columns: Sequence[str] | None = None, text: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return a CSV table whose cells are text, never null: 001, NA and null are names, not numbers and gaps.

    Args:
        what: it is, with an article, such as ``a split table``; in errors.
        fix: how to get it, in errors.
        columns: that it has, no more and no less; None takes any.
        text: the columns that hold text, where the others hold numbers, float64, NaN as ``nan``.

    Raises:
        GraftError: there is no such table, or it is not one.
    """
    import pandas as pd

    kinds: Any = str if text is None else defaultdict(lambda: "float64", dict.fromkeys(text, "str"))
    try:
        # A carriage return may be in a name, and does not end a line.
        options: Any = {"encoding": "utf-8", "lineterminator": "\n"}
        if text is not None:
            head = pd.read_csv(path, nrows=0, **options).columns
            options["na_values"] = {column: ["nan"] for column in head if column not in text}
        table = pd.read_csv(path, dtype=kinds, keep_default_na=False, **options)
    except FileNotFoundError:
        raise GraftError(f"There is no {what.partition(' ')[2]} at {path}", fix) from None
    except ValueError as error:
        raise GraftError(f"{path} cannot be read as {what}: {error}", fix) from None
    if columns is not None and list(table.columns) != list(columns):
        raise GraftError(f"{path} has the columns {', '.join(table.columns)} instead of {', '.join(columns)}", fix)
    return table
