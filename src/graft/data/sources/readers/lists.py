"""Tables beside images that say what these are: labels.csv, train.txt, metadata.jsonl, annotations.json.

As they are published: columns of many names, file names without folder or suffix, a column for each class, class
numbers with a file of names, lists without a header, what MATLAB and labelling tools write
(:mod:`graft.data.sources.table_rows`). Where folders say the classes, lists of train and test still say the split.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from shlex import quote
from typing import IO, NamedTuple

from graft.core.errors import GraftError
from graft.data.archives.name_encoding import read_name
from graft.data.folder.layout import group_folder
from graft.data.folder.photographs import suffix_of
from graft.data.folder.split_folders import split_in, split_of
from graft.data.sources.readers.class_names import names_of_numbers
from graft.data.sources.readers.reader import Files
from graft.data.sources.table_rows import LARGEST_TABLE, LISTS, SUFFIXES, rows_of

# Names of columns without case and signs, the likeliest first.
_PATHS = (
    *("path", "filepath", "imagepath", "imgpath", "filename", "imagename", "imgname", "image", "img", "file"),
    *("imagefile", "imageid", "imgid", "idcode", "id", "name", "photo", "picture"),
    *("fname", "relativeimpath", "filelist"),
)
LABELS = (
    *("label", "labels", "class", "classname", "classlabel", "category", "categoryname", "target", "tag", "species"),
    *("breed", "diagnosis", "dx", "choice", "labelname", "classid", "categoryid", "labelid", "id"),
)
_SPLITS = ("split", "set", "subset", "partition")
_FLAGS = {"test": "test", "istest": "test", "isvalid": "val", "isval": "val"}  # columns of 0 and 1, beside train
ENOUGH = 0.9  # of a table's rows that have to name an image, for it to be one of these images
_TRIED = 50  # rows that decide which column has the images
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before a file's name
_MARKS = {"1": True, "1.0": True, "True": True, "true": True, "0": False, "0.0": False, "False": False, "false": False}


class ImagePlace(NamedTuple):
    """Where an image belongs in data/: its split, ``""`` without one, its class, and the folder of its group."""

    split: str
    label: str
    group: str


class UnsaidError(GraftError):
    """A table that does not say of images what they are."""


@dataclass(frozen=True)
class Listed:
    """The findings of tables on images.

    Attributes:
        places: split, label and group of each image that they name, by its name.
        notes: which tables were read and how, and how many rows name no image, a sentence each.
        tables: their names.
    """

    places: Mapping[str, ImagePlace]
    notes: tuple[str, ...]
    tables: tuple[str, ...]


class _Columns(NamedTuple):
    """Which cells of a table's rows say what; -1 where none does. ``classes`` are a column each, by position."""

    path: int
    label: int = -1
    split: int = -1
    group: int = -1
    flag: str = ""
    classes: Mapping[int, str] = {}
    words: str = ""

    def labels_in(self, cells: Sequence[str]) -> list[str]:
        marked = [name for place, name in self.classes.items() if _MARKS.get(cells[place])]
        return marked or [cells[self.label]]

    def split_in(self, cells: Sequence[str]) -> str:
        cell = cells[self.split]
        return (self.flag if _MARKS.get(cell) else "train") if self.flag else split_of(cell)


