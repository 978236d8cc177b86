"""Tail fine-tuning: the quickest epoch after the first, with graft on kept activations, and end to end in Keras.

Both train the same layers of MobileNetV2 and the same head, with the same optimizer; the rest is frozen. Graft keeps
what the frozen part makes of two changed views of each image. Keras is given the images decoded, and changes none of
them, which spares it some work. Of five epochs the quickest counts, on both sides: one and the same epoch took 1.4 and
2.5 seconds in one run, at the same CPU time, by whether the system ran both threads on one core or on two.

    python -m benchmarks.fine_tuning FOLDER --cut block_13_expand
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.begin import begin
from benchmarks.machine import cold_cache, measure
from benchmarks.table import Row, as_text
from graft.core.files import sha256_of

BATCH = 32
EPOCHS = 6  # of which the first, with its tracing, does not count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=640, help="to train on, at most")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--cut", default="block_13_expand", help="the first layer that is trained")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--precision", default="float32", help="float32, mixed_float16 or mixed_bfloat16")
    parser.add_argument("--cache", type=Path, help="of weights; by default the project's")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    found = run(arguments)
    print(json.dumps(found) if arguments.json else as_text(table(found)))


def rows(folder: Path, cache: Path, weights: str) -> list[Row]:
    """Measure two cuts, each in a process of its own."""
    found = []
    for name in ("block_13_expand", "block_15_expand"):
        with tempfile.TemporaryDirectory() as place:
            cold_cache(cache, Path(place) / "cache")
            command = ["-m", "benchmarks.fine_tuning", str(folder), "--weights", weights, "--cut", name]
            found += table(measure([*command, "--cache", f"{place}/cache", "--json"]).answer)
    return found


def table(found: dict[str, Any]) -> list[Row]:
    keras, graft = found["keras"], found["graft"]
    return [
        Row.at_least(
            f"fine-tuning from {found['cut']}, an epoch of {found['images']:,} images",
            f"{graft:.2f} s",
            "the same layers in Keras, end to end",
            f"{keras:.2f} s",
            keras / graft,
            4.5,
        )
    ]


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds of the quickest epoch of each."""
    cache = begin(arguments.cache)
    import keras

    from graft.core.params.backbone_params import KerasBackboneParams
    from graft.core.params.strategy_params import AugmentParams, FineTuneParams, HeadParams
    from graft.core.timing import StageClock
    from graft.data.folder.layout import image_files, read_layout
    from graft.networks.decode_images import DecodedImages, load_images
    from graft.networks.engines.devices import arithmetic
    from graft.networks.features.feature_store import FeatureStore
    from graft.training.strategies import fine_tune
    from graft.training.strategy import Task

    root, size = arguments.folder.resolve(), arguments.image_size
    layout = read_layout(root)
    files = [file.name for file in image_files(layout)]
    files = files[:: max(1, len(files) // (arguments.images + BATCH))]
    names = [layout.place(root / path)[0] for path in files]
    classes = sorted(set(names))
    labels = np.array([classes.index(name) for name in names])
    pixels = load_images(root, files, [sha256_of(root / path) for path in files], size)
    count = min(arguments.images, len(files) - BATCH)
    params = FineTuneParams(
        kind="fine_tune",
        backbone=KerasBackboneParams(source="keras", weights=arguments.weights),
        unfreeze=arguments.cut,
        head=HeadParams(dropout=0.2),
        head_epochs=0,
        epochs=EPOCHS,
        batch_size=BATCH,
        learning_rate=1e-4,
        views=2,
        augment=AugmentParams(flip="horizontal", rotate=0.03, zoom=0.1),
    )
    with tempfile.TemporaryDirectory() as place, arithmetic(arguments.precision):
        task = Task(
            name="graft",
            classes=classes,
            train=DecodedImages(pixels[:count], labels[:count]),
            val=DecodedImages(pixels[count:], labels[count:]),
            image_size=size,
            seed=1,
            cache=cache,
            checkpoint=Path(place) / "checkpoint",
            clock=StageClock("bench"),
            store=FeatureStore(Path(place) / "features", 10**12),
        )
        epochs = fine_tune.train(params, task).fit.epochs
        peer = keras_model(arguments.cut, size, len(classes), arguments.weights, cache)
        timer = _EpochSeconds()
        targets = keras.utils.to_categorical(labels, len(classes))
        peer.fit(
            pixels[:count],
            targets[:count],
            batch_size=BATCH,
            epochs=EPOCHS,
            validation_data=(pixels[count:], targets[count:]),
            callbacks=[timer.callback()],
            verbose=0,
        )
    return {
        "cut": arguments.cut,
        "images": count,
        "graft": float(epochs["seconds"].iloc[1:].min()),
        "keras": min(timer.seconds[1:]),
    }


class _EpochSeconds:
    """Seconds of each epoch, validation included, as graft counts them."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def callback(self) -> Any:
        import keras

        started = [0.0]

        def begin(epoch: int, logs: Any = None) -> None:
            started[0] = time.perf_counter()

        def end(epoch: int, logs: Any = None) -> None:
            self.seconds.append(time.perf_counter() - started[0])

        return keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)


def keras_model(cut: str, size: int, classes: int, weights: str, cache: Path) -> Any:
    """Return MobileNetV2, frozen below ``cut``, and a head, as Keras' guide to transfer learning puts them together."""
    import keras

    from graft.core.params.backbone_params import KerasBackboneParams
    from graft.networks.backbones import build_backbone

    network = build_backbone(KerasBackboneParams(source="keras", weights=weights), size, cache).network
    names = [layer.name for layer in network.layers]
    for index, layer in enumerate(network.layers):
        is_batch_norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = index >= names.index(cut) and not is_batch_norm
    inputs = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(network(x, training=False))
    outputs = keras.layers.Dense(classes, activation="softmax", dtype="float32")(keras.layers.Dropout(0.2)(x))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(1e-4), "categorical_crossentropy", metrics=["accuracy"])
    return model


if __name__ == "__main__":
    main()
