"""Recognise the folders of splits by the names that people give them: train, seg_train, Test Set, dev."""

import re
from collections.abc import Collection, Iterable, Sequence

_SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "devel", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
# What stands beside such a word and says nothing: train_set, TrainingData, test-images, val2017.
_FILLERS = frozenset(
    {"set", "sets", "data", "dataset", "datasets", "split", "splits", "subset", "folder", "dir", "part", "partition"}
    | {"image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "pic", "pics", "samples", "files"}
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[A-Z]|[^\W\d_A-Za-z]+")
_JOINED = re.compile(rf"({'|'.join(sorted(_SPLIT_WORDS, key=len, reverse=True))})({'|'.join(_FILLERS)})")

_PART = re.compile(r"(?:^|[^a-z])(?:part|fold|chunk|shard|batch|images?|imgs?)[\s_-]*\d+$", re.IGNORECASE)
FEW = 0.1  # of all images: that many may lie beside the folders that the others are in, and be left out

# Of a folder whose images nobody has labelled.
_UNLABELLED = frozenset({"pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled", "submission"})


def arrange(names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return where images belong in data/, by their names below the folders around all of them.

    Class folders, and split folders with these inside, stay as they are. A split folder that lies in one of its own
    name is taken out of it (seg_train/seg_train/cat), and where every class has splits inside (cat/train), or classes
    lie in parts (fold1/cat), the inner folders come first. Left out are images of test and val, of a folder of
    predictions, or the few of another folder beside splits, where these have no class folders: one called images,
    where no class of train is called so, is none.

    Returns:
        Name in data/ by name, and the names that are left out.
    """
    targets = {name: name for name in names}
    parts = [name.split("/") for name in names]
    tops = split_folders(sorted({part[0] for part in parts if len(part) > 1}))
    if not tops:
        inside = {part[1] for part in parts if len(part) > 2}
        are_inner = inside and (split_folders(inside).keys() == inside or are_parts({part[0] for part in parts}))
        if all(len(part) > 2 for part in parts) and are_inner:
            targets = {"/".join(part): "/".join((part[1], part[0], *part[2:])) for part in parts}
        return targets, []
    below: dict[str, list[list[str]]] = {}
    for part in parts:
        below.setdefault(part[0], []).append(part)
    left: list[str] = []
    trained = {part[1] for part in parts if tops.get(part[0]) == "train"}
    for top, inside_top in below.items():
        if all(len(part) > 2 for part in inside_top):
            (again, *others) = {part[1] for part in inside_top}
            if not others and (again == top or split_of(again) == tops.get(top, "no split")):
                targets.update({"/".join(part): "/".join((top, *part[2:])) for part in inside_top})
        is_flat = all(
            targets["/".join(part)].count("/") == 1 or (part[1].lower() in _FILLERS and part[1] not in trained)
            for part in inside_top
        )
        words = {word.lower() for word in _WORD.findall(top)}
        is_stray = top not in tops and (words & _UNLABELLED or len(inside_top) <= FEW * len(parts))
        if is_flat and (tops.get(top, "train") != "train" or is_stray):
            left += ["/".join(part) for part in inside_top]
    for name in left:
        del targets[name]
    return targets, left


def are_parts(names: Collection[str]) -> bool:
    """Return whether folders beside each other are numbered parts of one thing: fold1, fold2; images_part_1, _2."""
    return (
        len(names) > 1
        and len({name.rstrip("0123456789").lower() for name in names}) == 1
        and all(_PART.search(name) for name in names)
    )


def split_of(name: str) -> str:
    """Return train, val or test where a name, of a folder or in a table, says just that; else ``""``."""
    split, rest = _read(name)
    return "" if rest else split


def split_in(name: str) -> str:
    """Return train, val or test where a name, of a file or a folder, has one word for one of them; else ``""``."""
    return _read(name.rpartition("/")[2].partition(".")[0])[0]


def split_folders(names: Iterable[str]) -> dict[str, str]:
    """Return which of the folders beside each other are splits, each with train, val or test.

    Beside what :func:`split_of` knows, names may share a part: flowers_train and flowers_test.

    Returns:
        Nothing where there is no train, or nothing beside it: a class may well be called 'test' or 'train'.
    """
    read = {name: _read(name) for name in names}
    found = {name: split for name, (split, _) in read.items() if split}
    if len({read[name][1] for name in found}) > 1:  # freight_train and passenger_train
        found = {name: split for name, split in found.items() if not read[name][1]}
    return found if "train" in found.values() and len(found) > 1 else {}


def _read(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the split that a name has a word for, ``""`` where it has none or several, and what else it says."""
    words: list[str] = []
    for word in map(str.lower, _WORD.findall(name)):
        joined = _JOINED.fullmatch(word)
        words += joined.groups() if joined else [word]
    splits = [_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS]
    rest = tuple(word for word in words if word not in _SPLIT_WORDS and word not in _FILLERS)
    return (splits[0], rest) if len(splits) == 1 else ("", rest)