class _Finder:
    """The images by the ends of their names, with and without their suffix."""

    def __init__(self, images: Sequence[str]) -> None:
        self._found: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        for name in images:
            # With the folder around it too: every class may have a 1.jpg, and each row would be held against all.
            *folders, last = name.casefold().split("/")
            for around in {"", *(f"{folder}/" for folder in folders[-1:])}:
                self._found.setdefault(around + last, []).append(name)
                self._stems.setdefault(around + (last.rpartition(".")[0] or last), []).append(name)

    def is_note(self, name: str) -> bool:
        """Return whether a file is called as an image: of a note on one image there may be a hundred thousand."""
        return name.rpartition("/")[2].casefold().rpartition(".")[0] in self._stems

    def find(self, text: str, table: str) -> str:
        """Return the one image that a cell of a table names; ``""`` where none is, or several are."""
        parts = [part for part in re.split(r"[\\/]+", text.casefold()) if part not in ("", ".")]
        if not parts or not text.isprintable() or any(part[0] == "." or len(part) > 255 for part in parts):
            return ""
        for end in ("/".join(parts[-2:]), parts[-1], _UPLOADED.sub("", parts[-1])):
            if found := self._found.get(end) or self._stems.get(end, []):
                break
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
    files: Files,
    images: Sequence[str],
    table: str = "",
    encoding: str | None = None,
    enough: float = ENOUGH,
    known: Mapping[str, str] | None = None,
) -> Listed | None:
    """Return what tables among the files say of images, or None where none says it of most that it names.

    A table whose rows contradict each other, such as one of several labels for an image, is none.

    Args:
        images: names of all images among the files.
        table: the one that is asked; by default all that can be read as one.
        encoding: of tables that are not in UTF-8.
        enough: share of a table's rows that have to name an image.
        known: class of each image, where folders say it; tables are asked for the split alone then.

    Raises:
        UnsaidError: two tables say different things of an image; or none says what images are, and one names them.
    """
    finder = _Finder(images)
    names = [table] if table else [name for name, size in files.sizes.items() if _may_be_table(name, size)]
    if known:  # an archive is not unpacked once more for a README.txt
        said_by_name = {name for name in names if any(map(split_in, name.split("/"))) or suffix_of(name) not in LISTS}
        names = [name for name in names if name in said_by_name and not finder.is_note(name)]
    found: dict[str, tuple[dict[str, ImagePlace], str]] = {}
    doubts: list[tuple[str, str]] = []
    for name, stream in files.open(names):
        rows = _rows(name, stream)
        whole = [[" ".join(cells)] for cells in rows]  # of a list of paths that hold blanks
        said = _said(rows, finder, name, enough, known) or (known and _said(whole, finder, name, enough, known))
        if isinstance(said, str):
            doubts.append((name, said))
        elif said:
            found[name] = said
    with_split = {name for name, (places, _) in found.items() if all(place.split for place in places.values())}
    if any(split_in(name) == "train" and "trainval" not in name.casefold() for name in with_split):
        with_split = {name for name in with_split if "trainval" not in name.casefold()}  # train and val once more
    found = {name: one for name, one in found.items() if name in with_split or not (with_split or known)}
    places: dict[str, ImagePlace] = {}
    for table, (read_places, _) in found.items():
        if odd := next((name for name, place in read_places.items() if places.get(name, place) != place), ""):
            raise UnsaidError(
                f"The tables {', '.join(found)} in {files.where} contradict each other, for example on '{odd}'",
                f"Name the one to take: graft data import {quote(f'{files.where}/{table}')}",
            )
        places |= read_places
    if not places and doubts and not known:
        name, why = doubts[0]
        raise UnsaidError(
            f"'{name}' in {files.where} names the images, but {why}",
            f"Give it one column called label, and: graft data import {quote(f'{files.where}/{name}')}",
        )
    if not places:
        return None
    names_said = "The split is that" if known else "Labels are those"
    labels = {label: read_name(label, encoding, Path(next(iter(found)))) for _, label, _ in places.values()}
    labels = labels if known else names_of_numbers(files, labels)
    places = {name: place._replace(label=labels[place.label]) for name, place in places.items()}
    notes = tuple(f"{names_said} of {name.rpartition('/')[2]}{words}" for name, (_, words) in found.items())
    return Listed(with_whole_splits(places), notes, tuple(found))


def with_whole_splits(places: Mapping[str, ImagePlace]) -> dict[str, ImagePlace]:
    """Return the places, without their splits where train is none of them, or the only one."""
    splits = {place.split for place in places.values()}
    keep = "train" in splits and len(splits) > 1
    return {name: place if keep else place._replace(split="") for name, place in places.items()}


def _may_be_table(name: str, size: int) -> bool:
    return suffix_of(name) in SUFFIXES and size < LARGEST_TABLE and "submission" not in name.casefold()


