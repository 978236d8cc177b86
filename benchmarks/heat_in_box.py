"""Do heat maps lie on the thing? The share of heat inside its box, against the same heat moved to places by chance.

    python -m benchmarks.heat_in_box PROJECT/artifacts/train/frozen/model PROJECT/data/test --count 20

For photographs on a plain background, as rock-paper-scissors: the box holds whatever differs from the picture's border,
but for half a per cent of it on each side. A photograph's class is the name of its folder.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from graft.bundle.images import decode
from graft.networks.explain.heat_maps import HeatMaps

_SIDE = 224
_DIFFERS = 60  # in one of three channels, of 255
_MOVES = 200  # of the heat, cyclically, each by a step that chance picks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a bundle")
    parser.add_argument("data", type=Path, help="folder of class folders")
    parser.add_argument("--count", type=int, default=20, help="photographs, drawn by chance")
    arguments = parser.parse_args()
    network, generator = HeatMaps(arguments.model), np.random.default_rng(0)
    files = sorted(file for name in network.classes for file in (arguments.data / name).iterdir())
    rows = []
    for index in generator.choice(len(files), arguments.count, replace=False):
        heat, box = heat_and_box(network, files[index])
        moved = [np.roll(heat, generator.integers(_SIDE, size=2), (0, 1))[box].sum() for _ in range(_MOVES)]
        rows.append((heat[box].sum(), box.mean(), np.mean(moved)))
        print(f"{files[index].name}: {rows[-1][0]:.0%} in {rows[-1][1]:.0%} of the picture, moved {rows[-1][2]:.0%}")
    inside, area, by_chance = np.array(rows).T
    print(
        f"{inside.mean():.0%} of the heat in the box, {area.mean():.0%} of the picture, {by_chance.mean():.0%} by "
        f"chance; more than by chance in {(inside > by_chance).sum()} of {len(rows)}"
    )


def heat_and_box(network: HeatMaps, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a photograph's heat for its own class, of sum 1, and whether a place is in the box: ``[S, S]`` each."""
    data = file.read_bytes()
    pixels = {size: decode(data, size, view=network.view)[None] for size in network.image_sizes}
    (heat,) = network.of(pixels, [network.classes.index(file.parent.name)])
    resized = Image.fromarray(np.maximum(heat, 0)).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    shown = decode(data, _SIDE, view=network.view).astype(int)
    border = np.median(np.concatenate([shown[0], shown[:, 0], shown[:, -1]]), axis=0)
    places = np.nonzero(np.abs(shown - border).max(axis=2) > _DIFFERS)
    (top, bottom), (left, right) = (np.percentile(axis, [0.5, 99.5]).astype(int) for axis in places)
    box = np.zeros((_SIDE, _SIDE), bool)
    box[top : bottom + 1, left : right + 1] = True
    return np.asarray(resized) / np.asarray(resized).sum(), box


if __name__ == "__main__":
    main()
