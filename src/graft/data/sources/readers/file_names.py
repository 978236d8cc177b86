"""Read classes from the names of files: cat.1.jpg, american_bulldog_100.jpg, dog (3).jpg."""

import re
from collections.abc import Iterable
from dataclasses import replace

from graft.data.folder.split_folders import split_in
from graft.data.sources.readers.lists import ImagePlace, Listed, with_whole_splits

_NUMBERED = re.compile(r"(.*?[^\W\d_].*?)[\s._-]*(?:\(\d+\)|\d+)")  # cat.1, american_bulldog_100, dog (3)


def numbers_as_names_say(found: Listed) -> Listed:
    """Return what tables say, with class numbers as the files' names have them where each stands for one of these."""
    names = labels_in_names(found.places)
    pairs = {(place.label, names[name].label) for name, place in found.places.items() if name in names}
    numbers, words = dict(pairs), {word for _, word in pairs}
    if (
        len(names) < len(found.places)
        or not len(pairs) == len(numbers) == len(words)
        or not all(number.isdecimal() for number in numbers)
    ):
        return found
    return replace(found, places={n: place._replace(label=numbers[place.label]) for n, place in found.places.items()})


def labels_in_names(images: Iterable[str]) -> dict[str, ImagePlace]:
    """Return the class of each image whose name is one and a number."""
    found = {}
    for name in images:
        *folders, last = name.split("/")
        if match := _NUMBERED.fullmatch(last.rpartition(".")[0] or last):
            split = next(filter(None, map(split_in, reversed(folders))), "")
            found[name] = ImagePlace(split, match[1].strip(" ._-("), "")
    return with_whole_splits(found)
