"""Tables beside images that say what these are: labels.csv, train.txt, metadata.jsonl, annotations.json.

As they are published: columns of many names, file names without folder or suffix, a column for each class, class
numbers with a file of names, lists without a header, COCO's annotations.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from graft.core.errors import GraftError
from graft.data.archives.name_encoding import read_name
from graft.data.folder.layout import group_folder
from graft.data.folder.photographs import suffix_of
from graft.data.folder.split_folders import split_in, split_of
from graft.data.sources.readers.reader import Files

SUFFIXES = (".csv", ".tsv", ".txt", ".lst", ".list", ".json", ".jsonl")
# Names of columns without case and signs, the likeliest first.
PATHS = (
    *("path", "filepath", "imagepath", "imgpath", "filename", "imagename", "imgname", "image", "img", "file"),
    *("imagefile", "imageid", "imgid", "idcode", "id", "name", "photo", "picture"),
)
LABELS = (
    *("label", "labels", "class", "classname", "classlabel", "category", "categoryname", "target", "tag", "species"),
    *("breed", "diagnosis", "dx", "labelname", "classid", "categoryid", "labelid", "id"),
)
_SPLITS = ("split", "set", "subset", "partition")
_NAMES_OF_CLASSES = ("classes.txt", "class_names.txt", "labels.txt", "label_names.txt", "classes.names", "names.txt")
_LARGEST = 100_000_000  # bytes of a table that is read
ENOUGH = 0.9  # of a table's rows that have to name an image, for it to be one of these images
_TRIED = 50  # rows that decide which column has the images


class ImagePlace(NamedTuple):
    """Where an image belongs in data/: its split, ``""`` without one, its class, and the folder of its group."""

    split: str
    label: str
    group: str


class UnsaidError(GraftError):
    """A table that does not say of images what they are."""


@dataclass(frozen=True)
class Listed:
    """What tables say of images.

    Attributes:
        places: split, label and group of each image that they name, by its name.
        notes: which tables were read and how, and how many rows name no image, a sentence each.
        tables: their names.
    """

    places: Mapping[str, ImagePlace]
    notes: tuple[str, ...]
    tables: tuple[str, ...]


@dataclass(frozen=True)
class _Columns:
    """Which cells of a table's rows say what; -1 where none does. ``classes`` are a column each, by position."""

    path: int
    label: int
    split: int = -1
    group: int = -1
    classes: Mapping[int, str] | None = None
    words: str = ""

    def label_in(self, cells: Sequence[str]) -> str:
        if self.classes is None:
            return cells[self.label] if self.label < len(cells) else ""
        marked = [name for place, name in self.classes.items() if place < len(cells) and _is_one(cells[place])]
        return marked[0] if len(marked) == 1 else ""


class _Finder:
    """The images by the ends of their names, with and without their suffix."""

    def __init__(self, images: Sequence[str]) -> None:
        self._whole: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        for name in images:
            last = name.rpartition("/")[2].casefold()
            self._whole.setdefault(last, []).append(name)
            self._stems.setdefault(last.rpartition(".")[0] or last, []).append(name)

    def find(self, text: str, table: str) -> str:
        """Return the one image that a cell of a table names; ``""`` where none is, or several are."""
        parts = [part for part in re.split(r"[\\/]+", text.casefold()) if part not in ("", ".")]
        if not parts or not text.isprintable() or any(part[0] == "." or len(part) > 255 for part in parts):
            return ""
        found = self._whole.get(parts[-1]) or self._stems.get(parts[-1], [])
        if len(found) < 2:
            return found[0] if found else ""
        shared = {name: _shared(name.casefold().split("/")[-2::-1], parts[-2::-1]) for name in found}
        found = [name for name in found if shared[name] == max(shared.values())]
        split, folder = split_in(table), table.rpartition("/")[0]
        for narrower in (
            [name for name in found if split and split in map(split_in, name.split("/")[:-1])],
            [name for name in found if name.startswith(f"{folder}/")],
        ):
            found = narrower if narrower and len(found) > 1 else found
        return found[0] if len(found) == 1 else ""


