"""Curves by threshold, held against scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_curve

from graft.evaluation.threshold_curves import (
    BINS,
    POINTS,
    coverage,
    curve_tables,
    mean_curve,
    precision_curves,
    reliability,
    roc_curves,
)

GRID = np.linspace(0, 1, POINTS)


@pytest.fixture(scope="module")
def predicted() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 400)
    logits = generator.normal(size=(400, 4)).round(1)  # with ties, and a class that no image has
    logits[np.arange(400), labels] += 1.5
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_roc_is_scikit_learn_s(predicted: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = predicted
    found = roc_curves(labels, probabilities)
    for index in range(3):
        falses, hits, _ = roc_curve(labels == index, probabilities[:, index], drop_intermediate=False)
        expected = np.interp(GRID, falses, hits)
        np.testing.assert_allclose(found[index, 1:], expected[1:], atol=1e-9)
        assert found[index, 0] == hits[falses == 0].max()
    assert np.isnan(found[3]).all()
    np.testing.assert_allclose(mean_curve(found), found[:3].mean(axis=0))


def test_the_area_under_precision_is_near_average_precision(predicted: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = predicted
    found = precision_curves(labels, probabilities)
    for index in range(3):
        expected = average_precision_score(labels == index, probabilities[:, index])
        # Interpolated precision is never below what it interpolates.
        assert expected - 0.005 <= found[index].mean() <= expected + 0.03
        assert (np.diff(found[index]) <= 0).all()
        assert found[index, -1] == pytest.approx((labels == index).mean(), abs=0.1)


def test_bins_of_equal_width_have_their_shares(predicted: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = predicted
    found = reliability(labels, probabilities)
    assert found["images"].sum() == len(labels)
    assert (found["low"] <= found["right"]).all() and (found["right"] <= found["high"]).all()
    confidence = probabilities.max(axis=1)
    own = (confidence > 0.5) & (confidence <= 0.6)
    row = found[(found["confidence"] > 0.5) & (found["confidence"] <= 0.6)].iloc[0]
    assert row["right"] == (probabilities.argmax(axis=1) == labels)[own].mean()


def test_coverage_counts_what_is_above_a_threshold(predicted: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = predicted
    above, right = coverage(labels, probabilities)
    confidence, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    for place in (0, 40, 70):
        own = confidence >= GRID[place]
        assert above[place] == own.mean()
        assert right[place] == is_right[own].mean()
    assert above[0] == 1 and np.isnan(right[-1])


def test_tables_have_a_column_for_each_model(predicted: tuple[np.ndarray, np.ndarray]) -> None:
    tables = curve_tables({"one": predicted, "other": predicted})
    assert list(tables["roc"]) == ["false_positive_rate", "one", "other"]
    assert {name: len(table) for name, table in tables.items()} == {
        "roc": POINTS,
        "precision_recall": POINTS,
        "reliability": BINS,
        "answered": POINTS,
    }
    assert list(curve_tables({})["roc"]) == ["false_positive_rate"]
