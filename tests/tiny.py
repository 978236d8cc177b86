"""Tiny stand-ins for what is large in real life: images, a project, a Hub module, a network with its head."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from graft.core.params import Params, parse_params
from graft.core.project import Project
from graft.core.timing import StageClock

CLASSES = ["blue", "green", "red"]
SIZE = 16
# Images of each class by split.
COUNTS = {"train": 8, "val": 4, "test": 5}


def tinted_images(count: int, size: int = SIZE, classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise with one bright channel per class: images uint8 ``[N, S, S, 3]`` and labels, in turns."""
    labels = np.arange(count) % classes
    images = np.random.default_rng(seed).integers(0, 90, (count, size, size, 3)).astype(np.uint8)
    images[np.arange(count), :, :, labels] += 150
    return images, labels


def make_project(root: Path, dataset: str = "tints") -> Project:
    """A project as it is after stage split: images, tables, data.dvc, params and an (empty) pipeline."""
    project = Project(root)
    project.artifacts("split").mkdir(parents=True)
    (root / "params.yaml").write_text("{}\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "data.dvc").write_text(
        f"outs:\n- md5: 0123456789abcdef0123456789abcdef.dir\n  path: data\nmeta:\n  dataset: {dataset}\n"
    )
    files = []
    for seed, (split, count) in enumerate(COUNTS.items()):
        images, labels = tinted_images(count * len(CLASSES), size=20, classes=len(CLASSES), seed=seed)
        rows = []
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            # Channels are red, green, blue; classes are sorted by name.
            name = ("red", "green", "blue")[label]
            path = project.data / name / f"{split}-{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rows.append({"path": f"{name}/{path.name}", "label": name, "sha256": digest})
        table = pd.DataFrame(rows).sort_values("sha256")
        table[["sha256", "label"]].to_csv(project.split_table(split), index=False, lineterminator="\n")
        files.append(table.assign(split="", left_out=""))
    for groups in (project.training_groups, project.test_groups):
        groups.write_text("sha256,group\n")  # no image belongs with another
    project.artifacts("validate").mkdir(parents=True)
    pd.concat(files).to_parquet(project.manifest, index=False)
    return project


def write_member(folder: Path, classes: list[str], size: int, seed: int, temperature: float = 1.0) -> Path:
    """The bundle of a network of random weights, whose answers depend on the size that it sees an image at."""
    import keras

    from graft.training.write_bundle import write_bundle

    keras.utils.set_random_seed(seed)
    inputs = keras.Input((size, size, 3))
    maps = keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
    logits = keras.layers.Dense(len(classes), kernel_initializer="random_normal")(keras.layers.Flatten()(maps))
    write_bundle(keras.Model(inputs, 5 * logits), classes, size, folder, temperature=temperature)
    return folder


def tiny_params(ensemble: dict[str, Any] | None = None, **train: Any) -> Params:
    """Params with a strategy ``small`` that trains within seconds, and what ``train`` adds or changes."""
    small = {
        "kind": "scratch",
        "filters": [4],
        "epochs": 2,
        "patience": 2,
        "batch_size": 8,
        "learning_rate": 0.01,
        "head": {"dropout": 0.1},
        "l2": 0.0,
    }
    settings = {
        "run": ["small"],
        "image_size": SIZE,
        "seed": 7,
        "validation": "split",  # in folds it would be trained six times
        "backbone": {"source": "keras", "name": "MobileNet", "weights": "none"},
        "strategies": {"small": small},
        **train,
    }
    sections = {"validate": {}, "split": {}, "train": settings, "evaluate": {}, "register": {}, "gate": {}}
    return parse_params({**sections, "ensemble": ensemble or {}})


def clock() -> StageClock:
    return StageClock("test")


def write_hub_module(folder: Path, size: int = SIZE) -> Path:
    """A reusable SavedModel as TensorFlow Hub has them: convolution, batch norm, global pooling."""
    import tensorflow as tf

    random = tf.random.stateless_normal
    kernel = tf.Variable(0.3 * random((3, 3, 3, 8), (1, 2)), name="conv/kernel")
    gamma = tf.Variable(tf.ones(8), name="bn/gamma")
    beta = tf.Variable(tf.zeros(8), name="bn/beta")
    moving_mean = tf.Variable(tf.zeros(8), trainable=False, name="bn/moving_mean")
    moving_variance = tf.Variable(tf.ones(8), trainable=False, name="bn/moving_variance")

    @tf.function
    def features(images: Any, training: bool = False) -> Any:
        maps = tf.nn.conv2d(images, kernel, strides=2, padding="SAME")
        if training:
            mean, variance = tf.nn.moments(maps, axes=[0, 1, 2])
            moving_mean.assign(0.9 * moving_mean + 0.1 * mean)
            moving_variance.assign(0.9 * moving_variance + 0.1 * variance)
        else:
            mean, variance = moving_mean, moving_variance
        normed = tf.nn.batch_normalization(maps, mean, variance, beta, gamma, 1e-3)
        return tf.reduce_mean(tf.nn.relu(normed), axis=[1, 2])

    for training in (False, True):
        images = tf.TensorSpec((None, size, size, 3), tf.float32)
        features.get_concrete_function(images, training=training)
    module = tf.train.Checkpoint()
    module.__call__ = features
    module.variables = [kernel, gamma, beta, moving_mean, moving_variance]
    module.trainable_variables = [kernel, gamma, beta]
    tf.saved_model.save(module, str(folder))
    return folder
