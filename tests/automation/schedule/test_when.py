"""What --cron, --every and --timezone mean, and what of it is refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from graft.automation.schedule.when import (
    When,
    in_words,
    local,
    machine_timezone,
    next_times,
    parse_interval,
    parse_when,
)
from graft.core.errors import GraftError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("15m", 900), ("1h30m", 5400), (" 2D ", 172800), ("1.5h", 5400)]
)
def test_an_interval_is_seconds_or_has_units(text: str, seconds: float) -> None:
    assert parse_interval(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "m", "15x", "-5", "1h30", "0.2s", "a15m"])
def test_what_is_no_interval_is_refused_with_examples(text: str) -> None:
    with pytest.raises(GraftError, match=r"no length of time.*15m, 1h30m, 1d"):
        parse_interval(text)


@pytest.mark.parametrize(("seconds", "words"), [(5, "5s"), (900, "15m"), (5400, "1h 30m"), (90061, "1d 1h 1m 1s")])
def test_an_interval_is_said_as_one_types_it(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
    assert parse_interval(words) == seconds


@pytest.mark.parametrize("cron", ["0 3 * * *", "*/15 8-18 * * mon-fri", "  0  3 1 * * ", "0 0 29 2 *"])
def test_cron_expressions_are_taken(cron: str) -> None:
    when = parse_when(cron, None, "Europe/Berlin")
    assert when == When(" ".join(cron.split()), 0, "Europe/Berlin")
    schedule = when.as_prefect()
    assert (schedule.cron, schedule.timezone) == (when.cron, "Europe/Berlin")


def test_d4_a_night_that_is_far_away_is_taken() -> None:
    """Prefect plans runs of the next 100 days; nothing of graft waits for the first of them."""
    from prefect.server.schemas.schedules import CronSchedule

    assert parse_when("0 3 1 6 *", None, "UTC").cron == "0 3 1 6 *"
    first, second = next_times(CronSchedule(cron="0 3 1 6 *", timezone="Europe/Berlin"), 2)
    assert (first.month, first.day, first.hour, second.year) == (6, 1, 3, first.year + 1)


@pytest.mark.parametrize(
    ("cron", "what"),
    [
        ("bad", "is no cron expression"),
        ("61 3 * * *", "is no cron expression"),
        ("* * * * * *", "is no cron expression"),
        ("@daily", "is no cron expression"),
        ("h 3 * * *", "is no cron expression"),
        ("0 0 31 2 *", "names a day that never comes"),
    ],
)
def test_what_is_no_cron_expression_is_refused_with_the_fields(cron: str, what: str) -> None:
    with pytest.raises(GraftError, match=rf"{what}\. Five fields: minute, hour"):
        parse_when(cron, None, "UTC")


def test_one_of_cron_and_every_is_needed() -> None:
    with pytest.raises(GraftError, match="Both --cron and --every"):
        parse_when("0 3 * * *", "15m", None)
    with pytest.raises(GraftError, match="Neither --cron nor --every"):
        parse_when(None, None, None)


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(GraftError, match="'Mars/Olympus' is no time zone"):
        parse_when("0 3 * * *", None, "Mars/Olympus")


def test_a_restart_moves_no_interval() -> None:
    """Multiples are counted from one moment in the past, whenever the service starts."""
    one, other = (parse_when(None, "40", "UTC").as_prefect() for _ in range(2))
    assert one.interval == timedelta(seconds=40)
    assert one.anchor_date == other.anchor_date < datetime.now(UTC)


def test_the_machine_s_zone_is_the_link_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ", raising=False)
    zone = tmp_path / "zoneinfo" / "Europe" / "Berlin"
    zone.parent.mkdir(parents=True)
    zone.touch()
    link, file = tmp_path / "localtime", tmp_path / "timezone"
    assert machine_timezone(file, link) == "UTC"
    file.write_text("Asia/Tokyo\n")
    assert machine_timezone(file, link) == "Asia/Tokyo"
    link.symlink_to(zone)
    assert machine_timezone(file, link) == "Europe/Berlin"
    monkeypatch.setenv("TZ", ":America/New_York")
    assert machine_timezone(file, link) == "America/New_York"
    monkeypatch.setenv("TZ", "CET-1CEST")  # a rule, of which Prefect knows no name
    assert machine_timezone(file, link) == "Europe/Berlin"


def test_a_moment_is_shown_with_its_zone() -> None:
    moment = datetime(2026, 11, 26, 2, 0, tzinfo=UTC)
    assert local(moment, "Europe/Berlin") == "Thu 2026-11-26 03:00:00 CET"
