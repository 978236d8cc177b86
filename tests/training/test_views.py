"""Views of images: what may change does, within its bounds, and only by image and number."""

from typing import Any

import numpy as np
import pytest

from graft.core.params.strategy_params import AugmentParams
from graft.networks.decode_images import DecodedImages
from graft.training.views import view

EVERYTHING = {"flip": "horizontal", "rotate": 0.1, "zoom": 0.2, "translate": 0.2, "contrast": 0.4, "brightness": 0.3}
IMAGES = np.random.default_rng(0).integers(20, 235, (24, 12, 12, 3)).astype(np.uint8)


def views(number: int = 0, images: np.ndarray = IMAGES, **settings: Any) -> np.ndarray:
    return view(images, DecodedImages(images).keys, number, AugmentParams(**settings), seed=3)


def test_no_change_is_the_image() -> None:
    found = views()
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, IMAGES)


@pytest.mark.parametrize("setting", EVERYTHING)
def test_each_setting_changes_images_and_keeps_them_in_range(setting: str) -> None:
    found = views(**{setting: EVERYTHING[setting]})
    assert not np.allclose(found, IMAGES)
    assert found.shape == IMAGES.shape
    assert 0 <= found.min() <= found.max() <= 255


def test_a_view_is_a_function_of_image_and_number() -> None:
    found = views(2, **EVERYTHING)
    order = np.random.default_rng(1).permutation(len(IMAGES))
    # Another order, other neighbours, another batch size: the same views.
    np.testing.assert_array_equal(views(2, images=IMAGES[order], **EVERYTHING), found[order])
    np.testing.assert_array_equal(views(2, images=IMAGES[7:8], **EVERYTHING)[0], found[7])
    assert not np.allclose(views(3, **EVERYTHING), found)


@pytest.mark.parametrize(
    ("flip", "axes"),
    [("horizontal", [()  , (2,)]), ("vertical", [(), (1,)]), ("horizontal_and_vertical", [(), (1,), (2,), (1, 2)])],
)  # fmt: skip
def test_a_flip_mirrors_exactly_some_images_each_way(flip: str, axes: list[tuple[int, ...]]) -> None:
    found = views(flip=flip)
    seen = set()
    for index, image in enumerate(found):
        ways = [way for way in axes if np.allclose(image, np.flip(IMAGES[index : index + 1], way)[0], atol=1e-3)]
        assert len(ways) == 1
        seen.update(ways)
    assert seen == set(axes)


def square(size: int = 33) -> np.ndarray:
    """A white square in the middle of each of 40 black images that differ in one pixel of the corner."""
    images = np.zeros((40, size, size, 3), np.uint8)
    images[:, 11:22, 11:22] = 255
    images[np.arange(40), 0, 0, 0] = np.arange(40)
    return images


def centres(images: np.ndarray) -> np.ndarray:
    mass = images[:, 2:, 2:].sum(axis=3).astype(np.float64)
    axis = np.arange(2, images.shape[1])
    total = mass.sum(axis=(1, 2))
    return (
        np.stack([(mass.sum(axis=1) * axis).sum(axis=1), (mass.sum(axis=2) * axis).sum(axis=1)], axis=1)
        / total[:, None]
    )


def areas(images: np.ndarray) -> np.ndarray:
    return images[:, 2:, 2:].sum(axis=(1, 2, 3)) / (3 * 255)


def test_a_shift_moves_up_to_its_share_in_both_directions() -> None:
    moved = centres(views(images=square(), translate=0.2)) - 16
    assert np.abs(moved).max() <= 0.2 * 33 + 0.2
    assert moved.min() < -3
    assert moved.max() > 3
    np.testing.assert_allclose(areas(views(images=square(), translate=0.2)), 121, rtol=0.02)


def test_zoom_changes_the_area_about_the_centre() -> None:
    found = views(images=square(), zoom=0.3)
    factors = np.sqrt(areas(found) / 121)
    assert 1 / 1.3 - 0.05 <= factors.min() < 0.85
    assert 1.15 < factors.max() <= 1 / 0.7 + 0.05
    np.testing.assert_allclose(centres(found), 16, atol=0.1)


def test_a_turn_keeps_area_and_centre() -> None:
    found = views(images=square(), rotate=0.125)
    np.testing.assert_allclose(areas(found), 121, rtol=0.03)
    np.testing.assert_allclose(centres(found), 16, atol=0.1)
    # Turned by up to 45 degrees, the square's corners come to lie beyond its old sides.
    assert found[:, 16, 23].max() > 200
