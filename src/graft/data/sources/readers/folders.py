"""Class folders, with or without split folders around them; image files are taken as they are.

Where folders do not say the classes, tables beside the images are asked (:mod:`graft.data.sources.readers.lists`), or,
where the user says so, the images' own names: cat.1.jpg.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from shlex import quote
from typing import Literal

from pydantic import Field

from graft.bundle.images import SUFFIXES
from graft.core.errors import GraftError
from graft.data.folder.layout import folder_problem, name_instead
from graft.data.folder.photographs import LEFTOVER, NOTES, UNREAD, by_suffix, images_among, no_notes, suffix_of
from graft.data.folder.split_folders import FEW, are_parts, arrange, split_folders
from graft.data.sources.readers.birds import BirdsReader
from graft.data.sources.readers.file_names import labels_in_names, numbers_as_names_say
from graft.data.sources.readers.flowers import FlowersReader
from graft.data.sources.readers.lists import ENOUGH, Listed, UnsaidError, listed
from graft.data.sources.readers.no_examples import no_examples
from graft.data.sources.readers.reader import Files, Plan, Reader
from graft.data.sources.table_rows import SPREADSHEETS

UNLABELLED = "in a split without class folders"  # as a reason why images are left out
LOOSE = "in no class folder"


@dataclass(frozen=True)
class _Said:
    """Where images belong in data/, why others are left out, notes for the user, and the tables that were read."""

    targets: dict[str, str]
    left: dict[str, str]
    notes: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


class FoldersReader(Reader):
    """Class folders.

    Attributes:
        folders: from a folder in the archives to a folder in data/ (``""`` for data/ itself); what lies outside
            is left out. Empty: everything, without the top folders that all images share.
        table: the table that says what the images are, whatever folders they lie in.
        whole: whether each of its rows has to name an image.
        by_name: whether their names say it.
        encoding: of tables that are not in UTF-8.
    """

    kind: Literal["folders"] = "folders"
    folders: dict[str, str] = Field(default_factory=dict)
    table: str = ""
    whole: bool = False
    by_name: bool = False
    encoding: str | None = None

    def fits(self, files: Files) -> bool:
        names = list(files.sizes)
        return bool(self.folders) and all(
            any(name.startswith(f"{prefix}/") for name in names) for prefix in self.folders
        )

    def plan(self, files: Files, classes: Sequence[str]) -> Plan:
        sizes = files.sizes
        images = images_among(sizes, files.read)
        if self.folders:
            targets = {name: target for name in images if (target := _mapped(name, self.folders))}
            _require_images(targets, files, f" in {', '.join(self.folders)}")
            return files.copy(targets)  # what was not named was not meant
        if self.table and not images:
            raise UnsaidError(f"There are no images beside or below {self.table}", "Put it into the folder around them")
        _require_images(images, files)
        if not (self.table or self.by_name):
            for reader in (BirdsReader(kind="birds"), FlowersReader(kind="flowers")):
                if reader.fits(files):
                    plan = reader.plan(files, classes)
                    note = f"Classes and split are those of {', '.join(reader.tables)}"
                    rest = len(images) - len(plan.sizes)
                    return replace(plan, notes=(f"{note}; {rest:,} images are in none of them" if rest else note,))
        aside = no_examples(images, sizes)
        images = [name for name in images if name not in aside]
        said = None if self.table or self.by_name else self._by_folders(files, images)
        hint = ""
        if said is None or not _has_classes(said.targets.values()):
            listed_or_named = self._by_lists_or_names(files, images)
            hint = "" if listed_or_named else self._hint(files, images)
            said = listed_or_named or said or _Said({}, {})
        elif are_parts({place.split("/")[0] for place in said.targets.values()}):  # no classes, where a table says so
            with suppress(UnsaidError):
                said = self._by_lists_or_names(files, images) or said
        elif not said.tables and _least_folders(said.targets.values()) == 1:
            said = _with_listed_split(files, said)
        plan = files.copy(said.targets)
        used = {*said.targets, *aside, *said.left, *said.tables}
        left_out = {**{name: "" for name in sizes if name not in used}, **files.left_out}
        depth = shared_folders(list(said.targets))
        if not hint:
            require_most_of_each_class(
                [name.split("/", depth)[-1] for name in said.targets],
                {name.split("/", depth)[-1]: why for name, why in left_out.items()},
            )
        return Plan(plan.sizes, plan.images, {**left_out, **aside, **said.left}, said.notes, hint=hint)

    def _by_folders(self, files: Files, images: list[str]) -> _Said:
        """Return what the folders say of images; tables say it of those in a split without class folders."""
        loose = _loose(images)
        depth = shared_folders([name for name in images if name not in loose])
        below = {name.split("/", depth)[depth]: name for name in images if name not in loose}
        places, unlabelled = arrange(list(below))
        found = None
        with suppress(UnsaidError):
            found = listed(files, [below[name] for name in unlabelled], encoding=self.encoding) if unlabelled else None
        if found:
            labels = {place.split("/")[1] for place in places.values() if place.count("/") > 1}
            tables = {below[name]: name for name in unlabelled}
            named = {tables[name]: _among(place.label, labels) for name, place in found.places.items()}
            if all(named.values()):
                for name, label in named.items():
                    places[name] = "/".join((name.split("/")[0], label, name.split("/")[-1]))
                unlabelled = [name for name in unlabelled if name not in named]
            else:
                found = None
        if unlabelled and len({place.split("/")[0] for place in places.values()}) == 1:  # train alone is no split
            train = shared_folders(list(places.values()))
            places = {name: place.split("/", train)[train] for name, place in places.items()}
        least = _least_folders(places.values())
        flat = [name for name, place in places.items() if place.count("/") < least]
        if len(flat) <= FEW * len(places):
            loose |= {below[name] for name in flat}
        return _Said(
            {below[name]: place for name, place in places.items() if below[name] not in loose},
            {below[name]: UNLABELLED for name in unlabelled} | dict.fromkeys(sorted(loose), LOOSE),
            found.notes if found else _doubt(files, images, depth),
            found.tables if found else (),
        )

    def _by_lists_or_names(self, files: Files, images: list[str]) -> _Said | None:
        """Return what tables beside the images, or their names, say of them; None where neither does."""
        found: Listed | None
        if self.by_name:
            found = Listed(labels_in_names(images), ("Labels are the files' names",), ())
        elif (found := listed(files, images, self.table, self.encoding, 1.0 if self.whole else ENOUGH)) is None:
            if self.table:
                raise UnsaidError(
                    f"{self.table} in {files.where} does not say of the images below its folder what they are",
                    "Give it a header with path and label, and a row for each image: images/1.jpg,cat",
                )
            return None
        if len({place.label for place in found.places.values()}) < 2 and not self.table:
            return None
        found = numbers_as_names_say(found)
        for name, place in found.places.items():
            if problem := folder_problem(place.label):
                raise GraftError(
                    f"'{name}' has the label '{place.label}', which cannot be a folder's name: {problem}",
                    name_instead(place.label),
                )
        short = {name: "/".join(filter(None, (*place, name.split("/")[-1]))) for name, place in found.places.items()}
        if len(set(short.values())) < len(short):
            short = {name: "/".join(filter(None, (*place, name))) for name, place in found.places.items()}
        return _Said(
            short, {name: _in_no_row(found) for name in images if name not in short}, found.notes, found.tables
        )

    def _hint(self, files: Files, images: list[str]) -> str:
        """Return what to do with images that lie in no classes: the one command, where there is one."""
        depth = shared_folders(images)
        inside = [name.split("/", depth)[depth] for name in images]
        if _has_classes([name for name in inside if "/" in name]):
            return "Move them into the folders of their classes, or out of the folder that is imported"
        if unread := next((name for name in files.sizes if suffix_of(name) in (*SPREADSHEETS, ".xml", ".mat")), ""):
            return f"If '{unread}' says the classes: graft cannot read it. Save it as CSV in UTF-8, and import that"
        labels = Counter(place.label for place in labels_in_names(images).values())
        if len(labels) > 1 and labels.total() >= 2 * len(labels) and labels.total() > len(images) / 2:
            few = ", ".join(f"{name} {count:,}" for name, count in labels.most_common(3))
            return (
                f"If their names say the class ({few}{', ...' if len(labels) > 3 else ''}): graft data import "
                f"{quote(files.where)} --labels-from-names"
            )
        return (
            "Put the images of each class, two classes at least, in a folder named after it, or write a table with the "
            "columns path and label: graft data import TABLE.csv"
        )


def _with_listed_split(files: Files, said: _Said) -> _Said:
    """Return what folders say, with the split that lists of most of the images give: train.txt and test.txt."""
    known = {name: place.split("/")[0] for name, place in said.targets.items()}
    try:
        found = listed(files, list(known), known=known)
    except UnsaidError as error:
        return replace(said, notes=(*said.notes, f"{error.what}: no split is taken from them"))
    if not found or not all(place.split for place in found.places.values()):
        return said
    names = " and ".join(name.split("/")[-1] for name in found.tables)
    if len(found.places) < ENOUGH * len(known):
        few = f"{names} name {len(found.places):,} of {len(known):,} images: no split is taken from them"
        return replace(said, notes=(*said.notes, few))
    targets = {name: f"{place.split}/{said.targets[name]}" for name, place in found.places.items()}
    left = {name: _in_no_row(found) for name in known if name not in targets}
    return _Said(targets, said.left | left, (*said.notes, *found.notes), found.tables)


def _in_no_row(found: Listed) -> str:
    tables = " and ".join(name.split("/")[-1] for name in found.tables)
    return f"in no row of {tables}" if tables else "without a class in the name"


def _least_folders(places: Iterable[str]) -> int:
    """Return how many folders an image lies in at least: those of its class and, where there are some, of its split."""
    return 2 if split_folders({place.split("/")[0] for place in places}) else 1


def _has_classes(places: Collection[str]) -> bool:
    """Return whether images lie in two class folders at least, none of them beside."""
    least = _least_folders(places)
    return (
        all(place.count("/") >= least for place in places)
        and len({place.split("/")[least - 1] for place in places}) > 1
    )


def _loose(images: Sequence[str]) -> set[str]:
    """Return the few images that lie in a folder around all others, beside the class folders."""
    shallow = min(map(_depth, images))
    few = {name for name in images if _depth(name) == shallow}
    rest = [name for name in images if name not in few]
    if len(few) > FEW * len(images) or shallow > shared_folders(rest):
        return set()
    return few if all(rest[0].startswith(name[: name.rfind("/") + 1]) for name in few) else set()


def _depth(name: str) -> int:
    return name.count("/")


def _among(label: str, labels: Collection[str]) -> str:
    """Return the class that a label means: itself, or the same number; ``""`` where there is none."""
    label = label.partition(" ")[0] if label not in labels else label  # n02084071 dog
    same = [one for one in labels if one.isdecimal() and label.isdecimal() and int(one) == int(label)]
    return label if label in labels else same[0] if len(same) == 1 else ""


def _doubt(files: Files, images: list[str], depth: int) -> tuple[str, ...]:
    """Return a note where what lies inside the classes reads more like classes than they do."""
    inside: dict[str, Counter[str]] = {}
    for name in images:
        parts = name.split("/")[depth:]
        if len(parts) > 1:
            inside.setdefault(parts[0], Counter())[parts[1] if len(parts) > 2 else ""] += 1
    nested = {top: kinds for top, kinds in inside.items() if len(kinds.keys() - {""}) > 1 and "" not in kinds}
    same = {frozenset(kinds) for kinds in nested.values()}
    if not nested or len(same) > 1 or split_folders(inside) or are_parts(inside):
        return ()
    if len(nested) < len(inside) and sum(sum(kinds.values()) for kinds in nested.values()) < (1 - FEW) * len(images):
        return ()
    top, kinds = next(iter(nested.items()))
    path = "/".join((*images[0].split("/")[:depth], top))
    command = (
        f"graft data import {quote(f'{files.where}/{path}')} --replace"
        if files.is_folder
        else f"unpack it and import {path}"
    )
    few = ", ".join(sorted(kinds)[:3]) + (", ..." if len(kinds) > 3 else "")
    return (f"In '{top}' lie the folders {few}: if these are the classes, {command}",)


def _require_images(images: Collection[str], files: Files, where: str = "") -> None:
    if images:
        return
    others = list(files.sizes)
    if records := next((name for name in others if ".tfrecord" in name.rpartition("/")[2]), ""):
        raise GraftError(
            f"{files.where} holds no images{where}, but TFRecord files, such as {records}, which graft does not read",
            "Have them written as photographs in class folders, or as Parquet",
        )
    but = f", but {by_suffix(others)}" if others else ": it is empty"
    unread = any(suffix_of(name) in UNREAD for name in others)
    raise GraftError(
        f"{files.where} holds no images{where}{but}",
        "Convert them to JPEG or PNG first"
        if unread
        else f"An image is a file that ends in one of {' '.join(sorted(SUFFIXES))}",
    )


def require_most_of_each_class(images: Sequence[str], left_out: Mapping[str, str]) -> None:
    """Pass where no class has more pictures that graft does not read than images.

    Notes beside the images, a text file for each, are no pictures.

    Args:
        images: names below the folders around all images.
        left_out: names of other files there, with the reason where it is not that they are no images.

    Raises:
        GraftError: names the class and what was left out of it, by suffix.
    """
    splits = split_folders({name.partition("/")[0] for name in images}).keys()

    def class_of(name: str) -> str:
        folders = name.split("/")[:-1]
        while len(folders) > 1 and folders[0] in splits:
            del folders[0]
        return folders[0] if folders else ""

    taken = Counter(class_of(name) for name in images)
    others = [name for name, why in left_out.items() if why != LEFTOVER and (why or suffix_of(name) not in NOTES)]
    meant = {*no_notes(others, images), *(name for name in others if left_out[name] or suffix_of(name) in UNREAD)}
    for label, count in sorted(Counter(class_of(name) for name in meant).items()):
        if label and count > taken[label]:
            lost = [name for name in others if class_of(name) == label]
            raise GraftError(
                f"The class '{label}' would lose most of its files: {by_suffix(lost)} are no images that graft reads, "
                f"and {taken[label]:,} are",
                "Convert them to JPEG or PNG (of a film, take single pictures), or move them out of the folder, and "
                "import it again",
            )


def _mapped(name: str, folders: Mapping[str, str]) -> str:
    for prefix, folder in folders.items():
        if name.startswith(f"{prefix}/"):
            rest = name.removeprefix(f"{prefix}/")
            return f"{folder}/{rest}" if folder else rest
    return ""


def shared_folders(names: Sequence[str]) -> int:
    """Return how many folders lie around all images: archive/rps/rock/1.png has two, if rock is one of several."""
    depth = 0
    folders = [name.split("/")[:-1] for name in names]
    # The innermost one is a class, however alone it is.
    while folders and all(len(path) > depth + 1 and path[depth] == folders[0][depth] for path in folders):
        depth += 1
    return depth
