"""MixUp and CutMix: images of a batch blended with one another, and their labels with them.

Unlike the other random changes these need the labels, so they come before the model, on whole batches; what follows
inside the model then holds for both images of a blend.
"""

from typing import Any

import keras
import numpy as np

from graft.core.params.strategy_params import AugmentParams

# MixUp: https://arxiv.org/abs/1710.09412, CutMix: https://arxiv.org/abs/1905.04899.


class Mixing:
    """Blends batches; what comes out is a function of the batch and the key, so that a training can be resumed.

    Args:
        params: ``mix_up`` and ``cut_mix``, each the alpha of its Beta distribution. Where both are set, each batch
            is given to one of them, at random.
    """

    def __init__(self, params: AugmentParams) -> None:
        self.kinds = {name: alpha for name, alpha in (("mix_up", params.mix_up), ("cut_mix", params.cut_mix)) if alpha}

    def __bool__(self) -> bool:
        return bool(self.kinds)

    def __call__(self, images: np.ndarray, one_hot: np.ndarray, key: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Blend images float32 ``[N, S, S, 3]`` and labels float32 ``[N, C]``, rows summing to 1.

        Args:
            images: ``[N, S, S, 3]`` in 0..255.
            one_hot: ``[N, C]``.
            key: what the randomness is drawn from: seed, epoch, number of the batch.
        """
        random = np.random.default_rng(key)
        name = random.choice(sorted(self.kinds))
        # A new layer for each batch: its generator is then a function of the key, not of the batches before.
        seed = int(random.integers(2**31))
        alpha = self.kinds[name]
        layer: keras.layers.Layer
        if name == "mix_up":
            layer = keras.layers.MixUp(alpha=alpha, seed=seed, dtype="float32")
        else:
            # One number would be the highest of a range that Keras draws alpha from.
            layer = _ExactCutMix(factor=(alpha, alpha), seed=seed, dtype="float32")
        mixed = layer({"images": images.astype(np.float32), "labels": one_hot}, training=True)
        return keras.ops.convert_to_numpy(mixed["images"]), keras.ops.convert_to_numpy(mixed["labels"])


class _ExactCutMix(keras.layers.CutMix):
    """CutMix whose labels say which share of the pixels was taken.

    Keras' go by the rectangle as it was drawn, with fractions of pixels: up to 2 points beside the truth at 96
    pixels a side, 23 at 8.
    """

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        transformation = super().get_random_transformation(data, training, seed)
        if transformation is not None:
            taken = keras.ops.cast(transformation["batch_masks"], "float32")
            transformation["mix_weight"] = 1 - keras.ops.mean(taken, axis=(1, 2, 3))
        return transformation
