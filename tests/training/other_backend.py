"""The training core on whichever backend Keras is told to use, in a process of its own.

``KERAS_BACKEND=jax python other_backend.py FOLDER`` trains with every option, once through and once stopped and
carried on, and fails where the two differ.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
from tiny import tinted_images

from graft.core.params.strategy_params import AugmentParams, HeadParams, ScratchParams
from graft.networks.engines.devices import arithmetic, gpu_count
from graft.networks.engines.fastest import keras_engine
from graft.training.augmentation import augmentation_layers
from graft.training.checkpoint import TrainingState
from graft.training.fit import FitResult, Labelled, fit
from graft.training.mixing import Mixing
from graft.training.optimizers import layer_rate_factors
from graft.training.strategies.scratch import build_network
from graft.training.unfreezing import unfreeze

TRAIN, VAL = Labelled(*tinted_images(22)), Labelled(*tinted_images(8, seed=1))
EVERYTHING = AugmentParams(
    mix_up=0.2,
    cut_mix=1.0,
    flip="horizontal",
    rotate=0.1,
    zoom=0.2,
    translate=0.1,
    contrast=0.3,
    brightness=0.2,
    rand_augment=0.3,
)


def params(optimizer: str) -> ScratchParams:
    return ScratchParams(
        kind="scratch",
        epochs=4,
        patience=4,
        batch_size=8,
        learning_rate=0.02,
        optimizer=optimizer,  # type: ignore[arg-type]
        weight_decay=0.01,
        schedule="cosine",
        warm_up_epochs=1,
        ema_momentum=0.5,
        class_weight="balanced",
        label_smoothing=0.1,
        head=HeadParams(hidden=[6], batch_norm=True, dropout=0.2, l2=0.001),
        filters=[4, 6],
        augment=EVERYTHING,
    )


def train(settings: ScratchParams, checkpoint: Path | None) -> tuple[keras.Model, FitResult]:
    keras.utils.set_random_seed(5)
    model = build_network(settings, 16, 2, seed=5)
    unfreeze(model, "all", "update")
    result = fit(
        model,
        TRAIN,
        VAL,
        settings,
        classes=2,
        seed=5,
        label="test",
        checkpoint=checkpoint,
        augmentation=augmentation_layers(settings.augment, seed=5),
        mix=Mixing(settings.augment),
        rate_factors=layer_rate_factors(model, 0.7),
    )
    return model, result


def stopped(settings: ScratchParams, checkpoint: Path) -> None:
    """A training that ends in the middle of its third epoch."""
    original = TrainingState.on_train_batch_end

    def stop(self: TrainingState, batch: int, logs: dict[str, float] | None = None) -> None:
        if len(self.epochs) == 2 and batch == 1:
            raise KeyboardInterrupt
        original(self, batch, logs)

    TrainingState.on_train_batch_end = stop  # type: ignore[method-assign]
    try:
        train(settings, checkpoint)
    except KeyboardInterrupt:
        return
    finally:
        TrainingState.on_train_batch_end = original  # type: ignore[method-assign]
    raise AssertionError("it was not stopped")


def require_whole_float32() -> None:
    """Under ``arithmetic``, whatever the backend does by itself."""
    with arithmetic("float32"):
        if keras.config.backend() == "torch":
            import torch

            assert not torch.backends.cudnn.allow_tf32
            assert not torch.backends.cuda.matmul.allow_tf32
        else:
            import jax

            assert jax.config.jax_default_matmul_precision == "highest"


def main(folder: Path) -> None:
    require_whole_float32()
    with arithmetic("auto") as precision:
        assert precision == ("mixed_float16" if gpu_count() else "float32")
    for optimizer in ("adamw", "sgd"):
        settings = params(optimizer)
        model, through = train(settings, None)
        stopped(settings, folder / optimizer)
        again, resumed = train(settings, folder / optimizer)
        for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
        frames = [result.epochs.drop(columns="seconds") for result in (through, resumed)]
        np.testing.assert_allclose(frames[0], frames[1], rtol=1e-3, atol=1e-5)
        losses = through.epochs["log_loss"]
        assert losses.iloc[-1] < losses.iloc[0], losses
        logits = keras_engine(model)(VAL.inputs)
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        right = (exponents / exponents.sum(axis=1, keepdims=True))[np.arange(len(VAL.labels)), VAL.labels]
        kept = through.epochs["val_log_loss"][through.best_epoch]
        # Other statistics of batch norm than those that were validated, and better ones.
        assert -np.log(right).mean() < 1.2 * kept
    print(f"backend {keras.config.backend()}: done")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
