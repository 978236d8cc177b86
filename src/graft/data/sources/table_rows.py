"""Read a table as rows of text, whatever wrote it: CSV, lists with blanks, JSON, Parquet.

The first row is the header, where there is one: of JSON and Parquet always. Each comes with its number, for messages:
of its line in a text, else counted from 1. Text that is not UTF-8 stays as it is, as surrogates.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import IO, Any

from graft.bundle.content import but_it_is
from graft.core.errors import GraftError, first_line
from graft.data.folder.photographs import suffix_of

COLUMNS = ("path", "label", "split", "group")  # of graft's own tables
CSV, PARQUET, LISTS = (".csv", ".tsv"), (".parquet", ".pq"), (".txt", ".lst", ".list")
SUFFIXES = (*CSV, *LISTS, ".json", ".jsonl")
_BATCH = 1 << 12  # rows of a Parquet file in memory at a time

Rows = Iterator[tuple[int, list[str]]]


def rows_of(name: str, stream: IO[bytes], strict: bool = False) -> Rows:
    """Yield the rows of a table, empty ones passed over.

    Args:
        name: of the file; its suffix says how it is read.
        strict: whether an open quotation mark is an error.

    Raises:
        GraftError: it is not what its suffix says, or damaged.
    """
    suffix = suffix_of(name)
    if suffix in PARQUET:
        yield from _rows_of_parquet(name, stream)
        return
    text = text_of(stream.read())
    if suffix in (".json", ".jsonl"):
        try:
            content = (
                [json.loads(line) for line in text.splitlines() if line] if suffix == ".jsonl" else json.loads(text)
            )
        except (ValueError, RecursionError) as error:
            raise GraftError(f"{name} is no JSON: {error}", "Write it again") from None
        yield from enumerate(_rows_of_json(content))
        return
    if text[:4].lower() == "sep=":  # for Excel alone
        text = text.partition("\n")[2]
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    if suffix in LISTS and separator not in first:
        lines = enumerate(text.splitlines(), 1)
        yield from ((number, _words(line)) for number, line in lines if line.strip() and not line.startswith("#"))
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=strict)
    number = 0
    try:
        for cells in reader:
            number = reader.line_num
            if any(cells):
                yield number, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise GraftError(f"{name} cannot be read after row {number}: {error}", "Save it as CSV in UTF-8") from None


def text_of(data: bytes) -> str:
    """Return a table's text: what its mark says, else UTF-8; other bytes stay as they are, as surrogates."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "surrogateescape")


def parquet_rows(name: str, source: Any, columns: Sequence[str], batch: int = _BATCH) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, a path or a stream. Raises GraftError where it is damaged."""
    import pyarrow.parquet as pq

    number = 0
    try:
        for rows in pq.ParquetFile(source).iter_batches(batch, columns=columns):
            for row in rows.to_pylist():
                number += 1
                yield row
    except Exception as error:  # of all kinds, also of dates that Python has not, and of text in no encoding
        raise GraftError(f"{name} is damaged after row {number}: {first_line(error)}", "Write it again") from None


def _rows_of_parquet(name: str, stream: IO[bytes]) -> Rows:
    """Yield header and rows of a Parquet file: images as bytes, lists and the like are no columns."""
    import pyarrow.parquet as pq
    import pyarrow.types as kinds

    source = stream if stream.seekable() else io.BytesIO(stream.read())
    try:
        schema = pq.read_schema(source)
    except Exception:  # its reader raises all kinds on damaged files
        source.seek(0)
        raise GraftError(f"{name} is not a whole Parquet file{but_it_is(source.read())}", "Write it again") from None
    columns = [
        field.name
        for field in schema
        if field.name in COLUMNS
        or not (kinds.is_nested(field.type) or kinds.is_binary(field.type) or kinds.is_large_binary(field.type))
    ]
    yield 0, columns
    for number, row in enumerate(parquet_rows(name, source, columns), 1):
        yield number, [_text(row[column]) for column in columns]


def _words(line: str) -> list[str]:
    """Return the cells of a line with blanks between them: a label may have some itself, and a box behind it."""
    path, *words = line.split()
    numbers = len(list(takewhile(lambda word: word.replace(".", "").isdecimal(), reversed(words))))
    if numbers > 1 and numbers < len(words):
        del words[-numbers:]
    return [path, *words] if numbers == len(words) else [path, " ".join(words)]


def _rows_of_json(content: Any) -> Iterator[list[str]]:
    """Yield header and rows of a list of objects, of an object of names and labels, or of COCO's three lists."""
    if isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ("images", "annotations")):
        try:
            classes = {one["id"]: one["name"] for one in content.get("categories", [])}
            paths = {one["id"]: one["file_name"] for one in content["images"]}
            pairs = [(paths[one["image_id"]], classes[one["category_id"]]) for one in content["annotations"]]
        except (KeyError, TypeError):
            return
        content = [{"path": path, "label": label} for path, label in pairs]
    elif isinstance(content, dict):
        content = [{"path": path, "label": label} for path, label in content.items()]
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        return
    keys = list(dict.fromkeys(key for one in content for key in one))
    yield keys
    for one in content:
        yield ["" if isinstance(cell := one.get(key), dict | list) else _text(cell) for key in keys]


def _text(cell: Any) -> str:
    """Return a cell as text, ``""`` for a gap.

    Tables that were made from some with gaps hold numbers as 3.0 and gaps as NaN, those of older programs bytes.
    """
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, bytes):
        cell = cell.decode("utf-8", "surrogateescape")
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()
