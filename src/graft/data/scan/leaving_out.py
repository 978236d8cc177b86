"""Decide which images take no part, and why: once, in the scan; everybody else reads it from the manifest.

A single bad file never stops a run. It is left out with the reason, as the manifest's column ``left_out`` and the
list ``left_out.csv`` have it; how many may be, ``validate.max_left_out`` says.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.core.files import replaced_file, write_file
from graft.core.params.models import ValidateParams

if TYPE_CHECKING:
    import pandas as pd

# Kinds of reasons. A manifest has them before a colon, with what was found behind it.
UNREADABLE, TOO_SMALL, TOO_LARGE = "unreadable", "too small", "too large"
OTHER_FORMAT, TOO_LONG, TWO_LABELS = "another format", "too long", "two labels"
COLUMNS = ["path", "reason"]


def kind_of(reason: str) -> str:
    """Return the kind of a reason; ``""`` for an image that takes part."""
    return reason.partition(": ")[0]


def is_unreadable(reasons: pd.Series) -> pd.Series:
    """Return for each reason whether it is that the file gives no pixels."""
    return reasons.map(kind_of).isin([UNREADABLE, TOO_LARGE])


def file_format(name: str) -> str:
    """Return the format as ``validate.formats`` calls it: cameras write MPO, which is a JPEG with a second one."""
    return "JPEG" if name == "MPO" else name


def why_left_out(image: Mapping[str, Any], params: ValidateParams) -> str:
    """Return why an image takes no part as far as its own file says, or ``""``.

    Args:
        image: problem (a reason why there are no pixels, or ``""``), width, height, format.
        params: limits, and which of the rules leave an image out.
    """
    if image["problem"]:
        return str(image["problem"])
    severity = params.severity
    shorter, longer = sorted((image["width"], image["height"]))
    size, kind = f"{image['width']}x{image['height']}", file_format(image["format"])
    if shorter < params.min_side_px and severity.large_enough == "leave_out":
        return f"{TOO_SMALL}: {size}, and validate.min_side_px is {params.min_side_px}"
    if kind not in params.formats and severity.known_format == "leave_out":
        return f"{OTHER_FORMAT}: {image['format']}, which validate.formats does not name"
    if longer > params.max_aspect * shorter and severity.aspect == "leave_out":
        return f"{TOO_LONG}: {size}, and validate.max_aspect is {params.max_aspect:g}"
    return ""


def leave_out_conflicts(manifest: Path) -> int:
    """Leave out images whose bytes lie under two labels, in a manifest that was just written, and count them.

    None of them says which label is right. All images have to be known for that, so it comes after the scan; where
    there are none, the usual case, nothing is written.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    images = pq.read_table(manifest, columns=["path", "label", "sha256", "left_out"])
    images = images.filter(pc.equal(images["left_out"], "")).drop_columns(["left_out"])
    labels = images.group_by("sha256").aggregate([("label", "count_distinct")])
    several = labels.filter(pc.greater(labels["label_count_distinct"], 1))["sha256"]
    if not len(several):
        return 0
    conflicts = images.filter(pc.is_in(images["sha256"], value_set=several)).to_pylist()
    others: dict[str, dict[str, str]] = {}
    for image in conflicts:
        others.setdefault(image["sha256"], {}).setdefault(image["label"], image["path"])
    reasons = {
        image["path"]: f"{TWO_LABELS}: the same bytes as "
        + next(path for label, path in others[image["sha256"]].items() if label != image["label"])
        for image in conflicts
    }
    found = pq.ParquetFile(manifest)
    place = found.schema_arrow.get_field_index("left_out")
    with replaced_file(manifest) as partial, pq.ParquetWriter(partial, found.schema_arrow) as writer:
        for number in range(found.num_row_groups):
            rows = found.read_row_group(number)
            old = zip(rows["path"].to_pylist(), rows["left_out"].to_pylist(), strict=True)
            new = pa.array([reasons.get(path, reason) for path, reason in old], pa.string())
            writer.write_table(rows.set_column(place, found.schema_arrow.field(place), new))
    return len(conflicts)


def write_left_out(images: pd.DataFrame, path: Path) -> None:
    """Write a manifest's images that take no part, with the reason, as CSV: UTF-8, LF, in the manifest's order."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(COLUMNS)
    out = images.loc[images["left_out"] != "", ["path", "left_out"]]
    rows.writerows(out.itertuples(index=False, name=None))
    write_file(path, table.getvalue())


def as_lines(images: pd.DataFrame) -> list[str]:
    """Return a short table of a manifest's images that take no part: kind, how many, the first one with the reason."""
    out = images.loc[images["left_out"] != "", ["path", "left_out"]]
    rows = []
    for kind, some in out.groupby(out["left_out"].map(kind_of), sort=False):
        path, reason = some.iloc[0]
        rows.append((str(kind), len(some), f"{path} ({reason.partition(': ')[2]})"))
    rows.sort(key=lambda row: (-row[1], row[0]))
    widest = max((len(kind) for kind, *_ in rows), default=0)
    return [f"  {kind:{widest}}  {count:>6,}  such as {example}" for kind, count, example in rows]
