"""Slices of test images, by hand: cut where they should be, the worst first, with intervals that hold together."""

import numpy as np
import pandas as pd

from graft.evaluation.image_slices import slices
from graft.evaluation.intervals import share_interval


def test_the_dark_quarter_is_found_and_its_interval_allows_for_the_choice_among_slices() -> None:
    columns = pd.DataFrame({"brightness": np.linspace(0, 1, 80), "camera": ["phone", "scanner"] * 40})
    is_right = np.arange(80) >= 8
    found = slices(is_right, columns, np.arange(80))
    assert len(found) == 6
    worst = found[0]
    assert (worst.column, worst.images, worst.accuracy) == ("brightness", 20, 0.6)
    assert worst.values == "0 to 0.25"
    assert worst.interval == share_interval(is_right[:20], None, 1 - 0.05 / 6)
    assert worst.interval.low < share_interval(is_right[:20]).low
    assert sum(one.images for one in found if one.column == "brightness") == 80
    assert [one.accuracy for one in found] == sorted(one.accuracy for one in found)


def test_groups_of_a_slice_are_counted_and_widen_it() -> None:
    columns = pd.DataFrame({"camera": np.repeat(["a", "b"], 40)})
    is_right = np.repeat(np.arange(8) != 1, 10)
    alone, films = slices(is_right, columns, np.arange(80)), slices(is_right, columns, np.repeat(np.arange(8), 10))
    assert films[0].groups == 4
    assert films[0].interval.low < alone[0].interval.low


def test_what_says_nothing_is_left_out() -> None:
    columns = pd.DataFrame(
        {
            "name": [f"image {number}" for number in range(60)],  # a value for each image
            "same": 1.0,
            "rare": ["x"] * 5 + ["y"] * 55,  # five images, and so one slice alone
            "gaps": [np.nan] * 20 + ["left"] * 20 + ["right"] * 20,
        }
    )
    assert {one.column for one in slices(np.ones(60, bool), columns, np.arange(60))} == {"gaps"}
    assert slices(np.ones(4, bool), columns[:4], np.arange(4)) == []
