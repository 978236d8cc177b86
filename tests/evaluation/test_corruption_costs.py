"""Corruptions grow with their severity, and what they cost is that of the same images."""

from types import SimpleNamespace

import numpy as np
import pytest
from pictures import scene

from graft.evaluation.corruption_costs import robustness
from graft.evaluation.corruptions import CORRUPTIONS, SEVERITIES


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.stack([np.asarray(scene(seed, (64, 64))) for seed in range(4)])


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_more_severe_is_further_from_the_image(kind: str, images: np.ndarray) -> None:
    before = images.copy()
    distances = []
    for severity in SEVERITIES:
        changed = CORRUPTIONS[kind](images, severity)
        assert (changed.dtype, changed.shape) == (np.uint8, images.shape)
        np.testing.assert_array_equal(changed, CORRUPTIONS[kind](images, severity))
        distances.append(np.abs(changed.astype(float) - images).mean())
    assert distances[0] > 0
    assert distances == sorted(distances)
    np.testing.assert_array_equal(images, before)


def test_the_cost_is_that_of_the_same_images() -> None:
    """A classifier that asks whether the image is bright fails in the dark, and nowhere else on flat images."""

    def probabilities(pixels: dict[int, np.ndarray]) -> np.ndarray:
        is_bright = pixels[8].mean(axis=(1, 2, 3)) > 120
        return np.stack([~is_bright, is_bright], axis=1).astype(float)

    labels = np.arange(40) % 2
    flat = np.where(labels[:, None, None, None] == 1, 160, 40) * np.ones((40, 8, 8, 3))
    model = SimpleNamespace(image_sizes=[8], probabilities=probabilities)
    counted: list[int] = []
    found = robustness(
        model,  # type: ignore[arg-type]
        lambda side, rows: flat[rows].astype(np.uint8),
        labels,
        np.arange(40),
        counted.append,
    )
    assert sum(counted) == 40 * len(found) == 40 * (1 + 6 * 5)
    assert (found[0].kind, found[0].accuracy, found[0].difference) == ("", 1.0, 0.0)
    lost = {(one.kind, one.severity): one for one in found if one.difference < 0}
    assert set(lost) == {("darkness", severity) for severity in SEVERITIES}
    worst = lost["darkness", 5]
    assert (worst.accuracy, worst.difference) == (0.5, -0.5)
    assert worst.difference_interval.low < -0.5 < worst.difference_interval.high < -0.2