def _said(
    rows: list[list[str]], finder: _Finder, table: str, enough: float, known: Mapping[str, str] | None
) -> tuple[dict[str, ImagePlace], str] | str | None:
    """Return the place of each image that a table names, and how it was read.

    Returns:
        Why it does not say what images are, where it names some; None where it names too few.
    """
    columns = _columns(rows, finder, table, known is not None)
    if columns is None or isinstance(columns, str):
        return columns
    places: dict[str, ImagePlace] = {}
    missing: list[str] = []
    several: list[str] = []
    split = split_in(table) or next(filter(None, map(split_in, table.split("/")[-2::-1])), "")
    for cells in rows:
        name = finder.find(cells[columns.path], table)
        labels = [known.get(name, "")] if known else columns.labels_in(cells)
        if not name or not labels[0] or len(labels) > 1:
            several = several or (labels[1:] and labels)
            missing.append(cells[columns.path])
            continue
        own = columns.split_in(cells) if columns.split >= 0 else split
        place = ImagePlace(own, labels[0], group_folder(cells[columns.group]) if cells[columns.group] else "")
        if places.setdefault(name, place) != place:
            return f"it gives '{name}' more than one label"
    if len(missing) > (1 - enough) * len(rows):
        return _of_several(several) if several else None
    rest = f"; {len(missing):,} of its rows name no image and label, for example '{missing[0]}'" if missing else ""
    return places, f"{columns.words}{rest}"


def _of_several(labels: Sequence[str]) -> str:
    return f"it gives images several classes, such as {' and '.join(labels)}: graft gives each one"


def _columns(rows: list[list[str]], finder: _Finder, table: str, without_label: bool) -> _Columns | str | None:
    """Return which columns say what, and take the header off the rows.

    Returns:
        Why none is known to say the class; None where no column names images.
    """
    width = max(map(len, rows[: _TRIED + 1]), default=0)
    # Each row as long as the widest and an empty cell at its end, which a column of -1 is.
    rows[:] = [[*cells, *[""] * (width - len(cells)), ""] for cells in rows]
    tried = rows[1 : _TRIED + 1] or rows
    hits = [sum(bool(finder.find(cells[place], table)) for cells in tried) for place in range(width)]
    named = [place for place in range(width) if hits[place] >= ENOUGH * len(tried)]
    if not named:
        return None
    if any(finder.find(rows[0][place], table) for place in named):
        path = max(named, key=lambda place: bool(re.search(r"[./\\]", rows[0][place])))  # else a row's number
        others = [place for place in range(width) if place != path]
        split = next((place for place in others if all(split_of(cells[place]) for cells in rows)), -1)
        label = next((place for place in (path + 1, path - 1) if place in others and place != split), -1)
        behind = ([cell for cell in cells[label:] if not re.fullmatch(r"[\d.]*", cell)] for cells in rows)
        if split >= 0 and label > path and (several := next((words for words in behind if len(words) > 1), None)):
            return _of_several(several)  # AutoML's
        return _Columns(path, label, split) if label >= 0 or without_label else None
    header = rows.pop(0)[:-1]
    keys = [re.sub(r"[\W_]+", "", cell.casefold()) for cell in header]

    def place_of(aliases: Sequence[str], among: Sequence[int]) -> int:
        return next((keys.index(key) for key in aliases if key in keys and keys.index(key) in among), -1)

    path = place_of(_PATHS, named)
    path = path if path >= 0 else named[0]
    others = [place for place in range(width) if place != path and header[place]]
    label = others[0] if len(others) == 1 else place_of(LABELS, others)
    split, group = place_of(_SPLITS, others), place_of(("group",), others)
    flag = ""
    if split < 0 and (split := place_of(tuple(_FLAGS), others)) >= 0:
        flag = _FLAGS[keys[split]] if label >= 0 and all(cells[split] in _MARKS for cells in rows) else ""
        split = split if flag else -1
    if label >= 0 or without_label:
        names = [header[path], *[header[place] for place in [split if without_label else label] if place >= 0]]
        return _Columns(path, label, split, group, flag, words=f", columns {' and '.join(names)}")
    marks = [place for place in others if place not in (split, group) and all(cells[place] in _MARKS for cells in rows)]
    if len(marks) > 1:
        words = f", column {header[path]} and one for each of {len(marks)} classes"
        return _Columns(path, -1, split, group, classes={place: header[place] for place in marks}, words=words)
    return f"none of its columns is known to say the class: {', '.join(header)}" if others else None


def _rows(name: str, stream: IO[bytes]) -> list[list[str]]:
    """Return a table's rows, up to where it is damaged."""
    rows: list[list[str]] = []
    with suppress(GraftError):
        rows.extend(cells for _, cells in rows_of(name, stream))
    return rows


def _shared(folders: Sequence[str], others: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(folders, others, strict=False)))
