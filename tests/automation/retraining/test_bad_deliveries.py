"""What becomes of deliveries that cannot be taken, and that good ones do not wait for them."""

import json
import os
import shutil
from pathlib import Path

import pytest
from quick import retrain
from retrained import NEW, files_below, is_clean, set_params, verdicts
from small_project import deliver, picture, pictures_in

from graft.automation.retraining.quarantine import acknowledge
from graft.core.errors import GraftError
from graft.core.project import Project

pytestmark = pytest.mark.usefixtures("no_outside_settings")


@pytest.fixture
def project(quick_project: Project) -> Project:
    return quick_project


def test_b7_a_bad_delivery_stops_until_a_person_has_acknowledged_it(project: Project) -> None:
    set_params(project, on_bad="stop")
    deliver(project.root / "inbox/good", NEW)
    deliver(project.root / "inbox/strange", {"green": 2})
    for _ in range(3):
        with pytest.raises(GraftError, match=r"strange cannot be taken in.*graft retrain --accept strange"):
            retrain(project)
    assert len(pictures_in(project)) == 8
    with pytest.raises(GraftError, match="No delivery 'other' waits"):
        acknowledge(project.root / "quarantine", "other")
    acknowledge(project.root / "quarantine", "strange")
    retrain(project)
    assert len(pictures_in(project)) == 13


def test_b7_or_its_folder_is_removed(project: Project) -> None:
    set_params(project, on_bad="stop")
    deliver(project.root / "inbox/strange", {"green": 2})
    with pytest.raises(GraftError, match="on_bad is stop"):
        retrain(project)
    shutil.rmtree(project.root / "quarantine")
    assert retrain(project).events == ["nothing"]


def test_b8_one_bad_delivery_does_not_take_two_good_ones_along(project: Project) -> None:
    deliver(project.root / "inbox/a", NEW)
    deliver(project.root / "inbox/b", {"red": 2}, first=3000)
    picture("red", 4000).save(project.root / "inbox/b/red/refused.png")
    deliver(project.root / "inbox/c", {"blue": 1}, first=5000)
    outcome = retrain(project)
    assert verdicts(outcome) == {"a": "taken in", "b": "quarantined", "c": "taken in"}
    assert outcome.reasons == ["5 new images in a", "1 new images in c"]
    is_clean(project, images=14)
    (place,) = (project.root / "quarantine").iterdir()
    assert json.loads((place / "reasons.json").read_text())["reasons"] == ["alike: two alike (needed: none)."]


def test_b8_where_data_itself_is_refused_no_delivery_is_blamed(project: Project) -> None:
    picture("red", 4000).save(project.data / "red/refused.png")
    deliver(project.root / "inbox/a", NEW)
    with pytest.raises(GraftError, match="data/ breaks rules of its own: alike"):
        retrain(project)
    assert (project.root / "inbox/a").is_dir()


def test_b8_three_nights_without_a_verdict_and_the_delivery_is_quarantined(project: Project) -> None:
    deliver(project.root / "inbox/good", NEW)
    deliver(project.root / "inbox/week", {"red": 1}, first=3000)
    picture("red", 4000).save(project.root / "inbox/week/red/poison.png")
    for _ in range(2):
        with pytest.raises(GraftError, match="The pipeline stopped"):
            retrain(project)
    # From then on one at a time: the good one comes in, the other one fails alone.
    outcome = retrain(project)
    assert verdicts(outcome) == {"good": "taken in", "week": "left"}
    with pytest.raises(GraftError, match="The pipeline stopped"):
        retrain(project)
    (place,) = (project.root / "quarantine").iterdir()
    assert "3 runs in a row have failed with it" in json.loads((place / "reasons.json").read_text())["reasons"][0]
    retrain(project)
    is_clean(project, images=13)


def test_l14_a_failure_in_the_second_look_counts_too(project: Project) -> None:
    deliver(project.root / "inbox/a", {"red": 1})
    picture("red", 4000).save(project.root / "inbox/a/red/refused.png")
    deliver(project.root / "inbox/b", {"red": 1}, first=3000)
    picture("red", 4001).save(project.root / "inbox/b/red/poison.png")
    with pytest.raises(GraftError, match="The pipeline stopped"):
        retrain(project)
    counts = json.loads((project.retraining / "failures.json").read_text())
    assert {key.split()[0]: count for key, count in counts.items()} == {"b": 1}
    assert not (project.retraining / "incoming").exists()  # L4: no copy of the deliveries stays


def test_b9_a_delivery_and_its_correction_in_one_night(project: Project) -> None:
    week = deliver(project.root / "inbox/week", {"red": 4})
    corrected = deliver(project.root / "inbox/week-corrected", {"red": 4})
    for name in ("1000", "1001"):  # half of it cannot be read, so that all of it is refused
        (week / f"red/{name}.png").write_bytes(b"torn")
    assert verdicts(retrain(project)) == {"week": "quarantined", "week-corrected": "taken in"}
    assert len(pictures_in(project)) == 12
    assert not corrected.exists()


def test_b13_a_link_as_a_delivery_stays_and_is_named(project: Project, tmp_path: Path) -> None:
    deliver(tmp_path / "elsewhere", NEW)
    inbox = project.root / "inbox"
    (inbox / "done").mkdir(parents=True)
    (inbox / "week").symlink_to(tmp_path / "elsewhere")
    (inbox / "done/2020-01-01T000000-old").symlink_to(tmp_path / "elsewhere")
    outcome = retrain(project)
    assert [(one.name, one.verdict) for one in outcome.deliveries] == [("week", "left")]
    assert "symbolic link" in outcome.deliveries[0].reasons[0]
    assert not (inbox / "done/2020-01-01T000000-old").is_symlink()
    assert len(files_below(tmp_path / "elsewhere")) == 5


def test_h2_h3_what_cannot_be_a_delivery_does_not_keep_the_others_waiting(project: Project) -> None:
    deliver(project.root / "inbox/week", NEW)
    deliver(project.root / "inbox/strange", NEW)
    (project.root / "inbox/strange").rename(os.fsdecode(os.fsencode(project.root) + b"/inbox/Bl\xe4tter"))
    outcome = retrain(project)
    assert verdicts(outcome) == {"Bl\ufffdtter": "left", "week": "taken in"}
    is_clean(project, images=13)


def test_m6_a_name_with_a_backslash_has_the_delivery_refused(project: Project) -> None:
    deliver(project.root / "inbox/good", NEW)
    deliver(project.root / "inbox/week", {"red": 1}, first=3000)
    (project.root / "inbox/week/red\\notes.txt").write_text("from Windows")
    outcome = retrain(project)
    assert verdicts(outcome) == {"week": "quarantined", "good": "taken in"}
    assert "has a backslash or a control character in it" in outcome.deliveries[0].reasons[0]
    is_clean(project, images=13)
