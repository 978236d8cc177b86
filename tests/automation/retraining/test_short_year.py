"""The simulated year of benchmarks/year.py, three weeks long: a real Prefect server and a schedule at work."""

import argparse
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from small_project import picture

from benchmarks.year import begin, run_year
from benchmarks.year_report import Seen
from graft.core.project import Project

COLOURS = ("blue", "red", "grey")
SETTINGS = [
    # Weights of its own would have to be fetched; colours can be told without.
    "train.backbone.weights=none",
    "train.run=[scratch]",
    "train.validation=split",  # in folds each week would be trained six times
    "train.strategies.scratch.image_size=32",
    "train.strategies.scratch.epochs=6",
    "train.strategies.scratch.augment={flip: none}",  # nothing is left to be measured
    "split.min_images=10",
    "gate.minimum=0",
    "gate.severity.class_recall=off",
    "gate.severity.calibration=off",
    "gate.severity.not_worse=warn",
]


@pytest.fixture(scope="module")
def year(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Seen]:
    folder = tmp_path_factory.mktemp("year")
    for split, count in (("train", 67), ("test", 10)):  # of 67, 7 are set aside
        for offset, colour in enumerate(COLOURS):
            place = folder / "colours" / split / colour
            place.mkdir(parents=True)
            for number in range(count):
                seed = 10_000 * (split == "test") + 1000 * offset + number
                picture(colour, seed, side=32).save(place / f"{seed:05d}.png")
    arguments = argparse.Namespace(
        data=folder / "colours",
        work=folder,
        new_class="",
        every=1,
        first=0.6,
        weeks=4,
        group_by="none",
        aside=0.1,
        set=SETTINGS,
    )
    before = dict(os.environ)
    try:
        project, weeks, hold_out, _ = begin(Project(repository), arguments)
        # A delivery whose run is killed is taken in like any other: a training less than with one that is not.
        weeks = [replace(weeks[0], kind="killed"), *weeks[1:3]]
        return run_year(project, weeks, folder, random.Random(3), hold_out)
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.slow
@pytest.mark.end_to_end
@pytest.mark.timeout(2400)  # whoever runs it beside other work waits longer
class TestYear:
    def test_test_images_never_move(self, year: list[Seen]) -> None:
        assert [week.test_moved for week in year] == [0] * 4
        assert {week.test for week in year} == {30}

    def test_champion_and_challenger_are_asked_about_what_nothing_sees(self, year: list[Seen]) -> None:
        assert all(0 <= week.aside <= 1 for week in year)
        assert 0 <= year[1].challenger_aside <= 1

    def test_there_is_one_champion_after_each_week(self, year: list[Seen]) -> None:
        assert [week.champions for week in year] == [1] * 4

    def test_what_came_is_what_was_made_of_it(self, year: list[Seen]) -> None:
        assert [(week.kind, week.verdict) for week in year] == [
            ("the beginning", ""),
            ("killed", "taken in"),
            ("duplicated", "nothing new"),
            ("empty", "quarantined"),
        ]

    def test_training_grows_by_what_is_new_alone(self, year: list[Seen]) -> None:
        images = [week.train + week.val for week in year]
        assert images[0] == 108
        assert images[1:] == [126] * 3
