"""What happens in an eventful year: when a class comes, what is corrected and withdrawn, what is asked."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.year_deliveries import Week
from benchmarks.year_events import (
    CAMERA,
    CORRECTIONS,
    NEW_CLASS,
    WITHDRAWAL,
    Events,
    Traffic,
    eventful_weeks,
    places_left,
    spoil,
)
from benchmarks.year_holdout import HoldOut
from graft.core.project import Project


@pytest.fixture
def pool(tmp_path: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for label in "abc":
        (tmp_path / "pool" / label).mkdir(parents=True)
        for number in range(40):
            path = tmp_path / "pool" / label / f"{label}{number:02d}.png"
            path.write_bytes(f"{label} {number} ".encode() * 20)
            files.setdefault(label, []).append(path)
    return files


def delivered(week: Week) -> dict[str, bytes]:
    return {path: data for content in week.deliveries.values() for path, data in content.items()}


def test_every_image_is_delivered_once_and_the_new_class_from_its_week_on(pool: dict[str, list[Path]]) -> None:
    weeks = eventful_weeks(pool, 0.5, 52, 4, Events("c"))
    images = [path for week in weeks for path in delivered(week) if path.endswith(".png")]
    assert len(images) == len(set(images)) == 20 + 20 + 40
    assert {week.number + 1 for week in weeks if week.deliveries} == {
        *range(4, 53, 4),
        NEW_CLASS,
        CORRECTIONS,
        WITHDRAWAL,
    }
    of_new = [week.number + 1 for week in weeks if any(path.startswith("c/") for path in delivered(week))]
    assert of_new[0] == NEW_CLASS
    assert delivered(weeks[NEW_CLASS - 1])["classes.csv"] == b"label\nc\n"


def test_what_is_spoilt_at_first_is_corrected_and_withdrawn_later(pool: dict[str, list[Path]], tmp_path: Path) -> None:
    first = tmp_path / "first"
    for label in "ab":
        (first / label).mkdir(parents=True)
        for path in pool[label][:20]:
            (first / label / path.name).write_bytes(path.read_bytes())
    events = Events("c")
    spoil(first, events)
    assert len(events.wrong) == len(events.withdrawn) == 10
    assert len(list(first.rglob("wrong-*"))) == 10
    assert all(path.parent.name != path.name.removeprefix("wrong-")[0] for path in first.rglob("wrong-*"))
    weeks = eventful_weeks(pool, 0.5, 52, 4, events)
    corrections = delivered(weeks[CORRECTIONS - 1])["corrections.csv"].decode().splitlines()
    assert corrections[0] == "sha256,label"
    assert dict(row.split(",") for row in corrections[1:]) == events.wrong
    assert len(delivered(weeks[WITHDRAWAL - 1])["withdraw.csv"].splitlines()) == 11
    project = Project(tmp_path)
    assert places_left(project, events.withdrawn) == 20  # in the pool, and at first


def test_what_is_asked_is_logged_and_measured(
    project: Project, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sure of everything and right about a alone: expected 0.9; the new class is asked before it is delivered."""
    shutil.copyfile(repository / "params.yaml", project.params_file)
    aside: dict[str, list[Path]] = {}
    for offset, label in enumerate("abc"):
        for number in range(4):
            path = tmp_path / f"{label}{number}.png"
            Image.fromarray(np.full((16, 16, 3), 20 * number + offset, np.uint8)).save(path)
            aside.setdefault(label, []).append(path)
    hold_out = HoldOut(aside)
    traffic = Traffic(hold_out, Events("c"), tmp_path / "camera")
    assert len(hold_out.paths) == 24
    answers = dict.fromkeys(hold_out.paths, ("a", 0.9))
    monkeypatch.setattr(hold_out, "answers", lambda *arguments: answers)
    assert traffic.ask(project, "m", "1", 1) == (pytest.approx(0.9), 1 / 2)
    assert traffic.ask(project, "m", "1", NEW_CLASS - 1) == (pytest.approx(0.9), pytest.approx(1 / 3))
    assert traffic.ask(project, "m", "1", CAMERA.start) == (pytest.approx(0.9), pytest.approx(1 / 3))
    assert hold_out.accuracy(project, "m", "1", traffic.classes(NEW_CLASS - 1)) == 1 / 2
    assert hold_out.accuracy(project, "m", "1", traffic.classes(NEW_CLASS)) == pytest.approx(1 / 3)
