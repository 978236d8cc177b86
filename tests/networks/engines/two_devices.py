"""Trainings on one device and on two, in a process of its own: TensorFlow splits the CPU before its first use only.

``python two_devices.py FOLDER`` leaves ``CASE-one.npz`` and ``CASE-two.npz`` with weights and figures of each, and
the bundles of ``SERVED``.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tiny import clock, tinted_images

from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.params.strategy_params import AugmentParams, FineTuneParams, HeadParams, ScratchParams
from graft.networks.decode_images import DecodedImages
from graft.networks.engines.devices import all_devices
from graft.training.strategies import fine_tune, scratch
from graft.training.strategy import Task, Trained
from graft.training.write_bundle import write_bundle

SERVED = "an odd last batch"
DEVICES = {"one": None, "two": ["CPU:0", "CPU:1"]}

# No dropout, augmentation or batch norm in training: those look at the share of a device.
HEAD = HeadParams(pooling="flatten", hidden=[6], dropout=0.0)
COMMON = {"batch_size": 8, "epochs": 2, "learning_rate": 0.002}
MLP = {"kind": "scratch", "network": "mlp", "head": HEAD, **COMMON}
BACKBONE = KerasBackboneParams(source="keras", name="MobileNet", weights="none")
TRANSFER = {"backbone": BACKBONE, "head": HeadParams(dropout=0.0), **COMMON}


def imbalanced(count: int, size: int = 16) -> DecodedImages:
    return DecodedImages(tinted_images(count, size)[0], (np.arange(count) % 3 == 0).astype(int))


def cases() -> dict[str, tuple[Callable[..., Trained], Any, DecodedImages]]:
    return {
        # Eight, eight and three: what goes into two devices and what does not.
        "an odd last batch": (scratch.train, ScratchParams(**MLP), imbalanced(19)),
        "a last batch of one, every option": (
            scratch.train,
            ScratchParams(
                **MLP,
                optimizer="adamw",
                weight_decay=0.1,
                schedule="cosine",
                warm_up_epochs=1,
                ema_momentum=0.5,
                class_weight="balanced",
                label_smoothing=0.1,
                augment=AugmentParams(mix_up=0.4),
            ),
            imbalanced(17),
        ),
        "fine_tune": (
            fine_tune.train,
            FineTuneParams(kind="fine_tune", unfreeze="conv_dw_13", head_epochs=1, **TRANSFER),
            imbalanced(9, 32),
        ),
    }


def main(folder: Path) -> None:
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for name, (train, params, images) in cases().items():
        size = images.inputs.shape[1]
        val = DecodedImages(*tinted_images(7, size, seed=1))  # does not go into two
        for label, devices in DEVICES.items():
            keras.utils.set_random_seed(5)
            place = folder / f"{name}-{label}"
            task = Task(name, ["a", "b"], images, val, size, 5, folder, place / "checkpoint", clock())
            with all_devices(devices):
                trained = train(params, task)
            if name == SERVED:
                write_bundle(trained.model, ["a", "b"], size, place / "bundle")
            np.savez(
                folder / f"{name}-{label}.npz",
                epochs=trained.fit.epochs.drop(columns="seconds").to_numpy(),
                losses=trained.fit.steps["loss"].to_numpy(),
                best=trained.fit.best_epoch,
                val_logits=trained.val_logits,
                **{f"weight_{i}": weight for i, weight in enumerate(trained.model.get_weights())},
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
