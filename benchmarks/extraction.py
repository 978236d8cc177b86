"""Features of a folder of photographs: `model.predict` in Keras, against graft with an empty store and a full one.

All three start from the same decoded backbone and the same files; decoding is part of each. The third run is what a
changed head, another seed or another fold costs.

    python -m benchmarks.extraction data --images 500 --image-size 224
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from graft.environment import configure
from graft.project import find_project


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data"))
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--weights", default="imagenet", help="imagenet, none, or a file")
    arguments = parser.parse_args()
    home = find_project()
    configure(home)
    os.environ["GRAFT_CACHE"] = str(home.cache)

    from graft.tensorflow_import import import_tensorflow

    import_tensorflow()
    from graft.backbones import build_backbone
    from graft.data.layout import image_files, read_layout
    from graft.features.pooled import pooled_features
    from graft.features.store import FeatureStore
    from graft.params.strategies import KerasBackboneParams
    from graft.timing import StageClock
    from graft.training.images import Photographs, load_images

    root, size = arguments.folder.resolve(), arguments.image_size
    paths = [file.name for file in image_files(read_layout(root))]
    step = max(1, len(paths) // arguments.images)
    paths = paths[::step][: arguments.images]
    params = KerasBackboneParams(source="keras", name=arguments.backbone, weights=arguments.weights)
    backbone = build_backbone(params, size, home.cache)

    started = time.perf_counter()
    pixels = load_images(root, paths, size)
    expected = backbone.model.predict(pixels, batch_size=32, verbose=0)
    keras_seconds = time.perf_counter() - started

    digests = [hashlib.sha256((root / path).read_bytes()).hexdigest() for path in paths]
    labels = np.zeros(len(paths), np.int64)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder), 10**12)
        for _ in range(2):
            images = Photographs(root, paths, digests, labels, size, "", StageClock("bench"), "")
            started = time.perf_counter()
            found = pooled_features(backbone, images, "graft", store)
            seconds.append(time.perf_counter() - started)
    error = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"{len(paths)} photographs, {arguments.backbone} at {size} px, decoding included")
    print(f"Keras model.predict   {keras_seconds:7.2f} s  {len(paths) / keras_seconds:8.1f} images/s")
    for name, value in zip(("graft, empty store", "graft, full store"), seconds, strict=True):
        ratio = f"{keras_seconds / value:7.1f} x"
        print(f"{name:20}  {value:7.2f} s  {len(paths) / value:8.1f} images/s  {ratio}")
    print(f"largest difference to Keras, relative to the largest feature: {error:.1e}")


if __name__ == "__main__":
    main()
