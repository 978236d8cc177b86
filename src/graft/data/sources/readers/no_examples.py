"""Images that are no examples of a class: a second copy of all the others, and masks drawn over others."""

import re
from collections.abc import Mapping, Sequence

COPY = "a second copy of what lies beside it"  # as a reason why images are left out
MASK = "a mask of an image beside it"
_MASK = re.compile(r"(.+?)[\s_-]+(?:mask|segmentation|seg|annotation)(?:[\s_-]?\d+)?", re.IGNORECASE)
_MASKS = re.compile(r"(.*[_-])?(masks?|segmentations?|segmentation(class|object))", re.IGNORECASE)
_IMAGES = ("images", "Images", "image", "img", "imgs", "JPEGImages")


def no_examples(images: Sequence[str], sizes: Mapping[str, int]) -> dict[str, str]:
    """Return which images are left out, each with the reason.

    A copy is a folder that holds all that lies beside it once more, by name and size: archive/chest_xray/ with train/
    and chest_xray/train/. A mask is called as an image beside it: tumour (1)_mask.png, masks/1.png beside images/1.png.
    """
    found = dict.fromkeys(_second_copy(images, sizes), COPY)
    stems = {name.rpartition(".")[0] or name for name in images}
    for name in images:
        *folders, stem = (name.rpartition(".")[0] or name).split("/")
        match = _MASK.fullmatch(stem)
        if match and "/".join((*folders, match[1])) in stems:
            found[name] = MASK
        for place, folder in enumerate(folders):
            if _MASKS.fullmatch(folder) and any(
                "/".join((*folders[:place], kind, *folders[place + 1 :], stem)) in stems for kind in _IMAGES
            ):
                found[name] = MASK
    return found


def _second_copy(images: Sequence[str], sizes: Mapping[str, int]) -> list[str]:
    """Return the images of a folder that holds what lies beside it once more, at any depth around all images."""
    inside: dict[str, dict[str, int]] = {}
    prefix = ""
    while True:
        inside.clear()
        for name in images:
            top, _, rest = name.removeprefix(prefix).partition("/")
            inside.setdefault(top if rest else "", {})[rest or top] = sizes[name]
        if len(inside) != 1 or "" in inside:
            break
        prefix += f"{next(iter(inside))}/"
    for top, within in inside.items():
        if top and 2 * len(within) == len(images):
            others = {
                name.removeprefix(prefix): sizes[name] for name in images if not name.startswith(f"{prefix}{top}/")
            }
            if within == others:
                return [f"{prefix}{top}/{name}" for name in within]
    return []