def listed(
    files: Files, images: Sequence[str], table: str = "", encoding: str | None = None, enough: float = ENOUGH
) -> Listed | None:
    """Return what tables among the files say of images, or None where none says it of most that it names.

    A table whose rows contradict each other, such as one of several labels for an image, is none.

    Args:
        images: names of all images among the files.
        table: the one that is asked; by default all that can be read as one.
        encoding: of tables that are not in UTF-8.
        enough: share of a table's rows that have to name an image.

    Raises:
        UnsaidError: two tables say different things of an image; or none says what images are, and one names them.
    """
    finder = _Finder(images)
    sizes = files.sizes
    names = (
        [table]
        if table
        else [
            name
            for name, size in sizes.items()
            if suffix_of(name) in SUFFIXES and size < _LARGEST and "submission" not in name.casefold()
        ]
    )
    found: dict[str, tuple[dict[str, ImagePlace], str]] = {}
    doubts: list[tuple[str, str]] = []
    for name, stream in files.open(names):
        rows = list(_rows(name, _text(stream.read())))
        columns = _columns(rows, finder, name)
        read = _read(rows, columns, finder, name, enough) if columns else None
        if isinstance(read, str):
            doubts.append((name, read))
        elif columns and read:
            found[name] = (read[0], f"{columns.words}{read[1]}")
    with_split = {name for name, (places, _) in found.items() if all(split for split, _, _ in places.values())}
    found = {name: one for name, one in found.items() if not with_split or name in with_split}
    places: dict[str, ImagePlace] = {}
    for table, (read_places, _) in found.items():
        if odd := next((name for name, place in read_places.items() if places.get(name, place) != place), ""):
            raise UnsaidError(
                f"The tables {', '.join(found)} in {files.where} contradict each other, for example on '{odd}'",
                f"Name the one to take: graft data import {quote(f'{files.where}/{table}')}",
            )
        places |= read_places
    if not places and doubts:
        name, why = doubts[0]
        raise UnsaidError(
            f"'{name}' in {files.where} names the images, but {why}",
            f"Give it one column called label, and: graft data import {quote(f'{files.where}/{name}')}",
        )
    if not places:
        return None
    labels = {label: read_name(label, encoding, Path(next(iter(found)))) for _, label, _ in places.values()}
    labels = _class_names(files, labels)
    splits = {split for split, _, _ in places.values()}
    keep = "train" in splits and len(splits) > 1
    notes = tuple(f"Labels are those of {name.rpartition('/')[2]}{words}" for name, (_, words) in found.items())
    return Listed(
        {
            name: ImagePlace(split if keep else "", labels[label], group)
            for name, (split, label, group) in places.items()
        },
        notes,
        tuple(found),
    )


def _read(
    rows: Sequence[Sequence[str]], columns: _Columns, finder: _Finder, table: str, enough: float
) -> tuple[dict[str, ImagePlace], str] | str | None:
    """Return the place of each image that a table names, and what to say of rows that name none.

    Returns:
        Why it does not say what images are, where it names some; None where it names too few.
    """
    if columns.classes == {}:
        return columns.words
    places: dict[str, ImagePlace] = {}
    missing = []
    split = split_in(table) or next(filter(None, map(split_in, table.split("/")[-2::-1])), "")
    for cells in rows:
        path, label = cells[columns.path] if columns.path < len(cells) else "", columns.label_in(cells)
        name = finder.find(path, table)
        if not name or not label:
            missing.append(path)
            continue
        own = split_of(cells[columns.split]) if 0 <= columns.split < len(cells) else split
        group = group_folder(cells[columns.group]) if 0 <= columns.group < len(cells) and cells[columns.group] else ""
        place = ImagePlace(own, label, group)
        if places.setdefault(name, place) != place:
            return f"it gives '{name}' more than one label"
    if len(missing) > (1 - enough) * len(rows):
        return None
    rest = f"; {len(missing):,} of its rows name no image and label, for example '{missing[0]}'" if missing else ""
    return places, rest


