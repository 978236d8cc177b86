"""Images inside Parquet files, as Hugging Face stores data sets: data/train-00000-of-00001.parquet."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from graft.core.errors import GraftError
from graft.data.folder.layout import folder_problem
from graft.data.folder.split_folders import split_in
from graft.data.sources.readers.lists import LABELS
from graft.data.sources.readers.reader import Images, Plan
from graft.data.sources.table_rows import parquet_rows

_ROWS = 64  # of images in memory at a time
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PN": ".png", b"GIF": ".gif", b"BM": ".bmp", b"II*": ".tif", b"RIF": ".webp"}


@dataclass(frozen=True)
class ParquetImages:
    """A feed of the images in Parquet files; see the module's text.

    Attributes:
        paths: the files, with the columns of images and of labels in each, and the names of its class numbers.
    """

    paths: dict[Path, tuple[str, str, tuple[str, ...]]]

    def open(self, stack: ExitStack, limit: int) -> Plan:
        """Return the plan; see :class:`graft.data.sources.feeds.Feed`.

        Raises:
            GraftError: a file is damaged, or a label cannot be a folder's name.
        """
        sizes = {name: len(data) for name, data in self._images()}
        notes = [
            f"{path.name}: images of column {image}, labels of {label}"
            for path, (image, label, _) in self.paths.items()
        ]
        return Plan(sizes, self._pieces, notes=tuple(notes[:3]))

    def _pieces(self) -> Images:
        for name, data in self._images():
            yield name, [data]

    def _images(self) -> Iterator[tuple[str, bytes]]:
        splits = Counter(split_in(path.name) for path in self.paths)
        keep = "train" in splits and len(splits) > 1 and "" not in splits
        for path, (image, label, names) in self.paths.items():
            for number, row in enumerate(parquet_rows(str(path), path, [image, label], _ROWS), 1):
                cell, found = row[image], row[label]
                data = cell.get("bytes") if isinstance(cell, dict) else cell
                numbered = isinstance(found, int) and 0 <= found < len(names)
                text = names[found] if numbered else str(found if found is not None else "").strip()
                problem = folder_problem(text) if data else "there are no bytes of an image"
                if problem or not data:
                    raise GraftError(f"{path}, row {number}, label '{text}': {problem}", "Correct that row")
                split = split_in(path.name) if keep else ""
                suffix = next((kind for start, kind in _SUFFIXES.items() if data.startswith(start)), "")
                yield "/".join(filter(None, (split, text, f"{path.stem}-{number:06}{suffix}"))), data


def parquet_images(path: Path) -> ParquetImages | None:
    """Return the feed of a Parquet file, or a folder of them, with images and labels inside; None where it is none."""
    files = [path] if path.is_file() else sorted({*path.glob("*.parquet"), *path.glob("*/*.parquet")})
    found = {file: columns for file in files if file.suffix == ".parquet" and (columns := _columns(file))}
    return ParquetImages(found) if found else None


def _columns(path: Path) -> tuple[str, str, tuple[str, ...]] | None:
    import pyarrow.parquet as pq
    import pyarrow.types as kinds

    try:
        schema = pq.read_schema(path)
    except Exception:  # its reader raises all kinds on damaged files
        return None
    images = [
        field.name
        for field in schema
        if kinds.is_binary(field.type) or (kinds.is_struct(field.type) and field.type.get_field_index("bytes") >= 0)
    ]
    labels = [name for name in (*LABELS, "fine_label") if name in schema.names and name not in images]
    if len(images) != 1 or not labels or "path" in schema.names:  # graft's own table names files
        return None
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = tuple(map(str, features[labels[0]]["names"]))
    except (KeyError, TypeError, ValueError):
        names = ()
    return images[0], labels[0], names
