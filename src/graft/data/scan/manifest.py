"""The manifest: one row for every image file, made by :func:`graft.data.scan.scan_images.scan`.

Columns of the Parquet file:

    path     string  relative to data/, with forward slashes
    label    string  the class folder's name
    split    string  train, val or test where the data brings an official split, else ""
    group    string  what the data itself says the image belongs to (:mod:`graft.data.folder.layout`), or ""
    width    int32   pixels as stored, before an EXIF rotation; 0 where no header could be read
    height   int32   likewise
    mode     string  Pillow's name for the kind of pixels (RGB, RGBA, L, P, CMYK, I;16, ...), or ""; where a sample has
                     16 bits and its values take fewer, for example "I;16 of 12 bits"
    format   string  Pillow's name for the file's format (JPEG, PNG, ...), or ""
    bytes    int64   size of the file
    sha256   string  of the file's bytes, 64 hex digits; "" where the bytes could not be had
    left_out string  "" for an image that takes part, else why it does not: "kind: what was found"
                     (:mod:`graft.data.scan.leaving_out`). Who reads a manifest takes the images where it is ""
    phash, thumbnail, brightness, sharpness
             string, binary, float32, float32  see :class:`graft.data.scan.fingerprint.Fingerprint`; "", b"", 0 and 0
             where the image cannot be read

The order of rows is the order of :func:`graft.data.folder.layout.image_files`, and equal data gives equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graft.core.errors import GraftError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_COLUMNS = {
    "path": "string",
    "label": "string",
    "split": "string",
    "group": "string",
    "width": "int32",
    "height": "int32",
    "mode": "string",
    "format": "string",
    "bytes": "int64",
    "sha256": "string",
    "left_out": "string",
    "phash": "string",
    "thumbnail": "binary",
    "brightness": "float32",
    "sharpness": "float32",
}
_CLASSES_KEY = b"graft.classes"


# What a split needs to know of an image: a fifth of what a manifest holds without thumbnails.
FOR_SPLIT = ("path", "label", "split", "group", "sha256", "left_out")


def read_manifest(path: Path, thumbnails: bool = False, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the manifest as a table with the columns of this module's text; strings are never null.

    Args:
        thumbnails: also load their column, which is larger than all others together.

    Raises:
        GraftError: there is no manifest at ``path``, or it is not a whole Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
        if "left_out" not in names:  # of a version before
            raise _broken_manifest(path)
        there = [name for name in names if thumbnails or name != "thumbnail"]
        wanted = there if columns is None else [name for name in there if name in columns]
        # Read by one thread, not ahead, and given away: all else holds the table twice.
        table = pq.read_table(path, columns=wanted, use_threads=False, pre_buffer=False)
        return table.to_pandas(self_destruct=True, split_blocks=True, use_threads=False)
    except FileNotFoundError:
        raise _no_manifest(path) from None
    except pa.ArrowInvalid as error:
        raise _broken_manifest(path) from error


def read_class_folders(path: Path) -> list[str]:
    """Return every class folder that the scan found, also those without an image. Raises as :func:`read_manifest`."""
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
    return GraftError(f"{path} is not a manifest, or not a whole one", "Make it anew with `dvc repro -f validate`")


def schema(classes: list[str]) -> pa.Schema:
    """Return the schema of the manifest's Parquet file; its metadata names every class folder, also the empty ones."""
    import pyarrow as pa

    fields = [pa.field(name, getattr(pa, kind)(), nullable=False) for name, kind in _COLUMNS.items()]
    return pa.schema(fields, metadata={_CLASSES_KEY: json.dumps(classes, ensure_ascii=False).encode()})
