"""What the accidents work on: a trained model that takes a moment to make, and photographs of 20 pixels."""

from pathlib import Path

import numpy as np
from PIL import Image
from tiny import CLASSES, SIZE, make_project

from graft.core.project import Project

REPOSITORY = Path(__file__).resolve().parents[2]


def make_trained(root: Path) -> Project:
    """A project of tiny images with the repository's params.yaml, and a model in ``model`` that was never trained."""
    import keras

    from graft.training.write_bundle import write_bundle

    project = make_project(root)
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    project.params_file.write_text(text, encoding="utf-8")
    inputs = keras.Input((SIZE, SIZE, 3), name="image")
    means = keras.layers.GlobalAveragePooling2D()(inputs)
    network = keras.Model(inputs, keras.layers.Rescaling(1 / 50)(means))
    write_bundle(network, CLASSES, SIZE, root / "model")
    return project


def photographs_of(folder: Path, count: int) -> None:
    """Write so many different photographs."""
    folder.mkdir()
    random = np.random.default_rng(1)
    for number in range(count):
        pixels = random.integers(0, 256, (20, 20, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")


def make_served(root: Path) -> tuple[Project, list[tuple[bytes, str]]]:
    """A project with two registered versions, the first one champion; and photographs with their labels.

    The label is the brightest channel, by construction.
    """
    import io

    import keras
    from champions import CLASSES as CHANNELS
    from champions import move_champion, register
    from tiny import tinted_images

    from graft.training.write_bundle import write_bundle

    project = make_project(root)
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    project.params_file.write_text(text.replace("poll_seconds: 5 ", "poll_seconds: 1 "), encoding="utf-8")
    for name, sharpness in (("mild", 1 / 50), ("sharp", 1 / 25)):
        inputs = keras.Input((SIZE, SIZE, 3), name="image")
        means = keras.layers.GlobalAveragePooling2D()(inputs)
        network = keras.Model(inputs, keras.layers.Rescaling(sharpness)(means))
        write_bundle(network, CHANNELS, SIZE, root / "bundles" / name)
        register(project, root / "bundles" / name)
    move_champion(project, "1")
    photographs = []
    for image, label in zip(*tinted_images(90, size=120, classes=3), strict=True):
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=95)
        photographs.append((stream.getvalue(), CHANNELS[label]))
    return project, photographs
