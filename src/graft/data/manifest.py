"""The manifest: one row for every image file, written as the files are read.

Columns of the Parquet file:

    path     string  relative to data/, with forward slashes
    label    string  the class folder's name
    split    string  train, val or test where the data brings an official split, else ""
    width    int32   pixels as stored, before an EXIF rotation; 0 where no header could be read
    height   int32   likewise
    mode     string  Pillow's name for the kind of pixels (RGB, RGBA, L, P, CMYK, I;16, ...), or ""
    format   string  Pillow's name for the file's format (JPEG, PNG, ...), or ""
    bytes    int64   size of the file
    sha256   string  of the file's bytes, 64 hex digits; "" where the bytes could not be had
    problem  string  "" for a readable image, else why it is set aside, in a few words
    phash, thumbnail, brightness, sharpness
             string, binary, float32, float32  see :class:`graft.data.fingerprint.Fingerprint`; "", b"", 0 and 0
             where the image cannot be read

The order of rows is the order of :func:`graft.data.layout.image_files`, and equal data gives equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.data.fingerprint import fingerprint
from graft.data.layout import Layout, image_files
from graft.errors import GraftError
from graft.inference.images import UnreadableImageError, open_image, to_rgb
from graft.params.models import ValidateParams
from graft.progress import Advance, progress_bar

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ROWS_PER_GROUP = 4096  # rows held in memory, and rows of one Parquet row group
_MAX_THREADS = 16  # a decoded image per thread is in memory; more threads than this wait for the disk anyway
_COLUMNS = {
    "path": "string",
    "label": "string",
    "split": "string",
    "width": "int32",
    "height": "int32",
    "mode": "string",
    "format": "string",
    "bytes": "int64",
    "sha256": "string",
    "problem": "string",
    "phash": "string",
    "thumbnail": "binary",
    "brightness": "float32",
    "sharpness": "float32",
}
_CLASSES_KEY = b"graft.classes"
# No format read here spends more on a pixel than four 16-bit samples; metadata gets 64 MiB on top.
_BYTES_PER_PIXEL = 8
_METADATA_BYTES = 64 * 2**20


@dataclass(frozen=True)
class ScanSummary:
    """What a scan found: files, how many of them cannot be used, class folders, and bytes in all."""

    images: int
    unreadable: int
    classes: int
    bytes: int


def scan(layout: Layout, params: ValidateParams, target: Path) -> ScanSummary:
    """Reads and decodes every image below ``layout.root`` once and writes the manifest to ``target``.

    A file that cannot be used gets a row with its ``problem``; only a full or read-only disk ends the scan.
    Memory does not grow with the number of files. ``target`` appears when it is complete.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def inspect(path: Path) -> dict[str, Any]:
        return _inspect(path, layout, params.max_pixels)

    classes = _class_folders(layout)
    schema = _schema(classes)
    images = unreadable = size = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    try:
        total = sum(1 for _ in image_files(layout))
        with (
            # Filters belong to the process, not to a thread: what threads set and restore would interleave.
            warnings.catch_warnings(),
            progress_bar("Reading images", total) as advance,
            pq.ParquetWriter(partial, schema) as writer,
        ):
            warnings.simplefilter("ignore")
            for rows in _groups(_in_order(inspect, image_files(layout)), ROWS_PER_GROUP, advance):
                writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
                images += len(rows)
                unreadable += sum(1 for row in rows if row["problem"])
                size += sum(row["bytes"] for row in rows)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return ScanSummary(images, unreadable, len(classes), size)


def read_manifest(path: Path, thumbnails: bool = False) -> pd.DataFrame:
    """The manifest as a table with the columns of this module's text; strings are never null.

    Args:
        path: the Parquet file.
        thumbnails: also load their column, which is larger than all others together.

    Raises:
        GraftError: there is no manifest at ``path``, or it is not a whole Parquet file.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        columns = [name for name in _COLUMNS if thumbnails or name != "thumbnail"]
        return pd.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise _no_manifest(path) from None
    except pa.ArrowInvalid as error:
        raise _broken_manifest(path) from error


def read_class_folders(path: Path) -> list[str]:
    """Every class folder that the scan saw, also those without an image. Raises as :func:`read_manifest`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
    except FileNotFoundError:
        raise _no_manifest(path) from None
    except pa.ArrowInvalid as error:
        raise _broken_manifest(path) from error
    if _CLASSES_KEY not in metadata:
        raise _broken_manifest(path)
    return list(json.loads(metadata[_CLASSES_KEY]))


