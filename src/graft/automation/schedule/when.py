"""Read when retrainings run: a cron expression or an interval, in a time zone, checked before anything is started."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from graft.core.errors import GraftError

if TYPE_CHECKING:
    from prefect.schedules import Schedule
    from prefect.server.schemas.schedules import SCHEDULE_TYPES

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
# Multiples of an interval are counted from here, so that a restart of the service moves none of them.
_ANCHOR = (2024, 1, 1)


@dataclass(frozen=True)
class When:
    """A schedule.

    Attributes:
        cron: five fields, ``""`` where ``seconds`` count.
        seconds: from one run to the next, 0 where ``cron`` counts.
        timezone: name of an IANA time zone that ``cron`` is meant in.
    """

    cron: str
    seconds: float
    timezone: str

    @property
    def words(self) -> str:
        """The schedule in words, for people."""
        if self.cron:
            return f"cron {self.cron} ({self.timezone})"
        return f"every {in_words(self.seconds)}"

    def as_prefect(self) -> Schedule:
        """Return the schedule in the form that Prefect takes."""
        from prefect.schedules import Cron, Interval

        if self.cron:
            return Cron(self.cron, timezone=self.timezone)
        anchor = datetime(*_ANCHOR, tzinfo=ZoneInfo(self.timezone))
        return Interval(timedelta(seconds=self.seconds), anchor_date=anchor, timezone=self.timezone)


def parse_when(cron: str | None, every: str | None, timezone: str | None) -> When:
    """Return what the options of `graft schedule` mean.

    Raises:
        GraftError: both or neither of ``cron`` and ``every`` are given, or one of them cannot be understood.
    """
    if bool(cron) == bool(every):
        raise GraftError(
            "Both --cron and --every are given" if cron else "Neither --cron nor --every is given",
            'Say when with one of them: graft schedule --cron "0 3 * * *" is every night at three',
        )
    zone = _checked_zone(timezone) if timezone else machine_timezone()
    if cron:
        return When(checked_cron(cron, zone), 0, zone)
    assert every is not None
    return When("", parse_interval(every), zone)


def checked_cron(cron: str, timezone: str) -> str:
    """Return the expression, its blanks tidied up.

    It is read as Prefect's scheduler reads it.

    Raises:
        GraftError: it is none of five fields, or names a day that never comes.
    """
    from prefect.server.schemas.schedules import CronSchedule
    from pydantic import ValidationError

    tidy = " ".join(cron.split())
    fix = 'Five fields: minute, hour, day of the month, month, day of the week, as in "0 3 * * 1-5"'
    try:
        if len(tidy.split(" ")) != 5:
            raise GraftError(f"'{cron}' is no cron expression", fix)
        next_times(CronSchedule(cron=tidy, timezone=timezone), 1)
    except ValidationError:
        raise GraftError(f"'{cron}' is no cron expression", fix) from None
    except ValueError:
        raise GraftError(f"'{cron}' names a day that never comes", fix) from None
    return tidy


def next_times(schedule: SCHEDULE_TYPES, count: int) -> list[datetime]:
    """Return the next moments of one of Prefect's schedules, the first one first.

    Raises:
        ValueError: there is none.
    """
    import asyncio

    return list(asyncio.run(schedule.get_dates(count)))


def parse_interval(text: str) -> float:
    """Return the seconds of ``90``, ``15m``, ``1h30m`` or ``2d``.

    Raises:
        GraftError: it is nothing of the kind, or less than a second.
    """
    compact = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        seconds = float(compact)
    elif compact and not _PARTS.sub("", compact).strip():
        seconds = sum(float(number) * UNITS[unit] for number, unit in _PARTS.findall(compact))
    else:
        seconds = 0.0
    if seconds < 1:
        raise GraftError(
            f"--every {text} is no length of time of at least a second",
            "Give seconds, or a number with s, m, h or d: 90, 15m, 1h30m, 1d",
        )
    return seconds


def in_words(seconds: float) -> str:
    """Return a length of time as one would type it: ``1h 30m``."""
    found = []
    rest = seconds
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, UNITS[unit])
        if count:
            found.append(f"{count:.0f}{unit}")
    if rest or not found:
        found.append(f"{rest:g}s")
    return " ".join(found)


def machine_timezone(zone_file: Path = Path("/etc/timezone"), zone_link: Path = Path("/etc/localtime")) -> str:
    """Return the name of this machine's time zone; ``UTC`` where it does not say."""
    candidates = [os.environ.get("TZ", "").removeprefix(":")]
    # The link is what the C library goes by; the file is Debian's and may be older.
    target = str(zone_link.resolve()) if zone_link.is_symlink() else ""
    candidates.append(target.partition("zoneinfo/")[2])
    if zone_file.is_file():
        candidates.append(zone_file.read_text(encoding="utf-8", errors="replace").strip())
    return next((name for name in candidates if name and _is_zone(name)), "UTC")


def local(moment: datetime, timezone: str) -> str:
    """Return a moment as a clock there shows it."""
    return moment.astimezone(ZoneInfo(timezone) if _is_zone(timezone) else UTC).strftime("%a %Y-%m-%d %H:%M:%S %Z")


def _checked_zone(name: str) -> str:
    if not _is_zone(name):
        raise GraftError(
            f"'{name}' is no time zone of this machine's", "Name one like Europe/Berlin or UTC with --timezone"
        )
    return name


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return False
    except KeyError:
        return False
    return True
