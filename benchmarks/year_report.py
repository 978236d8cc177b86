"""What the weeks of a simulated year came to: a table, a plot, and the rows they are made of."""

import json
import math
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

FILE = "year.csv"


@dataclass
class Seen:
    """What a week came to.

    Attributes:
        week: 0 for the beginning.
        kind: what was odd about its deliveries, ``""`` for nothing.
        verdict: on the deliveries.
        why: they were refused, or the challenger was.
        train, val, test: images by split.
        test_moved: images that were in test before and are not, or are in another split too.
        bad_in_data: images of bad deliveries in data/.
        champions: versions that are champion.
        champion: its version.
        accuracy: of the champion, on the test images of when it was judged.
        event: what there was to tell of it.
        seconds: that its runs took.
        challenger: accuracy of the version that was judged, on the same; nan where none was.
        aside, challenger_aside: of both, on images that nothing sees.
        expected, measured: of what the champion was asked that week: what its probabilities promise, and what is right.
        left: files that hold an image that was withdrawn.
    """

    week: int
    kind: str
    verdict: str
    why: str
    train: int
    val: int
    test: int
    test_moved: int
    bad_in_data: int
    champions: int
    champion: str
    accuracy: float
    event: str
    seconds: float
    challenger: float = math.nan
    aside: float = math.nan
    challenger_aside: float = math.nan
    expected: float = math.nan
    measured: float = math.nan
    left: int = 0


def report(row: Seen) -> None:
    print(json.dumps(asdict(row)), flush=True)


def write(rows: list[Seen], work: Path) -> None:
    """Write the rows as ``year.csv`` in ``work``."""
    import pandas as pd

    pd.DataFrame([asdict(row) for row in rows]).to_csv(work / FILE, index=False, lineterminator="\n")


def read(work: Path) -> list[Seen]:
    """Return the rows that :func:`write` has written there."""
    import pandas as pd

    kinds = {field.name: field.type for field in fields(Seen)}
    text = [name for name, kind in kinds.items() if kind is str]
    table = pd.read_csv(work / FILE, dtype=kinds).fillna(dict.fromkeys(text, ""))
    return [Seen(*row) for row in table[list(kinds)].itertuples(index=False)]


def as_table(rows: list[Seen]) -> str:
    """Return Markdown: a sentence that sums the year up, and a line for each week."""
    at_work = any(not math.isnan(row.expected) for row in rows)
    more = " expected at work | measured at work |" if at_work else ""
    lines = [
        summary(rows),
        *against_latest(rows),
        "",
        "| week | what came | what became of it | train | test | champion | accuracy | on images that nothing sees |"
        + more,
        "|---|---|---|---|---|---|---|---|" + "---|---|" * at_work,
    ]
    for row in rows:
        lines.append(
            f"| {row.week} | {row.kind or 'images'} | {what_became(row)} | {row.train:,} | {row.test:,} "
            f"| {row.champion} | {row.accuracy:.2%} | {row.aside:.2%} |"
            + (f" {row.expected:.1%} | {row.measured:.1%} |" if at_work else "")
        )
    return "\n".join(lines)


def summary(rows: list[Seen]) -> str:
    """Return what must not happen, counted over all weeks, and what a week took."""
    trained = [row.seconds for row in rows[1:] if "taken in" in row.verdict]
    others = [row.seconds for row in rows[1:] if "taken in" not in row.verdict]
    moved, bad = sum(row.test_moved for row in rows), sum(row.bad_in_data for row in rows)
    without = sum(row.champions != 1 for row in rows)
    promoted = sum("promoted" in row.event for row in rows)
    took = f"A week with new images took {median(trained):.0f} s in the middle" if trained else "Nothing was taken in"
    if others:
        took += f", one without {median(others):.0f} s"
    return (
        f"{len(rows) - 1} weeks, {promoted} promotions. Test images that moved: {moved}; refused images in data/: "
        f"{bad}; weeks that did not end with one champion: {without}. {took}."
    )


def against_latest(rows: list[Seen]) -> list[str]:
    """Return what the champion is right on at half and at the end of the year against the last ten challengers.

    On images that nothing sees: there a champion that was only lucky falls behind.
    """
    said = []
    for number in sorted({len(rows) // 2, len(rows) - 1}):
        latest = [row.challenger_aside for row in rows[: number + 1] if not math.isnan(row.challenger_aside)][-10:]
        if latest and not math.isnan(rows[number].aside):
            mean = sum(latest) / len(latest)
            said.append(
                f"On images that nothing sees, in week {rows[number].week}: champion {rows[number].aside:.2%}, "
                f"the last {len(latest)} challengers {mean:.2%} on average."
            )
    return said


def what_became(row: Seen) -> str:
    """Return what became of a week's deliveries, and of the model that was trained on them, in a few words."""
    words = [row.verdict] if row.verdict else []  # of the beginning, when nothing was delivered
    why = row.why.replace("|", "/")
    if "promoted" in row.event:
        words.append("the champion from here on")
    elif "refused" in row.event:
        # Of each rule of the gate its name and what was found; what was needed is in docs/promotion.md.
        rules = [part.split(",")[0] for part in re.split(r"; (?=[a-z_]+: )", why)]
        return "; ".join([*words, "kept back by the gate", *rules])
    if why:
        words.append(_begin(why))
    return "; ".join(words)


def _begin(text: str, most: int = 150) -> str:
    """Return whole words from the beginning of a text."""
    return text if len(text) <= most else text[:most].rsplit(" ", 1)[0] + " ..."


def draw(rows: list[Seen], path: Path) -> None:
    """Draw accuracy of champion and challengers over the year, with the odd weeks marked."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4.2), layout="constrained")
    weeks = [row.week for row in rows]
    axes.step(weeks, [100 * row.accuracy for row in rows], where="post", color="#20639b", label="champion")
    judged = [100 * row.challenger for row in rows]
    axes.plot(weeks, judged, "x", color="#20639b", markersize=4, alpha=0.5, label="challenger")
    if any(not math.isnan(row.aside) for row in rows):
        aside = [100 * row.aside for row in rows]
        axes.step(weeks, aside, where="post", color="#3caea3", label="champion, images that nothing sees")
        axes.plot(weeks, [100 * row.challenger_aside for row in rows], "+", color="#3caea3", markersize=4, alpha=0.6)
    if any(not math.isnan(row.expected) for row in rows):
        axes.plot(weeks, [100 * row.expected for row in rows], color="#e08e45", linewidth=1, label="expected at work")
        axes.plot(weeks, [100 * row.measured for row in rows], color="#7b3f8c", linewidth=1, label="measured at work")
    axes.set_xlabel("week")
    axes.set_ylabel("accuracy, %")
    figure.legend(loc="outside upper center", frameon=False, fontsize=7, ncols=5)
    images = axes.twinx()
    images.plot(weeks, [row.train for row in rows], color="#999999", linewidth=1)
    images.set_ylabel("training images")
    low = axes.get_ylim()[0]
    for row in rows:
        if row.kind and row.week:
            axes.axvline(row.week, color="#c44536", linewidth=0.6, alpha=0.6)
            axes.text(row.week + 0.2, low, row.kind, rotation=90, va="bottom", fontsize=7, color="#c44536")
    figure.savefig(path, dpi=120)
