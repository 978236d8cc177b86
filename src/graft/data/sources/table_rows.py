"""Read a table as rows of text, whatever wrote it: CSV, lists with blanks, JSON, Parquet, MATLAB.

The first row is the header, where there is one: of text it may be missing. Each comes with its number, for messages:
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
from graft.data.folder.split_folders import split_of
from graft.data.sources.matlab_files import vectors_of_mat

COLUMNS = ("path", "label", "split", "group")  # of graft's own tables
CSV, PARQUET, LISTS = (".csv", ".tsv"), (".parquet", ".pq"), (".txt", ".lst", ".list")
SUFFIXES = (*CSV, *LISTS, ".json", ".jsonl", ".mat")
SPREADSHEETS = (".xlsx", ".xls", ".ods")  # not read
LARGEST_TABLE = 100_000_000  # bytes of one that lies beside images and is read
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
    if suffix == ".mat":
        yield from enumerate(_rows_of_objects(_objects_of_mat(vectors_of_mat(name, stream.read()))))
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


def _objects_of_mat(vectors: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Return the rows of a list of structs, else of the longest vectors, a column each."""
    for vector in vectors.values():
        if all(isinstance(one, dict) for one in vector):
            return vector
    length = max(map(len, vectors.values()), default=0)
    columns = {key: vector for key, vector in vectors.items() if len(vector) == length}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _rows_of_json(content: Any) -> Iterator[list[str]]:
    """Yield header and rows of a list of objects, or of what tools write: COCO, Datumaro, Label Studio, names by label.

    Nothing where it is none of these.
    """
    try:
        if isinstance(content, dict):
            what = "split" if all(map(split_of, content)) else "label"
            content = [{"path": path, what: value} for path, value in _pairs_of_json(content)]
        elif content and all("annotations" in one and "data" in one for one in content):  # Label Studio
            content = [
                {"path": one["data"].get("image"), "label": label} for one in content for label in _choices(one) or [""]
            ]
    except (AttributeError, LookupError, TypeError):
        return
    if isinstance(content, list) and all(isinstance(one, dict) for one in content):
        yield from _rows_of_objects(content)


def _pairs_of_json(content: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield name and label of each image in COCO's lists, Datumaro's items, or an object of either by the other."""
    if isinstance(content.get("images"), list) and isinstance(content.get("annotations"), list):
        classes = {one["id"]: one["name"] for one in content.get("categories", [])}
        paths = {one["id"]: one["file_name"] for one in content["images"]}
        yield from ((paths[one["image_id"]], classes[one["category_id"]]) for one in content["annotations"])
    elif isinstance(content.get("items"), list):
        labels = content["categories"]["label"]["labels"]
        for item in content["items"]:
            path = item.get("image", {}).get("path") or item["id"]
            yield from ((path, labels[one["label_id"]]["name"]) for one in item["annotations"] if "label_id" in one)
    elif all(isinstance(names, list) for names in content.values()):
        yield from ((name, label) for label, names in content.items() for name in names)
    else:
        yield from content.items()


def _choices(task: dict[str, Any]) -> set[str]:
    """Return the classes that annotators chose for an image in Label Studio."""
    results = [result for each in task["annotations"] for result in each["result"]]
    return {label for result in results for label in result["value"].get("choices", ())}


def _rows_of_objects(objects: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    keys = list(dict.fromkeys(key for one in objects for key in one))
    yield keys
    for one in objects:
        cells = [one.get(key) for key in keys]
        yield ["" if hasattr(cell, "__len__") and not isinstance(cell, str) else _text(cell) for cell in cells]


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
