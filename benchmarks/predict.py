"""A folder of photographs through a trained classifier: `model.predict` in Keras, against `graft predict`.

The network is the same (a backbone under a head of random weights), and so are the files and the code that decodes
them, in all cores, on both sides; decoding is part of each. Starting a process and loading the model are not: they
are printed beside it.

    python -m benchmarks.predict data --images 1000 --image-size 224
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from graft.core.environment import configure
from graft.core.files import sha256_of
from graft.core.project import find_project


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data"))
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--weights", default="imagenet", help="imagenet, none, or a file")
    parser.add_argument("--rounds", type=int, default=3, help="each side runs so often, in turns; the best counts")
    arguments = parser.parse_args()
    home = find_project()
    configure(home)
    os.environ["GRAFT_CACHE"] = str(home.cache)

    from graft.networks.engines.tensorflow_import import import_tensorflow

    import_tensorflow()
    import keras

    from graft.core.params.backbone_params import KerasBackboneParams
    from graft.data.folder.photographs import images_below
    from graft.deployment.predict.inputs import PhotographFiles
    from graft.deployment.predict.predict_photographs import predict_photographs
    from graft.networks.backbones import build_backbone
    from graft.networks.decode_images import load_images
    from graft.networks.engines.open_classifier import open_classifier
    from graft.training.write_bundle import write_bundle

    root, size = arguments.folder.resolve(), arguments.image_size
    paths = list(images_below(root))
    step = max(1, len(paths) // arguments.images)
    paths = paths[::step][: arguments.images]
    digests = [sha256_of(path) for path in paths]
    params = KerasBackboneParams(source="keras", name=arguments.backbone, weights=arguments.weights)
    keras.utils.set_random_seed(0)
    network = build_backbone(params, size, home.cache).model
    pooled = keras.layers.GlobalAveragePooling2D()(network.output) if len(network.output_shape) == 4 else network.output
    logits = keras.layers.Dense(5)(pooled)
    with_softmax = keras.Model(network.input, keras.layers.Softmax()(logits))

    with tempfile.TemporaryDirectory() as folder:
        write_bundle(keras.Model(network.input, logits), list("abcde"), size, Path(folder) / "model")
        started = time.perf_counter()
        classifier = open_classifier(Path(folder) / "model", len(paths))
        opened = time.perf_counter() - started
        seconds: dict[str, list[float]] = {"Keras model.predict": [], "graft predict": []}
        for _ in range(arguments.rounds):
            started = time.perf_counter()
            pixels = load_images(root, [str(path) for path in paths], digests, size)
            expected = with_softmax.predict(pixels, batch_size=32, verbose=0)
            seconds["Keras model.predict"].append(time.perf_counter() - started)
            started = time.perf_counter()
            photographs = PhotographFiles(lambda: iter(paths)).read()
            found = np.concatenate([some.probabilities for some in predict_photographs(classifier, photographs)])
            seconds["graft predict"].append(time.perf_counter() - started)
    best = {name: min(of) for name, of in seconds.items()}
    print(f"{len(paths)} photographs, {arguments.backbone} at {size} px, decoding included")
    for name, value in best.items():
        ratio = best["Keras model.predict"] / value
        print(f"{name:20}  {value:7.2f} s  {len(paths) / value:8.1f} images/s  {ratio:5.1f} x")
    print(f"graft's model was ready after {opened:.1f} s, TensorFlow not needed")
    print(f"largest difference of a probability: {np.abs(found - expected).max():.1e}")


if __name__ == "__main__":
    main()
