"""Name classes that tables give as numbers: by a file of names, one a line or with its number, or in MATLAB's."""

import re
from collections.abc import Sequence
from contextlib import suppress

from graft.core.errors import GraftError
from graft.data.folder.photographs import suffix_of
from graft.data.sources.matlab_files import vectors_of_mat
from graft.data.sources.readers.reader import Files
from graft.data.sources.table_rows import LARGEST_TABLE, text_of

_NAMES_OF_CLASSES = (
    *("classes.txt", "class_names.txt", "labels.txt", "label_names.txt", "classes.names", "names.txt"),
    *("synset_words.txt", "synsets.txt", "categories.txt", "categories_places365.txt"),
)


def names_of_numbers(files: Files, labels: dict[str, str]) -> dict[str, str]:
    """Return the labels, or where all are numbers and a file says their names, these."""
    if not all(label.isdecimal() for label in labels):
        return labels
    numbers = {label: int(label) for label in labels}
    first = min(numbers.values())
    mats = [name for name, size in files.sizes.items() if suffix_of(name) == ".mat" and size < LARGEST_TABLE]
    for file, stream in files.open(filter(None, [files.find(*_NAMES_OF_CLASSES), *mats])):
        data, names = stream.read(), []
        if file in mats:
            with suppress(GraftError):
                names = list(map(str, vectors_of_mat(file, data).get("class_names", ())))
        else:
            lines = [re.sub(r"^/\w/", "", line.strip()) for line in text_of(data).splitlines() if line.strip()]
            said = _numbered(lines)
            if said.keys() >= set(numbers.values()):
                return {label: said[number] for label, number in numbers.items()}
            names = [re.sub(r"^\d+[\s,:]+", "", line) for line in lines]
        last = max(numbers.values()) - first
        if (last == len(names) - 1 and first < 2) or (last < len(names) and not first):  # a 0 is the first name
            return {label: names[number - first] for label, number in numbers.items()}
    return labels


def _numbered(lines: Sequence[str]) -> dict[int, str]:
    """Return names by number, where each line has a number before or behind its name; nothing where one has none."""
    for form in (r"(?P<number>\d+)[\s,:]+(?P<name>.+)", r"(?P<name>.+?)[\s,:]+(?P<number>\d+)"):
        found = [match for line in lines if (match := re.fullmatch(form, line))]
        names = {int(match["number"]): match["name"].replace("/", "_") for match in found}
        if len(names) == len(lines) and max(names, default=0) - min(names, default=0) == len(names) - 1:
            return names
    return {}
