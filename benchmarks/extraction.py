"""Features of photographs: Keras' `model.predict`, and graft with an empty store, with 1 % new images, with a full one.

All start from the same backbone and the same files; decoding is part of each. What a changed head, another seed or
another fold costs is the full store. The share of what the machine's arithmetic gives is of a float32 matrix product
of 4096 x 4096, measured in the same process.

    python -m benchmarks.extraction data --images 500 --image-size 224
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.begin import begin, spread_paths
from benchmarks.machine import cold_cache, measure
from benchmarks.table import Row, as_text
from graft.core.files import sha256_of

# Multiply-adds of MobileNetV2 on an image of 224 pixels, times two: Sandler et al., https://arxiv.org/abs/1801.04381
GIGAFLOP = 2 * 0.3
SIDE = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data"))
    parser.add_argument("--images", type=int, default=10**9, help="at most")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--weights", default="imagenet", help="imagenet, none, or a file")
    parser.add_argument("--cache", type=Path, help="of weights; by default the project's")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    found = run(arguments)
    print(json.dumps(found) if arguments.json else as_text(table(found)))


def rows(folder: Path, cache: Path, weights: str) -> list[Row]:
    """Measure in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        cold_cache(cache, Path(place) / "cache")
        command = ["-m", "benchmarks.extraction", str(folder), "--weights", weights, "--json"]
        return table(measure([*command, "--cache", f"{place}/cache"]).answer)


def table(found: dict[str, Any]) -> list[Row]:
    seconds, count, size = found["seconds"], found["images"], found["image_size"]

    def rate(name: str) -> str:
        return f"{seconds[name]:.2f} s, {count / seconds[name]:.0f} images/s"

    what = f"{count:,} images, {found['backbone']} at {size} px"
    results = [
        Row.at_least(
            f"feature extraction, {what}",
            rate("empty"),
            "model.predict in Keras",
            rate("keras"),
            seconds["keras"] / seconds["empty"],
            3,
        ),
        Row.at_most(
            f"{found['new']} new images (1 %)",
            f"{seconds['new']:.2f} s",
            "extracting all",
            f"{seconds['empty']:.2f} s",
            100 * seconds["new"] / seconds["empty"],
            3,
            "%",
        ),
        Row.at_most(
            "features differ, of the largest",
            f"{found['difference']:.1e}",
            "model.predict in Keras",
            "1.0e-04",
            found["difference"] / 1e-4,
            1,
        ),
    ]
    if found["backbone"] == "MobileNetV2":
        needed = GIGAFLOP * (size / 224) ** 2
        for case, name in (("its arithmetic", "empty"), ("the same without the conversion", "converted")):
            reached = count / seconds[name] * needed
            results.append(
                Row.at_least(
                    case,
                    f"{reached:.0f} GFLOP/s",
                    f"a {SIDE} x {SIDE} float32 product",
                    f"{found['product']:.0f} GFLOP/s",
                    100 * reached / found["product"],
                    45,
                    "%",
                )
            )
    return results


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds of each way, and what the machine's arithmetic gives."""
    cache = begin(arguments.cache)
    os.environ["GRAFT_CACHE"] = str(cache)
    from graft.core.params.backbone_params import KerasBackboneParams
    from graft.networks.backbones import build_backbone
    from graft.networks.decode_images import Photographs, load_images
    from graft.networks.features.feature_store import FeatureStore
    from graft.networks.features.frozen_backbone import FrozenBackbone

    root, size = arguments.folder.resolve(), arguments.image_size
    paths = spread_paths(root, arguments.images)
    params = KerasBackboneParams(source="keras", name=arguments.backbone, weights=arguments.weights)
    backbone = build_backbone(params, size, cache)
    digests = [sha256_of(root / path) for path in paths]

    seconds = {}
    with tempfile.TemporaryDirectory() as folder:

        def extracted(name: str, store: FeatureStore, chosen: slice) -> np.ndarray:
            images = Photographs(root, paths[chosen], digests[chosen], size)
            started = time.perf_counter()
            features = FrozenBackbone.of(backbone, store).features(images, f"graft, {name}")
            seconds[name] = time.perf_counter() - started
            return features

        store, everything, new = FeatureStore(Path(folder) / "a", 10**12), slice(None), len(paths) // 100
        found = extracted("empty", store, everything)
        extracted("full", store, everything)
        # Another store, with the same network at hand.
        other = FeatureStore(Path(folder) / "b", 10**12)
        other.folder.mkdir()
        other.networks.symlink_to(store.networks)
        extracted("old", other, slice(new, None))
        extracted("new", other, everything)
        seconds["converted"] = seconds["old"] * len(paths) / (len(paths) - new)
        product = _product()

    started = time.perf_counter()
    pixels = load_images(root, paths, digests, size)
    expected = backbone.model.predict(pixels, batch_size=32, verbose=0)
    seconds["keras"] = time.perf_counter() - started
    return {
        "images": len(paths),
        "new": new,
        "image_size": size,
        "backbone": arguments.backbone,
        "seconds": seconds,
        "product": product,
        "difference": float(np.abs(found - expected).max() / np.abs(expected).max()),
    }


def _product(times: int = 5) -> float:
    """Return the GFLOP/s of the quickest of some products of two float32 matrices."""
    left, right = np.random.default_rng(0).normal(size=(2, SIDE, SIDE)).astype(np.float32)
    best = np.inf
    for _ in range(times):
        started = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - started)
    return float(2 * SIDE**3 / best / 1e9)


if __name__ == "__main__":
    main()
