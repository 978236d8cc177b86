"""What a GPU gives, and what its arithmetic is off by: features, and tail fine-tuning, in each precision.

The features of the same images are computed on the CPU in float32, and on the GPU in float32 and in mixed precision;
each is a process of its own, and its first pass, which compiles, does not count. Then fine-tuning on the GPU as in
``benchmarks.fine_tuning``.

    python -m benchmarks.gpu FOLDER --weights FILE
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.begin import begin, spread_paths
from benchmarks.machine import measure
from benchmarks.table import Row, as_text
from graft.core.errors import first_line
from graft.core.files import sha256_of

PRECISIONS = ("float32", "mixed_float16")
WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": ""}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=640, help="at most")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--weights", default="imagenet", help="imagenet, none, or a file")
    parser.add_argument("--cache", type=Path, help="of weights; by default the project's")
    parser.add_argument("--cut", default="block_13_expand", help="the first layer that is fine-tuned")
    parser.add_argument("--features-to", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--precision", default="float32", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.features_to:
        print(json.dumps(features(arguments)))
        return
    print(as_text(rows(arguments)))


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure all cases; a case that fails is a row that says so."""
    common = [str(arguments.folder), "--weights", arguments.weights]
    common += ["--image-size", str(arguments.image_size), "--images", str(arguments.images)]
    common += ["--cache", str(arguments.cache)] if arguments.cache else []
    found: list[Row] = []

    def report(*rows: Row) -> None:
        for row in rows:
            print(f"{row.case}: {row.ours}; {row.against} {row.theirs}; {row.ratio}", flush=True)
        found.extend(rows)

    with tempfile.TemporaryDirectory() as place:

        def computed(name: str, precision: str, **environment: str) -> tuple[np.ndarray, dict[str, Any]]:
            target = str(Path(place) / f"{name}.npy")
            how = ["--features-to", target, "--precision", precision, "--backbone", arguments.backbone]
            answer = measure(["-m", "benchmarks.gpu", *common, *how], None, **environment).answer
            return np.load(target), answer

        expected, on_cpu = computed("cpu", "float32", **WITHOUT_GPU)
        for precision in PRECISIONS:
            outputs, on_gpu = computed(precision, precision)
            if not on_gpu["gpus"]:
                return [Row.failed("features", "TensorFlow sees no GPU")]
            off = float(np.abs(outputs - expected).max() / np.abs(expected).max())
            # Half precision has ten bits behind its first: what is wrong is off by far more than this.
            allowed = 1e-4 if precision == "float32" else 3e-2
            report(
                Row.at_least(
                    f"features of {len(outputs):,} images, {precision}, {on_gpu['backend']}",
                    _rate(on_gpu),
                    "Keras on the CPU, float32",
                    _rate(on_cpu),
                    on_cpu["seconds"] / on_gpu["seconds"],
                    1,
                ),
                Row.at_most(
                    f"they differ, {precision}, of the largest",
                    f"{off:.1e}",
                    "the CPU's",
                    f"{allowed:.0e}",
                    off / allowed,
                    1,
                ),
            )
    for precision in PRECISIONS:
        try:
            how = ["--cut", arguments.cut, "--precision", precision, "--json"]
            answer = measure(["-m", "benchmarks.fine_tuning", *common, *how]).answer
        except RuntimeError as error:
            report(Row.failed(f"fine-tuning, {precision}", first_line(error)))
            continue
        report(
            Row.at_least(
                f"fine-tuning from {answer['cut']}, {precision}, an epoch of {answer['images']:,} images",
                f"{answer['graft']:.3f} s",
                "the same layers in Keras, end to end",
                f"{answer['keras']:.3f} s",
                answer["keras"] / answer["graft"],
                1,
            )
        )
    return found


def _rate(answer: dict[str, Any]) -> str:
    return f"{answer['seconds']:.2f} s, {answer['images'] / answer['seconds']:,.0f} images/s"


def features(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write what Keras makes of the images on what its backend sees; return the seconds of the second pass."""
    cache = begin(arguments.cache)
    import keras

    from graft.core.params.backbone_params import KerasBackboneParams
    from graft.networks.backbones import build_backbone
    from graft.networks.decode_images import load_images
    from graft.networks.engines.devices import arithmetic, gpu_count
    from graft.networks.engines.fastest import keras_engine

    root, size = arguments.folder.resolve(), arguments.image_size
    paths = spread_paths(root, arguments.images)
    pixels = load_images(root, paths, [sha256_of(root / path) for path in paths], size)
    params = KerasBackboneParams(source="keras", name=arguments.backbone, weights=arguments.weights)
    with arithmetic(arguments.precision):
        backbone = build_backbone(params, size, cache)
        run = keras_engine(backbone.model)
        run(pixels)
        started = time.perf_counter()
        outputs = run(pixels)
        seconds = time.perf_counter() - started
    np.save(arguments.features_to, outputs)
    return {"seconds": seconds, "images": len(paths), "gpus": gpu_count(), "backend": keras.config.backend()}


if __name__ == "__main__":
    main()
