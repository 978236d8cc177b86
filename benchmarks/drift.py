"""How often `graft monitor` calls it drift where there is none, and how often where there is.

Without drift: images of one data set are dealt into a training side and a recent one, independent images only, again
and again. With drift: the recent side is blurred, darkened, holds a class that the training side lacks, or is of
another folder (--other), for example computer-generated hands against photographs of hands. Features are computed
once. Unreadable files and predictions play no part here: the one is not a property of images, the other needs a
model that is trained anew on each deal; their tests are checked on made-up numbers in tests/monitoring.

    python -m benchmarks.drift path/to/photographs --work work --deals 200
    python -m benchmarks.drift path/to/generated --other path/to/photographs --work work
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from graft.core.environment import configure
from graft.core.params import Params, load_params
from graft.core.project import find_project
from graft.deployment.monitor.checks import DriftCheck, run_checks
from graft.deployment.monitor.log_samples import FIGURES, Sample
from graft.deployment.monitor.observation import Observation
from graft.deployment.monitor.recent import features_of, independent
from graft.networks.features.embedder import Embedder

Deal = Callable[[np.random.Generator], tuple[Sample, Sample]]
LEVELS = (0.05, 0.01)


class Pool:
    """Independent images of a folder, whole and changed, with their features."""

    def __init__(self, folder: Path, params: Params, embedder: Embedder, most: int) -> None:
        from graft.data.folder.photographs import images_below
        from graft.deployment.monitor.observation import observe_all
        from graft.deployment.predict.inputs import PhotographFiles

        paths = list(images_below(folder))
        stream = PhotographFiles(lambda: iter(paths)).read()
        sizes = [embedder.image_size]
        found = [
            (Path(name).parent.name, image)
            for name, image in observe_all(stream, params.validate_.max_pixels, sizes)
            if not image.problem
        ]
        images = [image for _, image in found]
        chosen = independent(images, params)
        # By hash, so that a pool of some is a fair one.
        chosen = np.array(sorted(chosen, key=lambda row: images[row].sha256)[:most])
        self.embedder = embedder
        self.images = [images[row] for row in chosen]
        self.labels = np.array([found[row][0] for row in chosen])
        self.features = features_of(embedder, self.images)
        self.read = len(images)

    def __len__(self) -> int:
        return len(self.images)

    def changed(self, change: Callable[[np.ndarray], np.ndarray], params: Params) -> Pool:
        """Return the same images otherwise; they are changed at the size that the network sees."""
        other = object.__new__(Pool)
        other.embedder, other.labels, other.read = self.embedder, self.labels, self.read
        other.images = [changed_image(image, change, self.embedder.image_size, params) for image in self.images]
        other.features = features_of(self.embedder, other.images)
        return other

    def sample(self, rows: np.ndarray) -> Sample:
        figures = {name: np.array([getattr(self.images[row], name) for row in rows], float) for name in FIGURES}
        return Sample(figures, len(rows), 0, features=self.features[rows])


def changed_image(
    image: Observation, change: Callable[[np.ndarray], np.ndarray], size: int, params: Params
) -> Observation:
    """Return an image after a change of its pixels, with width and height as they were."""
    from dataclasses import replace

    from PIL import Image

    from graft.deployment.monitor.observation import observe

    stream = io.BytesIO()
    Image.fromarray(change(image.pixels[size])).save(stream, "PNG")
    seen = observe(stream.getvalue(), params.validate_.max_pixels, [size])
    return replace(seen, width=image.width, height=image.height)


def blurred(radius: float) -> Callable[[np.ndarray], np.ndarray]:
    from PIL import Image, ImageFilter

    return lambda pixels: np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def darker(factor: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pixels: (pixels * factor).astype(np.uint8)


# Each with its name, and the kind that --only knows it by.
CHANGES = (
    ("blur, radius 0.5", "blur", blurred(0.5)),
    ("blur, radius 1", "blur", blurred(1)),
    ("10 % darker", "darker", darker(0.9)),
    ("25 % darker", "darker", darker(0.75)),
)
KINDS = ("none", "blur", "darker", "class")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--other", type=Path, help="recent images from here, instead of changed ones")
    parser.add_argument("--work", type=Path, required=True, help="folder for the results")
    parser.add_argument("--deals", type=int, default=200)
    parser.add_argument("--power-deals", type=int, default=50)
    parser.add_argument("--reference", type=int, default=400, help="training images of a deal")
    parser.add_argument("--recent", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="kinds of drift (default: all)")
    parser.add_argument("--permutations", type=int, help="instead of monitor.permutations in params.yaml")
    parser.add_argument("--most", type=int, default=1200, help="images of a folder that are used")
    arguments = parser.parse_args()
    home = find_project()
    configure(home)
    params = load_params(home.params_file)
    if arguments.permutations:
        settings = params.monitor.model_copy(update={"permutations": arguments.permutations})
        params = params.model_copy(update={"monitor": settings})
    embedder = Embedder(home, params.train)
    pool = Pool(arguments.folder.resolve(), params, embedder, arguments.most)
    print(f"{arguments.folder.name}: {pool.read} images, {len(pool)} of them independent", flush=True)
    rows = []
    for recent in arguments.recent:
        reference = min(arguments.reference, len(pool) - recent)
        for name, deal, count in _deals(arguments, pool, params, reference, recent):
            found = measure(deal, params, count)
            rows.append({"drift": name, "reference": reference, "recent": recent, "deals": count, **found})
            print(json.dumps(rows[-1]), flush=True)
    arguments.work.mkdir(parents=True, exist_ok=True)
    where = f"{arguments.folder.name}{f'-{arguments.other.name}' if arguments.other else ''}.json"
    (arguments.work / where).write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _deals(
    arguments: argparse.Namespace, pool: Pool, params: Params, reference: int, recent: int
) -> list[tuple[str, Deal, int]]:
    if arguments.other:
        other = Pool(arguments.other.resolve(), params, pool.embedder, arguments.most)
        size = min(recent, len(other))
        return [
            (
                f"{arguments.other.parent.name}/{arguments.other.name}",
                _across(pool, other, reference, size),
                arguments.power_deals,
            )
        ]
    deals: list[tuple[str, Deal, int]] = []
    if "none" in arguments.only:
        deals.append(("none", _across(pool, pool, reference, recent), arguments.deals))
    # Both sides at the size that the network sees, so that they differ by the change alone.
    changes = [(name, change) for name, kind, change in CHANGES if kind in arguments.only]
    as_seen = pool.changed(lambda pixels: pixels, params) if changes else pool
    for name, change in changes:
        changed = pool.changed(change, params)
        deals.append((name, _across(as_seen, changed, reference, recent), arguments.power_deals))
    if "class" not in arguments.only:
        return deals
    for share in (0.1, 0.2, 0.4):
        deals.append((f"new class, {share:.0%}", _new_class(pool, reference, recent, share), arguments.power_deals))
    return deals


def _across(pool: Pool, other: Pool, reference: int, recent: int) -> Deal:
    """Deal other images to each side; ``other`` is the pool, or the same images changed, or of another folder."""
    same = len(pool) == len(other) and pool.labels is other.labels

    def deal(random: np.random.Generator) -> tuple[Sample, Sample]:
        order = random.permutation(len(pool))
        first = order[:reference]
        second = (
            order[reference : reference + recent] if same or pool is other else random.permutation(len(other))[:recent]
        )
        return pool.sample(first), other.sample(second)

    return deal


def _new_class(pool: Pool, reference: int, recent: int, share: float) -> Deal:
    """Deal so that a class, another one each time, is missing in training, and is a share of the recent side."""
    classes = np.unique(pool.labels)

    def deal(random: np.random.Generator) -> tuple[Sample, Sample]:
        new = pool.labels == random.choice(classes)
        known, unknown = (random.permutation(np.flatnonzero(of)) for of in (~new, new))
        count = round(share * recent)
        taken = min(reference, len(known) - recent + count)
        rest = known[taken : taken + recent - count]
        return pool.sample(known[:taken]), pool.sample(np.concatenate([rest, unknown[:count]]))

    return deal


def measure(deal: Deal, params: Params, count: int) -> dict[str, object]:
    """Return the share of deals called drift at each level, with and without least effects, and by which check."""
    results = []
    for seed in range(count):
        reference, recent = deal(np.random.default_rng(seed))
        checks, _ = run_checks(reference, recent, params.monitor)
        results.append(checks)
    found: dict[str, object] = {}
    for level in LEVELS:
        found[f"significant at {level:g}"] = float(
            np.mean([any(check.adjusted <= level for check in checks) for checks in results])
        )
        found[f"drift at {level:g}"] = float(
            np.mean([any(_drifts(check, level) for check in checks) for checks in results])
        )
    found["by check"] = {
        check.name: float(np.mean([_drifts(checks[index], LEVELS[-1]) for checks in results]))
        for index, check in enumerate(results[0])
    }
    found["median effect"] = {
        check.name: float(np.median([checks[index].effect for checks in results]))
        for index, check in enumerate(results[0])
    }
    return found


def _drifts(check: DriftCheck, level: float) -> bool:
    return check.adjusted <= level and check.effect >= check.least_effect


if __name__ == "__main__":
    main()
