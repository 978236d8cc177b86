"""How often the labels of a delivery are doubted that are right, and how often those that are wrong.

Of a folder of class folders, whole groups are held out again and again: a delivery is drawn from them, and the other
images are what is known. Deliveries are as they are, or as another camera would have taken them (all of their images
changed at the size that the network sees), or of other people (--other); their labels are right, or wrong in several
ways. Each line of the table is a share of deliveries, for several values of retrain.deliveries.max_doubtful_share.

    python -m benchmarks.doubts path/to/data --group-by '(.+)-[0-9]+' --other test
"""

import argparse
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from graft.automation.retraining.label_doubts import Images, Judge
from graft.core.environment import configure
from graft.core.files import sha256_of
from graft.core.params import load_params
from graft.core.progress import progress_bar
from graft.core.project import find_project
from graft.data.folder.photographs import images_below
from graft.data.scan.fingerprint import fingerprint
from graft.networks.decode_images import DecodedImages, load_images
from graft.networks.features.embedder import Embedder

SHARES = (0.1, 0.2, 0.3, 0.5)
SIZES = (20, 60)
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def darker(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return (pixels * 0.5).astype(np.uint8)


def blurred(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1.5)))


def warmer(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.clip(pixels * np.array([1.15, 0.95, 0.7]), 0, 255).astype(np.uint8)


def noisy(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.clip(pixels + random.normal(0, 15, pixels.shape), 0, 255).astype(np.uint8)


def elsewhere(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Put the photograph in front of coloured blots instead of what is bright and grey."""
    blots = Image.fromarray(random.integers(40, 160, (6, 6, 3)).astype(np.uint8))
    behind = np.asarray(blots.resize(pixels.shape[1::-1], Image.Resampling.BICUBIC))
    share = np.clip((pixels.min(axis=2, keepdims=True) - 120.0) / 80, 0, 1)
    return (pixels * (1 - share) + behind * share).astype(np.uint8)


def cheap_camera(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Make the photograph darker, warmer, blurred and noisy at once."""
    dim = np.clip(pixels * np.array([0.66, 0.6, 0.48]), 0, 255).astype(np.uint8)
    soft = np.asarray(Image.fromarray(dim).filter(ImageFilter.GaussianBlur(1)))
    return np.clip(soft + random.normal(0, 8, soft.shape), 0, 255).astype(np.uint8)


CHANGES: dict[str, Change] = {
    "half as bright": darker,
    "blurred, radius 1.5": blurred,
    "warmer light": warmer,
    "noisy, sigma 15": noisy,
    "other background": elsewhere,
    "all of it at once": cheap_camera,
}


def measured(embedder: Embedder, pixels: np.ndarray, labels: np.ndarray, what: str) -> Images:
    features = embedder.features(DecodedImages(pixels), what)
    prints = [fingerprint(Image.fromarray(image)) for image in pixels]
    return Images(features, labels, np.array([[one.brightness, one.sharpness] for one in prints]))


def held_out(labels: np.ndarray, groups: np.ndarray, chosen: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return rows of whole groups that together have enough images of the chosen classes for a large delivery."""
    held = np.zeros(len(labels), bool)
    for group in random.permutation(np.unique(groups)):
        lacking = [name for name in chosen if (held & (labels == name)).sum() < SIZES[1] // len(chosen)]
        if np.isin(labels[groups == group], lacking).any():
            held |= groups == group
    return held


def wrong_labels(labels: np.ndarray, classes: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Return labels of a delivery, wrong in several ways."""
    one, second = random.permutation(np.unique(labels))[:2]
    other = random.choice(classes[classes != one])
    swap = {one: second, second: one}
    found = {
        "a class under another's name": np.where(labels == one, other, labels),
        "two classes exchanged": np.array([swap.get(label, label) for label in labels]),
    }
    mine, theirs = (random.permutation(np.flatnonzero(of)) for of in (labels == one, labels != one))
    for share in (0.3, 0.5, 1.0):
        count = min(round(share * len(mine)), len(theirs))
        mixed = labels.copy()
        mixed[mine[:count]], mixed[theirs[:count]] = labels[theirs[:count]], one
        found[f"{share:.0%} of a class exchanged with others"] = mixed
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--group-by", required=True, help="expression over the path that captures the group")
    parser.add_argument("--other", help="folder in it with images of other people, which are never known")
    parser.add_argument("--classes", type=int, default=3, help="in a delivery, at most")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--most", type=int, default=1000, help="images that are used")
    arguments = parser.parse_args()
    home = find_project()
    configure(home)
    train = load_params(home.params_file).train
    embedder = Embedder(home, train)
    folder, random = arguments.folder.resolve(), np.random.default_rng(train.seed)
    paths = sorted(path.relative_to(folder).as_posix() for path in images_below(folder))
    paths = sorted(random.permutation(paths)[: arguments.most].tolist())
    labels = np.array([Path(path).parent.name for path in paths])
    found = [re.search(arguments.group_by, path) for path in paths]
    groups = np.array([match[1] if match else path for match, path in zip(found, paths, strict=True)])
    away = np.array([bool(arguments.other) and path.startswith(f"{arguments.other}/") for path in paths])
    digests = [sha256_of(folder / path) for path in paths]
    pixels = load_images(folder, paths, digests, embedder.image_size, "Images")
    as_they_are = measured(embedder, pixels, labels, "as they are")
    changed = {}
    for what, change in CHANGES.items():
        images = np.stack([change(image, random) for image in pixels])
        changed[what] = measured(embedder, images, labels, what)
    classes = np.unique(labels)
    doubted: dict[str, list[list[bool]]] = {}
    with progress_bar("Draws", arguments.draws) as advance:
        for seed in range(arguments.draws):
            for what, counts in one_draw(as_they_are, changed, groups, away, arguments.classes, seed).items():
                doubted.setdefault(what, []).append(counts)
            advance(1)
    print(f"{len(paths)} images, {len(classes)} classes, {len(np.unique(groups))} groups; {embedder.name}\n")
    print("| deliveries | " + " | ".join(f"{share:g}" for share in SHARES) + " |")
    print("|---|" + "---|" * len(SHARES))
    for what, counts in doubted.items():  # type: ignore[assignment]
        print(f"| {what} | " + " | ".join(f"{share:.0%}" for share in np.mean(counts, axis=0)) + " |")


def one_draw(
    images: Images, changed: dict[str, Images], groups: np.ndarray, away: np.ndarray, most: int, seed: int
) -> dict[str, list[bool]]:
    """Return whether each kind of delivery is doubted, for each of SHARES."""
    random = np.random.default_rng(seed)
    classes = np.unique(images.labels)
    chosen = random.permutation(classes)[:most]
    groups_here = np.where(away, "", groups)
    held = held_out(np.where(away, "", images.labels), groups_here, chosen, random)
    judge = Judge.taught(images.some(np.flatnonzero(~held & ~away)), groups[~held & ~away], seed)
    if judge is None:
        raise SystemExit("Too few groups of each class to hold some out")
    size = random.integers(*SIZES, endpoint=True)

    def delivery(where: np.ndarray) -> np.ndarray:
        return random.permutation(np.flatnonzero(where & np.isin(images.labels, chosen)))[:size]

    rows = delivery(held)
    cases = {"right labels": images.some(rows)}
    cases |= {f"right labels, {what}": other.some(rows) for what, other in changed.items()}
    if away.any():
        cases["right labels, other people"] = images.some(delivery(away))
    for what, labels in wrong_labels(images.labels[rows], classes, random).items():
        cases[what] = replace(images.some(rows), labels=labels)
    mixed = cases["a class under another's name"].labels
    cases["a class under another's name, warmer light"] = replace(changed["warmer light"].some(rows), labels=mixed)
    return {what: [bool(judge.doubts(new, share)) for share in SHARES] for what, new in cases.items()}


if __name__ == "__main__":
    main()