def _no_manifest(path: Path) -> GraftError:
    return GraftError(f"There is no manifest at {path}", "Make it with `dvc repro validate`")


def _broken_manifest(path: Path) -> GraftError:
    return GraftError(
        f"{path} is not a manifest, or not a whole one", "Make it anew with `dvc repro -f validate`"
    )


def _inspect(path: Path, layout: Layout, max_pixels: int) -> dict[str, Any]:
    """The manifest's row for one file."""
    name = path.relative_to(layout.root).as_posix()
    label, split = layout.place(path)
    row: dict[str, Any] = {
        "path": _storable(name),
        "label": _storable(label),
        "split": split,
        "width": 0,
        "height": 0,
        "mode": "",
        "format": "",
        "bytes": 0,
        "sha256": "",
        "problem": "",
        "phash": "",
        "thumbnail": b"",
        "brightness": 0.0,
        "sharpness": 0.0,
    }
    try:
        _fill_from_file(row, path, max_pixels)
        if row["path"] != name:
            raise UnreadableImageError("the file's name, or a folder's, is not valid UTF-8")
    except OSError as error:
        row["problem"] = f"cannot be opened: {error.strerror or error}"
    except ValueError as error:
        # UnreadableImageError, and Pillow's refusal to convert a kind of pixels to RGB.
        row["problem"] = str(error)
    return row


def _fill_from_file(row: dict[str, Any], path: Path, max_pixels: int) -> None:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        # Reading a named pipe would wait for ever.
        raise UnreadableImageError("not a regular file")
    row["bytes"] = status.st_size
    if status.st_size > _BYTES_PER_PIXEL * max_pixels + _METADATA_BYTES:
        raise UnreadableImageError(f"{status.st_size} bytes are more than {max_pixels} pixels can need")
    data = path.read_bytes()
    row["sha256"] = hashlib.sha256(data).hexdigest()
    image = open_image(data, max_pixels)
    row["width"], row["height"] = image.size
    row["mode"], row["format"] = image.mode, image.format
    row.update(vars(fingerprint(to_rgb(image))))


def _storable(name: str) -> str:
    """The name itself, or with escapes where it holds bytes that are not UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _class_folders(layout: Layout) -> list[str]:
    parents = [layout.root / name for name in layout.split_folders] or [layout.root]
    return sorted(
        {
            _storable(entry.name)
            for parent in parents
            for entry in parent.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        }
    )


def _in_order(function: Callable[[Path], dict[str, Any]], paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """``function`` of every path, computed in threads, given back in the order of ``paths``.

    Decoding and hashing release the interpreter's lock. Only a window of calls is under way at any time, so
    that neither paths nor results pile up.
    """
    threads = min(os.cpu_count() or 1, _MAX_THREADS)
    pending: deque[Future[dict[str, Any]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="scan")
    try:
        for path in paths:
            pending.append(pool.submit(function, path))
            if len(pending) >= 8 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _groups(rows: Iterable[dict[str, Any]], size: int, advance: Advance) -> Iterator[list[dict[str, Any]]]:
    """Rows in lists of ``size``; reports each row as done."""
    group: list[dict[str, Any]] = []
    for row in rows:
        group.append(row)
        advance(1)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _schema(classes: list[str]) -> pa.Schema:
    import pyarrow as pa

    fields = [pa.field(name, getattr(pa, kind)(), nullable=False) for name, kind in _COLUMNS.items()]
    return pa.schema(fields, metadata={_CLASSES_KEY: json.dumps(classes, ensure_ascii=False).encode()})
