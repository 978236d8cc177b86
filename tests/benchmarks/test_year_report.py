import math
from dataclasses import replace
from pathlib import Path

from benchmarks.year_holdout import set_aside
from benchmarks.year_report import Seen, against_latest, as_table, read, summary, what_became, write

WEEK = Seen(
    week=1,
    kind="",
    verdict="taken in",
    why="",
    train=80,
    val=20,
    test=30,
    test_moved=0,
    bad_in_data=0,
    champions=1,
    champion="2",
    accuracy=0.9,
    event="promoted",
    seconds=50.0,
    challenger=0.9,
    aside=0.8,
    challenger_aside=0.8,
    expected=0.85,
    measured=0.75,
)
BEGINNING = replace(WEEK, week=0, kind="the beginning", verdict="", champion="1", seconds=300.0)
REFUSED = replace(
    WEEK,
    week=2,
    event="refused",
    why="not_worse: -2.42 points, at worst -4.84 (needed: at worst 2). Train longer.; minimum: 0.4 (needed: 0.5).",
    seconds=70.0,
)
EMPTY = replace(
    WEEK, week=3, kind="empty", verdict="quarantined", event="quarantined", why="It holds no images.", seconds=2.0
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    rows = [BEGINNING, WEEK, REFUSED, EMPTY]
    write(rows, tmp_path)
    assert read(tmp_path) == rows


def test_every_fault_is_counted() -> None:
    bad = replace(WEEK, test_moved=3, bad_in_data=2, champions=0)
    assert (
        "Test images that moved: 3; refused images in data/: 2; weeks that did not end with one champion: 1"
        in summary([BEGINNING, bad])
    )
    assert (
        "Test images that moved: 0; refused images in data/: 0; weeks that did not end with one champion: 0"
        in summary([BEGINNING, WEEK])
    )


def test_the_beginning_is_not_among_the_weeks_that_are_timed() -> None:
    assert summary([BEGINNING, WEEK, REFUSED, EMPTY]).endswith(
        "A week with new images took 60 s in the middle, one without 2 s."
    )


def test_what_became_of_a_week() -> None:
    assert what_became(BEGINNING) == "the champion from here on"
    assert what_became(WEEK) == "taken in; the champion from here on"
    assert what_became(REFUSED) == (
        "taken in; kept back by the gate; not_worse: -2.42 points; minimum: 0.4 (needed: 0.5)."
    )
    assert what_became(EMPTY) == "quarantined; It holds no images."


def test_a_line_for_each_week() -> None:
    lines = as_table([BEGINNING, EMPTY]).splitlines()
    assert (
        lines[-2] == "| 0 | the beginning | the champion from here on | 80 | 30 | 1 | 90.00% | 80.00% | 85.0% | 75.0% |"
    )
    assert (
        lines[-1] == "| 3 | empty | quarantined; It holds no images. | 80 | 30 | 2 | 90.00% | 80.00% | 85.0% | 75.0% |"
    )
    without = as_table([replace(BEGINNING, expected=math.nan)]).splitlines()
    assert without[-1].endswith("| 90.00% | 80.00% |")


def test_the_champion_is_held_against_the_last_ten_on_images_that_nothing_sees() -> None:
    rows = [replace(WEEK, week=week, aside=0.8, challenger_aside=0.7 + 0.01 * week) for week in range(13)]
    assert against_latest(rows) == [
        "On images that nothing sees, in week 6: champion 80.00%, the last 7 challengers 73.00% on average.",
        "On images that nothing sees, in week 12: champion 80.00%, the last 10 challengers 77.50% on average.",
    ]
    assert against_latest([replace(WEEK, aside=math.nan)]) == []


def test_whole_groups_are_set_aside_and_always_the_same() -> None:
    pool = {"a": [Path(f"hand{hand}-{frame}.jpg") for hand in range(10) for frame in range(5)]}
    kept, aside = set_aside(pool, 0.2, "(.+)-[0-9]+")
    assert (len(kept["a"]), len(aside["a"])) == (40, 10)
    hands = {path.name.split("-")[0] for path in aside["a"]}
    assert len(hands) == 2
    assert not hands & {path.name.split("-")[0] for path in kept["a"]}
    assert set_aside({"a": pool["a"][::-1]}, 0.2, "(.+)-[0-9]+")[1]["a"] == aside["a"][::-1]
    assert set_aside(pool, 0.0, "none") == (pool, {"a": []})
