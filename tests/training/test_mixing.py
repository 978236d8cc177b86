"""MixUp and CutMix: labels say what was done to the pixels, and a key says what is done."""

from pathlib import Path

import numpy as np
import pytest
from tiny import clock, tinted_images

from graft.core.params.strategy_params import AugmentParams, ScratchParams
from graft.networks.decode_images import DecodedImages
from graft.training.batches import Batches
from graft.training.mixing import Mixing
from graft.training.strategies import scratch
from graft.training.strategy import Task

COUNT = 8
# Every image of one colour and of its own class, so that pixels tell whose they are.
GREYS = 30.0 * np.arange(COUNT)
IMAGES = np.broadcast_to(GREYS[:, None, None, None], (COUNT, 7, 9, 3)).astype(np.uint8)
ONE_HOT = np.eye(COUNT, dtype=np.float32)
KINDS = {"mix_up": {"mix_up": 0.4}, "cut_mix": {"cut_mix": 1.0}, "both": {"mix_up": 0.4, "cut_mix": 1.0}}
KEYS = [(1, epoch, batch) for epoch in range(3) for batch in range(4)]


def mixed(kind: str, key: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return Mixing(AugmentParams(**KINDS[kind]))(IMAGES, ONE_HOT, key)


def shares(images: np.ndarray) -> np.ndarray:
    """Of each image, the share of its pixels that each original gave, ``[N, N]``."""
    return np.stack([(images == grey).all(axis=-1).mean(axis=(1, 2)) for grey in GREYS], axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_out_is_a_batch_of_images_with_labels(kind: str) -> None:
    for key in KEYS:
        images, labels = mixed(kind, key)
        assert (images.shape, images.dtype) == (IMAGES.shape, np.float32)
        assert (labels.shape, labels.dtype) == (ONE_HOT.shape, np.float32)
        np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)
        assert labels.min() >= 0
        assert images.min() >= IMAGES.min()
        assert images.max() <= IMAGES.max() + 1e-3


def test_the_labels_of_mix_up_are_the_blend_of_the_pixels() -> None:
    blends = 0
    for key in KEYS:
        images, labels = mixed("mix_up", key)
        # One grey all over, which is that of the originals by their weights.
        np.testing.assert_allclose(images, np.broadcast_to(images[:, :1, :1, :1], images.shape))
        np.testing.assert_allclose(labels @ GREYS, images[:, 0, 0, 0], atol=1e-2)
        blends += ((labels > 0.05).sum(axis=1) == 2).sum()
    assert blends > len(KEYS) * COUNT / 4


def test_the_labels_of_cut_mix_are_the_shares_of_the_pixels() -> None:
    blends = 0
    for key in KEYS:
        images, labels = mixed("cut_mix", key)
        np.testing.assert_allclose(shares(images).sum(axis=1), 1)
        np.testing.assert_allclose(labels, shares(images), atol=1e-5)
        blends += ((labels > 0).sum(axis=1) == 2).sum()
    assert blends > len(KEYS) * COUNT / 4


def test_cut_mix_puts_one_rectangle_into_an_image() -> None:
    images, labels = mixed("cut_mix", KEYS[0])
    for index in np.flatnonzero((labels > 0).sum(axis=1) == 2):
        foreign = images[index, :, :, 0] != GREYS[index]
        rows, columns = np.flatnonzero(foreign.any(axis=1)), np.flatnonzero(foreign.any(axis=0))
        assert foreign[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


def test_with_alpha_1_cut_mix_takes_every_share_alike() -> None:
    large = np.broadcast_to(GREYS[:, None, None, None], (COUNT, 32, 32, 3))
    mix = Mixing(AugmentParams(cut_mix=1.0))
    own = np.concatenate([np.diag(mix(large, ONE_HOT, (2, batch))[1]) for batch in range(60)])
    # An image that was given a piece of itself has all of itself: one in COUNT.
    quartiles = np.histogram(own[own < 1], bins=4, range=(0, 1))[0] / (own < 1).sum()
    assert quartiles == pytest.approx([0.25] * 4, abs=0.08)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_key_gives_the_same_blends_whatever_came_before(kind: str) -> None:
    mix = Mixing(AugmentParams(**KINDS[kind]))
    first = mix(IMAGES, ONE_HOT, (1, 2, 3))
    mix(IMAGES, ONE_HOT, (1, 2, 4))
    for again in (mix(IMAGES, ONE_HOT, (1, 2, 3)), mixed(kind, (1, 2, 3))):
        np.testing.assert_array_equal(again[0], first[0])
        np.testing.assert_array_equal(again[1], first[1])
    others = [mixed(kind, key)[1] for key in ((2, 2, 3), (1, 3, 3), (1, 2, 4))]
    assert not any(np.array_equal(other, first[1]) for other in others)


def test_where_both_are_set_each_batch_has_one_of_them() -> None:
    kinds = set()
    for key in KEYS:
        images, _ = mixed("both", key)
        kinds.add("cut_mix" if np.isin(images, GREYS).all() else "mix_up")
    assert kinds == {"mix_up", "cut_mix"}


def test_nothing_set_is_nothing_to_do() -> None:
    assert not Mixing(AugmentParams(flip="horizontal"))
    assert Mixing(AugmentParams(cut_mix=0.5))


def test_an_alpha_that_cut_mix_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match="less than or equal to 1"):
        AugmentParams(cut_mix=2.0)


# --- in batches -------------------------------------------------------------------------------------------------


def batches(**options: object) -> Batches:
    mix = Mixing(AugmentParams(mix_up=0.4))
    return Batches(IMAGES, np.arange(COUNT) % 2, 2, batch_size=4, seed=5, mix=mix, **options)  # type: ignore[arg-type]


def test_batches_are_blended_anew_each_epoch_and_again_the_same() -> None:
    first, second = batches(), batches()
    blended = []
    for epoch in range(2):
        for each in (first, second):
            each.start_epoch(epoch)
        for index in reversed(range(2)):  # in whatever order they are asked for
            for one, other in zip(first[index], second[index], strict=True):
                np.testing.assert_array_equal(one, other)
        blended.append(first[0][0])
    assert not np.array_equal(blended[0], blended[1])


def test_a_blend_counts_by_the_weights_of_its_classes() -> None:
    _, labels, weights = batches(class_weights=np.array([0.5, 3.0]))[0]
    assert ((labels > 0.01) & (labels < 0.99)).any()
    np.testing.assert_allclose(weights, 0.5 * labels[:, 0] + 3.0 * labels[:, 1], rtol=1e-5)


def test_blends_reach_the_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[np.ndarray] = []
    original = Mixing.__call__

    def watch(self: Mixing, *arguments: object) -> tuple[np.ndarray, np.ndarray]:
        images, labels = original(self, *arguments)  # type: ignore[arg-type]
        seen.append(labels)
        return images, labels

    monkeypatch.setattr(Mixing, "__call__", watch)
    params = ScratchParams(
        kind="scratch", epochs=1, batch_size=8, learning_rate=0.01, filters=[2], augment=AugmentParams(mix_up=0.4)
    )
    train, val = DecodedImages(*tinted_images(16)), DecodedImages(*tinted_images(8, seed=1))
    scratch.train(params, Task("mixed", ["a", "b"], train, val, 16, 5, tmp_path, tmp_path / "c", clock()))
    assert sum(map(len, seen)) >= 16
    assert any(((labels > 0.01) & (labels < 0.99)).any() for labels in seen)
