"""Models against the first of them, by hand, on the images that they have in common."""

import numpy as np
import pandas as pd
import pytest

from graft.core.errors import GraftError
from graft.evaluation.compare_models import compare_models

CLASSES = ["cat", "dog"]


def table(labels: str, predicted: str, first: int = 0, stated: float = 0.9) -> pd.DataFrame:
    """Predictions of cats and dogs, by their first letters; images are numbered from ``first``."""
    names = {"c": "cat", "d": "dog"}
    rows = []
    for number, (label, said) in enumerate(zip(labels, predicted, strict=True), first):
        chances = {f"p_{name}": stated if name == names[said] else 1 - stated for name in CLASSES}
        rows.append({"sha256": f"{number:064x}", "label": names[label], "predicted": names[said], **chances})
    return pd.DataFrame(rows)


def test_the_difference_is_that_of_the_same_images() -> None:
    found = compare_models({"one": table("ccdd", "ccdc"), "other": table("ccdd", "cddd")}, {})
    (difference,) = found.differences
    assert (found.reference, difference.name, found.images, found.groups) == ("one", "other", 4, 4)
    against = difference.comparison
    assert (against.only_candidate_right, against.only_champion_right, against.difference) == (1, 1, 0)
    assert against.answer == "not distinguishable"
    assert difference.log_loss == pytest.approx(0)
    assert found.figures["one"]["accuracy"].value == 0.75
    assert found.disagreements.to_dict("list") == {
        "sha256": [f"{1:064x}", f"{3:064x}"],
        "label": ["cat", "dog"],
        "one": ["cat", "cat"],
        "other": ["dog", "dog"],
    }


def test_log_loss_is_below_zero_where_the_other_is_better_and_its_interval_is_students() -> None:
    labels = "cd" * 20
    sure, unsure = table(labels, labels, stated=0.99), table(labels, labels, stated=0.8)
    unsure.loc[0, ["p_cat", "p_dog"]] = [0.6, 0.4]
    found = compare_models({"unsure": unsure, "sure": sure}, {}).differences[0]
    gains = np.array([np.log(0.6), *([np.log(0.8)] * 39)]) - np.log(0.99)
    assert found.log_loss == pytest.approx(gains.mean())
    half = 2.0227 * gains.std(ddof=1) / np.sqrt(40)  # the 97.5 % point of t with 39 degrees of freedom
    assert found.log_loss_interval.high - found.log_loss == pytest.approx(half, rel=1e-3)


def test_images_of_one_group_count_as_one_witness() -> None:
    labels, wrong = "c" * 60, "d" * 10 + "c" * 50
    tables = {"one": table(labels, labels), "other": table(labels, wrong)}
    film = {f"{number:064x}": "film" for number in range(10)}
    alone, together = compare_models(tables, {}), compare_models(tables, film)
    assert alone.differences[0].comparison.answer == "worse"
    assert together.groups == 51
    assert together.differences[0].comparison.answer == "not distinguishable"


def test_only_images_in_common_are_compared() -> None:
    found = compare_models({"one": table("ccdd", "ccdd"), "other": table("ddcc", "ddcd", first=2)}, {})
    assert found.images == 2
    with pytest.raises(GraftError, match="on other test photographs"):
        compare_models({"one": table("cc", "cc"), "other": table("cc", "cc", first=5)}, {})


def test_a_class_that_a_model_does_not_know_is_wrong_and_no_error() -> None:
    new = table("ccdd", "ccdd").assign(p_eel=0.0)
    new.loc[3, ["label", "predicted", "p_eel", "p_dog", "p_cat"]] = ["eel", "eel", 0.9, 0.1, 0.0]
    found = compare_models({"new": new, "old": table("ccdd", "ccdd")}, {})
    assert found.differences[0].comparison.only_champion_right == 1
    assert np.isfinite(found.differences[0].log_loss)


def test_it_is_plain_values() -> None:
    import json

    found = compare_models({"one": table("ccdd", "ccdc"), "other": table("ccdd", "cddd")}, {}).as_json()
    assert json.loads(json.dumps(found)) == found
    assert found["models"]["one"]["accuracy"]["low"] < 0.75
