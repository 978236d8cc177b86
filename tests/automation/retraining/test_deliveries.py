"""The inbox: what counts as a delivery, and where it is when a run has dealt with it."""

import hashlib
import json
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from quick import in_a_child
from small_project import deliver

from graft.automation.retraining.deliveries import (
    Delivery,
    find_deliveries,
    inbox_folder,
    put_away,
    remove_old,
    wait_until_settled,
)
from graft.automation.retraining.quarantine import quarantine, quarantine_files
from graft.automation.retraining.unpacking import LeftOutFile
from graft.core.errors import GraftError
from graft.core.project import Project

AT = datetime(2026, 11, 25, 3, 0, 12, tzinfo=UTC)


def everything(sha256: str) -> bool:
    return True


def names(inbox: Path, settle_seconds: float = 0) -> tuple[list[str], list[str]]:
    found = find_deliveries(inbox, settle_seconds)
    return [one.name for one in found.deliveries], found.arriving


def test_folders_and_archives_are_deliveries_and_class_folders_are_one_together(tmp_path: Path) -> None:
    deliver(tmp_path / "week-2", {"red": 1})
    (tmp_path / "week-1.zip").write_bytes(b"PK")
    deliver(tmp_path, {"red": 1, "blue": 1})
    (tmp_path / "done/2026-11-01T000000-old").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    found = find_deliveries(tmp_path, 0).deliveries
    assert [one.name for one in found] == ["week-1.zip", "week-2", "loose"]
    assert [path.name for path in found[-1].paths] == ["blue", "red"]


def test_what_was_copied_a_moment_ago_is_given_the_time_it_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    waits: list[float] = []
    wait_until_settled(tmp_path, 30, waits.append)
    deliver(tmp_path / "done/2026-11-01T000000-old", {"red": 1})
    (tmp_path / "week-1.zip.part").write_bytes(b"PK")
    wait_until_settled(tmp_path, 30, waits.append)
    assert waits == []  # nothing, or nothing that could be complete by then
    deliver(tmp_path / "week-2", {"red": 1})
    wait_until_settled(tmp_path, 30, waits.append)
    (seconds,) = waits
    assert 20 < seconds <= 30
    assert "for week-2 to be complete" in capsys.readouterr().out
    wait_until_settled(tmp_path, 3600, waits.append)
    wait_until_settled(tmp_path, 0, waits.append)
    assert len(waits) == 1


def test_what_is_still_being_written_waits(tmp_path: Path) -> None:
    (tmp_path / "week-1.zip.part").write_bytes(b"PK")
    deliver(tmp_path / "week-2", {"red": 1})
    assert names(tmp_path, settle_seconds=60) == ([], ["week-1.zip.part", "week-2"])
    assert names(tmp_path) == (["week-2"], ["week-1.zip.part"])


def test_an_old_photograph_that_was_copied_just_now_is_new(tmp_path: Path) -> None:
    file = deliver(tmp_path / "week-1", {"red": 1}) / "red/1000.png"
    os.utime(file, (0, 0))
    assert names(tmp_path, settle_seconds=60)[0] == []


@pytest.mark.parametrize("inbox", ["data", "data/inbox", "."])
def test_an_inbox_in_data_or_around_it_is_refused(tmp_path: Path, inbox: str) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(GraftError, match="inbox"):
        inbox_folder(Project(tmp_path), inbox)


def test_what_was_taken_in_lies_in_done_until_its_time_is_up(tmp_path: Path) -> None:
    old, new = AT - timedelta(days=400), datetime.now(UTC)
    for name, at in (("first", old), ("second", new)):
        deliver(tmp_path / name, {"red": 1})
        put_away(Delivery(name, (tmp_path / name,)), tmp_path, at, everything)
    (tmp_path / "done/notes").mkdir()  # somebody's own
    assert not (tmp_path / "first").exists()
    assert remove_old(tmp_path, days=30) == [f"{old:%Y-%m-%dT%H%M%S}-first"]
    assert sorted(path.name for path in (tmp_path / "done").iterdir()) == [f"{new:%Y-%m-%dT%H%M%S}-second", "notes"]


def test_putting_away_twice_is_putting_away_once(tmp_path: Path) -> None:
    deliver(tmp_path / "week", {"red": 1})
    one = Delivery("week", (tmp_path / "week",))
    put_away(one, tmp_path, AT, everything)
    put_away(one, tmp_path, AT, everything)
    assert (tmp_path / "done/2026-11-25T030012-week/red/1000.png").is_file()


def test_the_quarantine_keeps_a_delivery_with_its_reasons(tmp_path: Path) -> None:
    deliver(tmp_path / "inbox/week", {"red": 2})
    week = Delivery("week", (tmp_path / "inbox/week",))
    place = quarantine(week, tmp_path / "quarantine", AT, ["It is wrong."])
    assert len(list((place / "week/red").iterdir())) == 2
    record = json.loads((place / "reasons.json").read_text())
    assert record["reasons"] == ["It is wrong."]
    assert record["at"] == "2026-11-25T03:00:12+00:00"
    assert not (tmp_path / "inbox/week").exists()