def _columns(rows: list[list[str]], finder: _Finder, table: str) -> _Columns | None:
    """Return which columns say what, and take the header off the rows; None where no column names images."""
    width = max(map(len, rows[: _TRIED + 1]), default=0)
    tried = rows[1 : _TRIED + 1] or rows
    hits = [
        sum(bool(place < len(cells) and finder.find(cells[place], table)) for cells in tried) for place in range(width)
    ]
    named = [place for place in range(width) if hits[place] >= ENOUGH * len(tried)]
    if not named:
        return None
    if any(place < len(rows[0]) and finder.find(rows[0][place], table) for place in named):
        return _Columns(named[0], named[0] + 1) if named[0] + 1 < width else None
    header, keys = rows[0], [re.sub(r"[\W_]+", "", cell.casefold()) for cell in rows[0]]
    del rows[0]

    def place_of(aliases: Sequence[str], but: int = -1) -> int:
        return next((keys.index(key) for key in aliases if key in keys and keys.index(key) != but), -1)

    path = next((keys.index(key) for key in PATHS if key in keys and keys.index(key) in named), named[0])
    label = place_of(LABELS, path)
    split, group = place_of(_SPLITS, path), place_of(("group",), path)
    if label < 0 and len(keys) == 2:
        label = 1 - path
    if label >= 0:
        return _Columns(path, label, split, group, None, f", columns {header[path]} and {header[label]}")
    marks = {
        place: header[place]
        for place in range(len(header))
        if place not in (path, split, group) and all(len(cells) > place and _is_mark(cells[place]) for cells in rows)
    }
    words = f", column {header[path]} and one for each of {len(marks)} classes"
    if len(marks) > 1:
        return _Columns(path, -1, split, group, marks, words)
    unknown = f"none of its columns is known to say the class: {', '.join(header)}"
    return _Columns(path, -1, classes={}, words=unknown) if len(header) > 1 else None


def _rows(name: str, text: str) -> Iterator[list[str]]:
    """Yield the cells of a table's rows, the header first where it has one."""
    suffix = suffix_of(name)
    if suffix in (".json", ".jsonl"):
        try:
            content = (
                [json.loads(line) for line in text.splitlines() if line] if suffix == ".jsonl" else json.loads(text)
            )
        except (ValueError, RecursionError):
            return
        yield from _rows_of_json(content)
        return
    if text[:4].lower() == "sep=":  # for Excel alone
        text = text.partition("\n")[2]
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    if separator not in first:
        lines = text.splitlines() if suffix in (".txt", ".lst", ".list") else []
        yield from (_words(line) for line in lines if line.strip() and not line.startswith("#"))
        return
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True):
            if any(cells):
                yield [cell.strip() for cell in cells]
    except csv.Error:
        return


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
        cells = [one.get(key, "") for key in keys]
        yield ["" if isinstance(cell, dict | list) or cell is None else str(cell).strip() for cell in cells]


def _class_names(files: Files, labels: dict[str, str]) -> dict[str, str]:
    """Return the labels, or where all are numbers and a file has as many names, these."""
    name = files.find(*_NAMES_OF_CLASSES)
    if name is None or not all(label.isdecimal() for label in labels):
        return labels
    text = "".join(_text(stream.read()) for _, stream in files.open([name]))
    lines = [re.sub(r"^\d+[\s,:]+", "", line.strip()) for line in text.splitlines() if line.strip()]
    first = min(map(int, labels))
    if first > 1 or max(map(int, labels)) - first != len(lines) - 1:
        return labels
    return {label: lines[int(label) - first] for label in labels}


def _text(data: bytes) -> str:
    """Return a table's text: what its mark says, else UTF-8; other bytes stay as they are, as surrogates."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def _shared(folders: Sequence[str], others: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(folders, others, strict=False)))


def _is_one(cell: str) -> bool:
    return cell in ("1", "1.0", "True", "true")


def _is_mark(cell: str) -> bool:
    return _is_one(cell) or cell in ("0", "0.0", "False", "false")
