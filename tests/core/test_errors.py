"""Errors as sentences."""

import pickle

import pytest

from graft.core.errors import GraftError, did_you_mean, first_line


@pytest.mark.parametrize(
    ("what", "fix", "sentence"),
    [
        ("No such file", "Name another", "No such file. Name another."),
        ("No such file.", "Name another.", "No such file. Name another."),
        ("Why?", "Because!", "Why? Because!"),
        ("No such file", "", "No such file."),
    ],
)
def test_what_and_fix_become_sentences(what: str, fix: str, sentence: str) -> None:
    assert str(GraftError(what, fix)) == sentence


def test_an_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(GraftError("No such file", "Name another")))
    assert (error.what, error.fix) == ("No such file", "Name another")
    assert str(error) == "No such file. Name another."


def test_the_nearest_name_is_suggested() -> None:
    assert did_you_mean("frozn", ["frozen", "scratch"]) == "Did you mean 'frozen'?"


def test_far_from_everything_the_known_names_are_listed() -> None:
    assert did_you_mean("xyz", ["scratch", "frozen"]) == "Known: frozen, scratch"
    assert did_you_mean("xyz", ["scratch"], "See the list") == "See the list"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("first.\nsecond"), "first"),
        (TimeoutError(), "TimeoutError"),
        (OSError("\n\n  "), "OSError"),
        (ValueError("x" * 500), "x" * 200),
    ],
)
def test_the_first_line_of_an_error_fits_into_a_sentence(error: Exception, line: str) -> None:
    assert first_line(error) == line
