"""A report as a table for the terminal."""

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from graft.analysis.inspect.inspect_report import Alike, Extremes, Report, Spread

# Rows of one list; the page and the JSON have more.
MAX_CLASSES = 40
MAX_LISTED = 5


def as_table(report: Report) -> RenderableType:
    """Return classes with their counts, and below them what else was found, with the first few of each kind."""
    return Group(_classes(report), "", _findings(report))


def _classes(report: Report) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("class", overflow="fold")
    columns = report.splits if report.splits != [""] else []
    for split in (*columns, "images"):
        table.add_column(split, justify="right", no_wrap=True)
    missing = any(entry.left_out for entry in report.classes)
    if missing:
        table.add_column("left out", justify="right", no_wrap=True)
    for entry in report.classes[:MAX_CLASSES]:
        counts = [entry.images.get(split, 0) for split in columns]
        table.add_row(
            escape(entry.label),
            *(f"{count:,}" for count in (*counts, entry.total)),
            *([f"{entry.left_out:,}"] if missing else []),
        )
    more = report.classes[MAX_CLASSES:]
    if more:
        table.add_row(f"[dim]{len(more):,} more[/]")
    return table


def _findings(report: Report) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")

    def add(name: str, count: int, words: str, style: str = "") -> None:
        table.add_row(name, f"[{style}]{count:,}[/]" if style and count else f"{count:,}", words)

    table.add_row("width", "", _range(report.width, "pixels"))
    table.add_row("height", "", _range(report.height, "pixels"))
    table.add_row("format", "", _counted(report.formats))
    table.add_row("pixels", "", _counted(report.modes))
    left_out = [f"{file.path} ({file.reason})" for file in report.left_out]
    add("left out", len(left_out), _first(left_out), "red")
    for name, groups in (("exact copies", report.copies), ("near-duplicates", report.near_duplicates)):
        conflicts = [group for group in groups if group.conflicts]
        leaks = [group for group in groups if group.leaks]
        inside = [group for group in groups if not group.conflicts and not group.leaks]
        add(f"{name}, one class", len(inside), _first([_group(group) for group in inside], 2))
        add("  with several labels", len(conflicts), _first([_group(group) for group in conflicts], 3), "red")
        add("  across splits", len(leaks), _first([_group(group) for group in leaks], 3), "yellow")
    for name, extremes in (
        ("unusually dark", report.darkest),
        ("unusually bright", report.brightest),
        ("unusually blurred", report.blurriest),
    ):
        add(name, len(extremes.outliers), _first(_outliers(extremes), 3))
    if report.labels.skipped:
        table.add_row("likely label errors", "–", f"not looked for: {escape(report.labels.skipped)}")
    else:
        issues = [
            f"{issue.picture.path} ({issue.given_probability:.3f}): "
            f"{issue.suggested}? ({issue.suggested_probability:.3f})"
            for issue in report.labels.issues
        ]
        add("likely label errors", len(issues), _first(issues, 10), "yellow")
        for note in report.labels.notes:
            table.add_row("", "", escape(note))
        pairs = [f"{pair.first.path} = {pair.second.path} ({pair.cosine:.3f})" for pair in report.similar]
        add("similar by features", len(pairs), _first(pairs, 3))
    return table


def _first(lines: list[str], count: int = MAX_LISTED) -> str:
    """Return the first lines, and how many more there are; as markup."""
    more = [f"[dim]{len(lines) - count:,} more[/]"] if len(lines) > count else []
    return "\n".join([*(escape(line) for line in lines[:count]), *more])


def _group(group: Alike) -> str:
    paths = [picture.path for picture in group.pictures]
    return " = ".join(paths[:3]) + (f" and {len(paths) - 3:,} more" if len(paths) > 3 else "")


def _outliers(extremes: Extremes) -> list[str]:
    return [f"{outlier.picture.path} ({outlier.value:.3g})" for outlier in extremes.outliers]


def _range(spread: Spread, unit: str) -> str:
    return f"{spread.least:,.0f} to {spread.most:,.0f} {unit}, median {spread.median:,.0f}"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{escape(name)} {count:,}" for name, count in counts.items())
