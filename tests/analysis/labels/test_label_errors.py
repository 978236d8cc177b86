"""Likely label errors: flipped labels are found, and nothing else; folds never tear copies apart."""

import numpy as np
import pytest
from photographs import manifest_rows, scene

from graft.analysis.inspect.inspect_data import label_check
from graft.analysis.labels.label_errors import find_suspects
from graft.analysis.probe import out_of_fold

COLOURS = ("red", "green", "blue")


def picture_features(count):
    """Mean colours of a grid of cells of generated pictures, float32 [N, 48], and their true labels."""
    pictures = [scene(i % 3, seed=i).resize((4, 4)) for i in range(count)]
    features = np.stack([np.asarray(picture, np.float32).ravel() for picture in pictures])
    return features, np.array([COLOURS[i % 3] for i in range(count)])


def test_three_flipped_labels_of_sixty_are_found_and_no_other():
    features, labels = picture_features(60)
    flipped = {7: "blue", 30: "green", 44: "red"}
    given = labels.copy()
    for index, label in flipped.items():
        assert given[index] != label
        given[index] = label
    check = label_check(manifest_rows(given.tolist()), features, np.arange(60), seed=7, backbone="x")
    assert not check.skipped
    found = {int(issue.picture.path.split("/")[1].removesuffix(".png")): issue for issue in check.issues}
    assert set(found) == set(flipped)
    for index, issue in found.items():
        assert issue.suggested == labels[index]
        assert issue.given_probability < 0.5 < issue.suggested_probability
    assert (check.checked, check.folds) == (60, 5)
    assert check.agreement == pytest.approx(57 / 60)
    ranks = [issue.given_probability for issue in check.issues]
    assert ranks == sorted(ranks)


def test_right_labels_raise_no_suspicion():
    features, labels = picture_features(60)
    assert label_check(manifest_rows(labels.tolist()), features, np.arange(60), seed=7, backbone="x").issues == []


def test_a_copy_cannot_vouch_for_its_own_wrong_label():
    # Six copies of one red picture, all labelled blue: any of them in training would confirm the others.
    features, labels = picture_features(60)
    copies = np.r_[np.arange(60), np.zeros(6, int)]
    given = np.r_[labels, np.full(6, "blue")]
    given[0] = "blue"
    together = find_suspects(given, out_of_fold(features[copies], given, copies, seed=7))
    apart = find_suspects(given, out_of_fold(features[copies], given, np.arange(66), seed=7))
    wrong = {0, *range(60, 66)}
    assert {suspect.index for suspect in together} == wrong
    assert {suspect.index for suspect in apart} < wrong


def test_folds_shrink_with_the_smallest_class():
    features, labels = picture_features(60)
    rows = np.r_[np.flatnonzero(labels != "blue"), np.flatnonzero(labels == "blue")[:3]]
    assert out_of_fold(features[rows], labels[rows], np.arange(len(rows)), seed=7).folds == 3


def test_a_class_too_small_to_judge_is_left_out_and_named():
    features, labels = picture_features(60)
    rows = np.r_[np.flatnonzero(labels != "blue"), np.flatnonzero(labels == "blue")[:2]]
    check = label_check(
        manifest_rows(labels[rows].tolist()), features[rows], np.arange(len(rows)), seed=7, backbone="x"
    )
    assert check.checked == 40
    assert any("'blue' was left out" in note for note in check.notes)


@pytest.mark.parametrize("labels", [["a"] * 10, ["a"] * 10 + ["b"], ["a", "b", "c"]])
def test_skipped_with_the_reason_where_there_is_nothing_to_tell_apart(labels):
    features = np.random.default_rng(0).normal(size=(len(labels), 4)).astype(np.float32)
    check = label_check(manifest_rows(labels), features, np.arange(len(labels)), seed=7, backbone="x")
    assert "two classes of at least 3" in check.skipped


def test_a_group_that_holds_most_of_a_class_is_not_judged_without_the_rest():
    features, labels = picture_features(60)
    groups = np.arange(60)
    blue = np.flatnonzero(labels == "blue")
    groups[blue[:18]] = blue[0]
    judged = out_of_fold(features, labels, groups, seed=7)
    assert judged.folds == 3
    assert np.isfinite(judged.probabilities).all()
    assert judged.probabilities.sum(axis=1) == pytest.approx(1)
