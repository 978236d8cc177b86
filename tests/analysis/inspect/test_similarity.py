"""Pairs by features: what all pictures share must not make strangers alike."""

import numpy as np

from graft.analysis.inspect.similarity import similar_pairs


def features(count=50, dimensions=32, shared=20.0):
    random = np.random.default_rng(0)
    return (random.normal(size=(count, dimensions)) + shared).astype(np.float32)


def test_twins_are_found_and_strangers_are_not():
    found = features()
    assert (found @ found.T / np.outer(*[np.linalg.norm(found, axis=1)] * 2)).min() > 0.98  # uncentred: all alike
    found[40] = found[3] + 0.01
    pairs = similar_pairs(found, np.arange(50))
    assert [pair[:2] for pair in pairs] == [(3, 40)]
    assert 0.98 < pairs[0][2] <= 1


def test_what_is_known_to_be_alike_is_no_news():
    found = features()
    found[40] = found[3]
    groups = np.arange(50)
    groups[40] = 3
    assert similar_pairs(found, groups) == []


def test_each_image_brings_one_pair_at_most():
    found = features(count=60)
    found[:30] = found[0] + np.random.default_rng(1).normal(size=(30, 32)) * 0.001
    pairs = similar_pairs(found, np.arange(60))
    assert 15 <= len(pairs) <= 30
    assert len({pair[:2] for pair in pairs}) == len(pairs)
    assert all(i < j for i, j, _ in pairs)


def test_equal_features_throughout_and_none_at_all():
    assert similar_pairs(np.ones((5, 3), np.float32), np.arange(5)) == []
    assert similar_pairs(np.empty((0, 3), np.float32), np.arange(0)) == []