def test_a_delivery_moved_back_from_the_quarantine_is_one_again(tmp_path: Path) -> None:
    deliver(tmp_path / "inbox/week", {"red": 2})
    place = quarantine(Delivery("week", (tmp_path / "inbox/week",)), tmp_path / "quarantine", AT, ["No."])
    (place / "week").rename(tmp_path / "inbox/week")
    assert names(tmp_path / "inbox")[0] == ["week"]


def test_single_files_are_copied_with_what_is_wrong_with_each(tmp_path: Path) -> None:
    file = tmp_path / "somewhere.png"
    file.write_bytes(b"no picture")
    left_out = [LeftOutFile(file, "red/1.png", "broken"), LeftOutFile(file, "reasons.json", "no image", False)]
    place, copies = quarantine_files("week", tmp_path / "quarantine", AT, left_out, ["One."])
    assert (place / "week/red/1.png").read_bytes() == b"no picture"
    assert copies == {hashlib.sha256(b"no picture").hexdigest()}
    record = json.loads((place / "reasons.json").read_text())
    assert record["details"][0] == {"path": "red/1.png", "found": "broken"}
    assert file.exists()


def test_a_file_that_would_leave_the_quarantine_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "somewhere.png"
    file.write_bytes(b"no picture")
    with pytest.raises(GraftError, match="does not stay below"):
        quarantine_files("week", tmp_path / "quarantine", AT, [LeftOutFile(file, "../../1.png", "")], [])


def test_b2_what_is_not_proved_to_be_elsewhere_stays(tmp_path: Path) -> None:
    week = deliver(tmp_path / "week", {"red": 2, "blue": 1})
    (week / "red/.DS_Store").write_bytes(b"of a system")
    held = hashlib.sha256((week / "red/1000.png").read_bytes()).hexdigest()
    stay = put_away(Delivery("week", (week,)), tmp_path, AT, lambda sha256: sha256 == held)
    assert stay == ["week/blue/1100.png", "week/red/1001.png"]
    done = tmp_path / "done/2026-11-25T030012-week"
    assert sorted(path.name for path in done.rglob("*") if path.is_file()) == [".DS_Store", "1000.png"]
    assert sorted(path.name for path in week.rglob("*") if path.is_file()) == ["1001.png", "1100.png"]


def test_b2_also_between_two_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    week = deliver(tmp_path / "week", {"red": 2})

    def other_disk(self: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "rename", other_disk)
    assert put_away(Delivery("week", (week,)), tmp_path, AT, everything) == []
    assert not week.exists()
    assert len(list((tmp_path / "done").rglob("*.png"))) == 2


def test_b13_a_link_is_named_and_left_alone(tmp_path: Path) -> None:
    deliver(tmp_path / "elsewhere", {"red": 1})
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/week").symlink_to(tmp_path / "elsewhere")
    found = find_deliveries(tmp_path / "inbox", 0)
    assert (found.deliveries, list(found.left)) == ([], ["week"])


def test_h2_a_name_that_is_no_utf_8_is_told_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deliver(tmp_path / "week", {"red": 1})
    (tmp_path / "week").rename(os.fsdecode(os.fsencode(tmp_path) + b"/Bl\xe4tter"))
    wait_until_settled(tmp_path, 30, lambda seconds: None)
    assert "for Bl\ufffdtter to be complete" in capsys.readouterr().out
    found = find_deliveries(tmp_path, 0)
    assert (found.deliveries, found.arriving) == ([], [])
    assert found.left == {"Bl\ufffdtter": "Its name is not written in UTF-8: rename it."}


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o1777])
def test_h3_what_may_not_be_read_or_moved_is_told_and_left_alone(mode: int) -> None:
    """As an account of its own: another one's folder with 0700 or 0755, and an inbox like /tmp."""
    with tempfile.TemporaryDirectory() as name:
        inbox = Path(name)
        inbox.chmod(0o1777 if mode == 0o1777 else 0o777)
        deliver(inbox / "week", {"red": 1})
        for path in (inbox / "week", inbox / "week/red"):
            path.chmod(mode if os.geteuid() == 0 else mode & 0o555)
        if mode == 0o1777 and os.geteuid() != 0:
            pytest.skip("without root nothing in it can be another account's")

        def look() -> None:
            if os.geteuid() == 0:
                os.setuid(65534)
            found = find_deliveries(inbox, 0)
            assert (found.deliveries, list(found.left)) == ([], ["week"])
            assert "graft may not read it and move it away" in found.left["week"]

        try:
            assert in_a_child(look) == 0
        finally:
            for path in (inbox / "week", inbox / "week/red"):
                path.chmod(0o700)


def test_a_delivery_changes_as_long_as_any_file_in_it_does(tmp_path: Path) -> None:
    deliver(tmp_path / "week", {"red": 1})
    time.sleep(0.3)
    assert names(tmp_path, settle_seconds=0.2)[0] == ["week"]
    (tmp_path / "week/red/more.png").write_bytes(b"")
    assert names(tmp_path, settle_seconds=0.2)[0] == []
