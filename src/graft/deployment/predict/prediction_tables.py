"""Write predictions as rows, and rows as a file: Parquet, CSV, JSON or lines of JSON.

Columns: ``path``; ``label`` and ``probability``, the answer and how likely it is, or ``unknown`` and how likely the
best class is; ``problem``, why there is none; and a ``p_<class>`` for each class. What is not there is null, an empty
cell in CSV.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from graft.core.errors import GraftError
from graft.deployment.predict.predict_photographs import PredictedBatch

if TYPE_CHECKING:
    import pyarrow as pa

Write = Callable[[Iterable["pa.Table"], IO[bytes], list[str]], None]
# Probabilities [N, C] to which classes belong to each set, bool [N, C].
Sets = Callable[[np.ndarray], np.ndarray]


def rows_of(batch: PredictedBatch, classes: Sequence[str], sets: Sets | None = None) -> pa.Table:
    """Return a row for each photograph, in order; the same columns also where none could be read.

    Args:
        sets: which classes belong to the set of each image; its names become the column ``set``.
    """
    import pyarrow as pa

    has_none = np.array([bool(problem) for problem in batch.problems], bool)
    probabilities = batch.probabilities

    def floats(values: np.ndarray) -> pa.Array:
        return pa.array(values, pa.float32(), mask=has_none)

    return pa.table(
        {
            "path": pa.array(batch.names, pa.string()),
            "label": pa.array([label or None for label in batch.labels], pa.string()),
            "probability": floats(batch.answered(classes)),
            "problem": pa.array([problem or None for problem in batch.problems], pa.string()),
            **({} if sets is None else {"set": _set_column(batch, classes, sets)}),
            **{f"p_{name}": floats(probabilities[:, index]) for index, name in enumerate(classes)},
        }
    )


def _set_column(batch: PredictedBatch, classes: Sequence[str], sets: Sets) -> pa.Array:
    import pyarrow as pa

    names = np.array(classes, object)
    found = [
        None if problem else names[row].tolist()
        for problem, row in zip(batch.problems, sets(batch.probabilities), strict=True)
    ]
    return pa.array(found, pa.list_(pa.string()))


def write_table(tables: Iterable[pa.Table], path: Path, classes: Sequence[str], sets: Sets | None = None) -> None:
    """Write rows, a table at a time, in the form that the path's ending names; without rows, the columns alone."""
    with path.open("wb") as stream:
        _FORMS[path.suffix.lower()](chain([no_rows(classes, sets)], tables), stream, list(classes))


def require_known_form(path: Path) -> None:
    """Raise GraftError where a path's ending is none of the forms that can be written."""
    if path.suffix.lower() not in _FORMS:
        raise GraftError(
            f"{path} ends in {path.suffix or 'nothing'}, which is no form of table known here",
            f"End it in one of {', '.join(_FORMS)}",
        )


def no_rows(classes: Sequence[str], sets: Sets | None = None) -> pa.Table:
    """Return the columns without a row."""
    return rows_of(PredictedBatch([], [], [], np.empty((0, len(classes)), np.float32), []), classes, sets)


def _write_parquet(tables: Iterable[pa.Table], stream: IO[bytes], classes: list[str]) -> None:
    import pyarrow.parquet as pq

    rest = iter(tables)
    with pq.ParquetWriter(stream, next(rest).schema) as writer:  # the first has no rows
        for table in rest:
            if table.num_rows:
                writer.write_table(table)


def _write_csv(tables: Iterable[pa.Table], stream: IO[bytes], classes: list[str]) -> None:
    for number, table in enumerate(tables):
        # Seven digits tell every float32 from its neighbours near 1; pandas would write seventeen.
        text = _as_csv(table, not number)
        if "\r" in text:
            # In a file's name; to most readers it ends the line unless it is quoted, and pandas leaves it bare.
            text = _as_csv(table, not number, quoting=csv.QUOTE_NONNUMERIC)
        stream.write(text.encode())


def _as_csv(table: pa.Table, header: bool, **options: Any) -> str:
    frame = table.to_pandas()
    if "set" in frame:
        frame["set"] = ["|".join(names) if names is not None else "" for names in frame["set"]]
    return str(frame.to_csv(index=False, header=header, float_format="%.7g", lineterminator="\n", **options))


def _write_lines(tables: Iterable[pa.Table], stream: IO[bytes], classes: list[str]) -> None:
    for table in tables:
        for row in table.to_pylist():
            stream.write(_as_json(row, classes) + b"\n")


def _write_json(tables: Iterable[pa.Table], stream: IO[bytes], classes: list[str]) -> None:
    separator = b"[\n"
    for table in tables:
        for row in table.to_pylist():
            stream.write(separator + _as_json(row, classes))
            separator = b",\n"
    stream.write(b"\n]\n" if separator == b",\n" else b"[]\n")


def _as_json(row: dict[str, Any], classes: list[str]) -> bytes:
    probabilities = {name: _short(row.pop(f"p_{name}")) for name in classes}
    row["probability"] = _short(row["probability"])
    row["probabilities"] = probabilities if row["problem"] is None else None
    return json.dumps(row, ensure_ascii=False).encode()


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.7g}")


_FORMS: dict[str, Write] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".json": _write_json,
    ".jsonl": _write_lines,
}
