"""A year in which the task itself changes: a class comes, labels are corrected, images withdrawn, a camera replaced.

What is asked of the model meanwhile, without labels, goes into the prediction log; the truth of it is known here alone.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.year_deliveries import Week, other_camera
from benchmarks.year_holdout import HoldOut
from graft.core.project import Project

NEW_CLASS, CORRECTIONS, WITHDRAWAL = 20, 30, 40
ASKED_EARLY = 2  # weeks before its first labels, the new class is among what is asked
CAMERA = range(44, 49)
TOUCHED = 10  # images that are corrected, and as many that are withdrawn
ASKED = 40  # images a week


@dataclass
class Events:
    """What is to happen, and what was touched.

    Attributes:
        new_class: comes in week 20.
        wrong: SHA-256 of images of the beginning with a wrong label, with the right one.
        withdrawn: the bytes of images of the beginning that are withdrawn.
    """

    new_class: str
    wrong: dict[str, str] = field(default_factory=dict)
    withdrawn: list[bytes] = field(default_factory=list)


def spoil(first: Path, events: Events) -> None:
    """Give ten of the first images a wrong label, and choose ten that will be withdrawn.

    Args:
        first: class folders.
    """
    labels = sorted(folder.name for folder in first.iterdir())
    for number in range(TOUCHED):
        label = labels[number % len(labels)]
        wrong = labels[(number + 1) % len(labels)]
        file, other = sorted((first / label).iterdir())[number // len(labels) * 2 :][:2]
        events.wrong[_digest(file.read_bytes())] = label
        file.rename(first / wrong / f"wrong-{file.name}")
        events.withdrawn.append(other.read_bytes())


def eventful_weeks(
    pool: Mapping[str, Sequence[Path]], first_share: float, weeks: int, every: int, events: Events
) -> list[Week]:
    """Return the deliveries of the year: every so many weeks, and in those in which something happens.

    The new class is delivered from week 20 on, a third of it at once.
    """
    weekly = sorted({*range(every, weeks + 1, every), NEW_CLASS, CORRECTIONS, WITHDRAWAL})
    made = []
    for number in range(1, weeks + 1):
        content: dict[str, bytes] = {}
        if number in weekly:
            place = weekly.index(number)
            for label, files in pool.items():
                content |= {
                    f"{label}/{one.name}": one.read_bytes()
                    for one in _share(files, label, place, weekly, events, first_share)
                }
        kind = ""
        if number == NEW_CLASS:
            kind, content["classes.csv"] = "a new class", f"label\n{events.new_class}\n".encode()
        if number == CORRECTIONS:
            rows = "".join(f"{sha256},{label}\n" for sha256, label in events.wrong.items())
            kind, content["corrections.csv"] = f"{TOUCHED} corrections", f"sha256,label\n{rows}".encode()
        if number == WITHDRAWAL:
            rows = "".join(f"{_digest(data)}\n" for data in events.withdrawn)
            kind, content["withdraw.csv"] = f"{TOUCHED} withdrawn", f"sha256\n{rows}".encode()
        if number == CAMERA.start:
            kind = "another camera, unlabelled"
        made.append(Week(number - 1, kind, {f"week-{number:02d}": content} if content else {}))
    return made


def _share(
    files: Sequence[Path], label: str, place: int, weekly: Sequence[int], events: Events, first_share: float
) -> Sequence[Path]:
    """Return the images of a class that are delivered in one of the weeks with deliveries."""
    if label != events.new_class:
        rest = files[max(1, round(first_share * len(files))) :]
        return rest[place * len(rest) // len(weekly) : (place + 1) * len(rest) // len(weekly)]
    start = weekly.index(NEW_CLASS)
    if place < start:
        return []
    at_once = len(files) // 3
    if place == start:
        return files[:at_once]
    rest, place, count = files[at_once:], place - start - 1, len(weekly) - start - 1
    return rest[place * len(rest) // count : (place + 1) * len(rest) // count]


class Traffic:
    """What the champion is asked in a week, from the images that nothing sees, and what it reaches."""

    def __init__(self, hold_out: HoldOut, events: Events, folder: Path) -> None:
        self._hold_out, self._events = hold_out, events
        self.withdrawn = events.withdrawn
        table = hold_out.table
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for number, (path, label) in enumerate(zip(table["path"], table["label"], strict=True)):
            data = other_camera(Path(path).read_bytes())
            file = folder / f"{number}.jpg"
            file.write_bytes(data)
            rows.append((str(file.resolve()), _digest(data), label))
        hold_out.add(rows)
        self._camera = {sha256: row[1] for sha256, row in zip(table["sha256"], rows, strict=True)}

    def classes(self, week: int, asked: bool = False) -> set[str]:
        """Return the classes that there are in a week: in data/, or in what is asked."""
        labels = set(self._hold_out.table["label"])
        known = week >= NEW_CLASS - (ASKED_EARLY if asked else 0)
        return labels if known else labels - {self._events.new_class}

    def ask(self, project: Project, model: str, version: str, week: int) -> tuple[float, float]:
        """Log what the champion answers this week; return what its probabilities promise, and what is right.

        Both as `graft monitor --log` and `graft monitor --truth` find them.
        """
        from datetime import UTC, datetime

        from graft.core.params import load_params
        from graft.deployment.monitor.observation import observe
        from graft.deployment.monitor.prediction_log import LoggedPrediction, PredictionLog
        from graft.deployment.monitor.reached import TrueLabel, reached

        answers = self._hold_out.answers(project, model, version)
        table = self._hold_out.table
        table = table[table["label"].isin(self.classes(week, asked=True)) & table["sha256"].isin(self._camera)]
        drawn = table.sample(min(ASKED, len(table)), random_state=week)
        hashes = [self._camera[one] if week in CAMERA else one for one in drawn["sha256"]]
        params = load_params(project.params_file).monitor.log
        began = datetime.now(UTC)
        paths = self._hold_out.paths
        rows = [
            LoggedPrediction(
                observe(Path(paths[one]).read_bytes(), 10**8),
                f"{model} version {version} (champion)",
                version,
                *answers[one],
            )
            for one in hashes
        ]
        with PredictionLog(project.prediction_log, params) as log:
            log.append(rows)
            promised = reached(log, {}, began).unlabelled.expected
            labels = {one: TrueLabel(label, one) for one, label in zip(hashes, drawn["label"], strict=True)}
            total = reached(log, labels, began).total
        return promised, total.right if total else float("nan")


def places_left(project: Project, withdrawn: Sequence[bytes]) -> int:
    """Return how many files below the project, its caches and databases included, hold one of these images."""
    return sum(
        any(one[40:] in content for one in withdrawn)
        for path in project.root.rglob("*")
        if path.is_file() and not path.is_symlink() and (content := path.read_bytes())
    )


def settings() -> dict[str, Any]:
    """Return changes of params.yaml that such a year needs beside those of every year."""
    return {"monitor.log.enabled": True, "retrain.deliveries.labels": "warn"}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
