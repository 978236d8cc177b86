"""The quarantine: what was not taken in, with the reasons, or failed too often; nothing in it is ever removed.

::

    quarantine/2026-11-25T030012-week-11/
      reasons.json       what was found, and what to do
      week-11/...        the delivery, or the files that were left out of it
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from graft.automation.retraining.checking import CheckedDelivery
from graft.automation.retraining.deliveries import Delivery, move_file, stamped
from graft.automation.retraining.unpacking import LeftOutFile
from graft.core.errors import GraftError
from graft.core.files import new_folder, read_object, sha256_of, write_file
from graft.core.outside import path_below
from graft.core.project import Project

REASONS_FILE = "reasons.json"


def quarantine(
    delivery: Delivery,
    folder: Path,
    at: datetime,
    reasons: Sequence[str],
    left_out: Iterable[LeftOutFile] = (),
    stops: bool = False,
) -> Path:
    """Move a whole delivery into the quarantine, with its reasons beside it; return where it lies then.

    Args:
        delivery: what to move; what has gone already is passed over.
        stops: no run trains anything before a person has acknowledged it, see :func:`unacknowledged`.
    """
    place = folder / stamped(delivery.name, at)
    _write_reasons(place, delivery.name, at, reasons, left_out, stops)
    for path in delivery.paths:
        target = place / path.name
        if path.is_dir():
            _move_folder(path, target)
        elif path.exists():
            move_file(path, target)
    return place


def quarantine_files(
    name: str, folder: Path, at: datetime, left_out: Sequence[LeftOutFile], reasons: Sequence[str]
) -> tuple[Path, set[str]]:
    """Copy single files of a delivery into the quarantine.

    Args:
        left_out: the files, with what is wrong with each.

    Returns:
        Where they lie, and the SHA-256 of each copy as it reads back.
    """
    place = folder / stamped(name, at)
    _write_reasons(place, name, at, reasons, left_out)
    copies = set()
    for one in left_out:
        copy = path_below(place / name, one.path, f"The delivery {name}")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(one.file, copy)
        copies.add(sha256_of(copy))
    return place, copies


def unacknowledged(folder: Path) -> list[str]:
    """Return the deliveries in the quarantine that stop all runs until a person acknowledges them."""
    return [record["delivery"] for _, record in _stopping(folder)]


def acknowledge(folder: Path, name: str) -> None:
    """Acknowledge a delivery, which then stops no more runs; it stays where it is.

    Args:
        name: of the delivery, or of its folder in the quarantine.

    Raises:
        GraftError: no delivery of that name stops anything.
    """
    stopping = list(_stopping(folder))
    found = [(file, record) for file, record in stopping if name in (record["delivery"], file.parent.name)]
    if not found:
        names = ", ".join(record["delivery"] for _, record in stopping)
        raise GraftError(
            f"No delivery '{name}' waits to be acknowledged", f"These do: {names}" if names else "None does"
        )
    for file, record in found:
        accepted = datetime.now(UTC).isoformat(timespec="seconds")
        write_file(file, _as_text({**record, "acknowledged": accepted}))


def _stopping(folder: Path) -> Iterable[tuple[Path, dict[str, Any]]]:
    for file in sorted(folder.glob(f"*/{REASONS_FILE}")):
        record = read_object(file)  # it may be a person's own file
        if record.get("stops") and not record.get("acknowledged"):
            yield file, record


def _write_reasons(
    place: Path, name: str, at: datetime, reasons: Sequence[str], left_out: Iterable[LeftOutFile], stops: bool = False
) -> None:
    record = {
        "delivery": name,
        "at": at.isoformat(timespec="seconds"),
        "reasons": list(reasons),
        "details": [{"path": one.path, "found": one.why} for one in left_out],
        "what_to_do": "Mend it and move it back into the inbox, or remove it: nothing here is used.",
        "stops": stops,
    }
    write_file(place / REASONS_FILE, _as_text(record))


def _as_text(record: dict[str, Any]) -> str:
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def _move_folder(path: Path, target: Path) -> None:
    try:
        path.rename(target)
    except OSError:
        # Another file system: copied under another name first, so that a torn copy is never taken for the whole.
        with new_folder(target) as partial:
            shutil.copytree(path, partial, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(path)


# From the second failure on a delivery is tried alone, so that it takes no other one along.
ALONE_AFTER = 2
# Then it goes into the quarantine: a failure that comes again and again is not the weather.
MOST = 3


def failures_of(project: Project, checked: CheckedDelivery) -> int:
    """Return how many runs in a row have failed with exactly this delivery."""
    return _read(project).get(_key(checked), 0)


def count_failure(project: Project, tried: Sequence[CheckedDelivery]) -> list[CheckedDelivery]:
    """Count a run that has failed with these deliveries; return those that have failed too often."""
    counts = _read(project)
    counts |= {_key(checked): counts.get(_key(checked), 0) + 1 for checked in tried}
    write_file(project.retraining / "failures.json", json.dumps(counts, indent=1) + "\n")
    return [checked for checked in tried if counts[_key(checked)] >= MOST]


def forget_failures(project: Project, dealt_with: Iterable[CheckedDelivery]) -> None:
    """Forget deliveries that were dealt with."""
    counts, gone = _read(project), {_key(checked) for checked in dealt_with}
    if gone & counts.keys():
        left = {key: count for key, count in counts.items() if key not in gone}
        write_file(project.retraining / "failures.json", json.dumps(left, indent=1) + "\n")


def _key(checked: CheckedDelivery) -> str:
    """Return a key of name and contents: a delivery that was mended begins anew."""
    contents = hashlib.sha256("".join(sorted(checked.sha256)).encode()).hexdigest()
    return f"{checked.delivery.name} {contents}"


def _read(project: Project) -> dict[str, int]:
    return read_object(project.retraining / "failures.json")  # where it cannot be read, two more attempts are made
