"""Pictures of offenders for the Data Docs: small, inside the page, and linked to the file they show."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from graft.bundle.images import UnreadableImageError
from graft.data.checks.check_verdict import Offender
from graft.data.scan.thumbnails import data_uri

if TYPE_CHECKING:
    import pandas as pd

PICTURES_SHOWN = 20  # of a rule; offenders.csv names all
_FAMILY_SHOWN = 5  # of a group of near-duplicates


@dataclass(frozen=True)
class Picture:
    """An image to show.

    Attributes:
        path: below data/.
        captions: what stands under it.
        problem: why it is not opened, and shown instead; a named pipe, for one, would be read for ever.
    """

    path: str
    captions: tuple[str, ...]
    problem: str = ""


def singles(offenders: Sequence[Offender], problems: Mapping[str, str]) -> list[list[Picture]]:
    """Each of the first offenders by itself, with what was found under it; ``problems`` of images, by path."""
    return [
        [Picture(offender.path, (offender.found, offender.path), problems.get(offender.path, ""))]
        for offender in offenders[:PICTURES_SHOWN]
    ]


def families(
    offenders: Sequence[Offender], groups: pd.DataFrame, splits: Mapping[str, str]
) -> list[list[Picture]]:
    """The groups of the first offenders side by side, with split and label under each image.

    An offender's group shows the offender and one member of every split and label before it shows more.

    Args:
        offenders: images that break a rule about their group.
        groups: columns path, label, group; see :func:`graft.data.scan.near_duplicates.find_near_duplicates`.
        splits: by path, where it is in one.
    """
    of = dict(zip(groups["path"], groups["group"], strict=True))
    wanted = list(dict.fromkeys(of[offender.path] for offender in offenders if offender.path in of))
    broken = {offender.path for offender in offenders}
    shown: list[list[Picture]] = []
    room = PICTURES_SHOWN
    by_group = dict(list(groups[groups["group"].isin(wanted[:PICTURES_SHOWN])].groupby("group")))
    for members in (by_group[group] for group in wanted[:PICTURES_SHOWN]):
        rows = [
            (path, label, splits.get(path, ""))
            for path, label in zip(members["path"], members["label"], strict=True)
        ]
        rows.sort(key=lambda row: (row[0] not in broken, row[0]))
        kinds: dict[tuple[str, str], tuple[str, str, str]] = {}
        for row in rows:
            kinds.setdefault(row[1:], row)
        first = list(kinds.values())
        rest = [row for row in rows if row not in first]
        chosen = (first + rest)[: min(_FAMILY_SHOWN, room)]
        if len(chosen) < 2:
            break
        room -= len(chosen)
        more = len(rows) - len(chosen)
        shown.append(
            [
                Picture(path, (" / ".join(part for part in (split, label) if part), path))
                for path, label, split in chosen
            ]
        )
        if more:
            last = shown[-1][-1]
            shown[-1][-1] = Picture(last.path, (*last.captions, f"and {more} more in this group"))
    return shown


def gallery(pictures: Sequence[Sequence[Picture]], data: Path, page: Path) -> str:
    """Return rows of pictures as HTML: those that belong together on a card, others side by side.

    Args:
        data: the folder that their paths are relative to.
        page: the folder of the page; links are relative to it.
    """
    to_data = Path(os.path.relpath(data, page)).as_posix()
    alone = [_figure(row[0], data, to_data) for row in pictures if len(row) == 1]
    cards = [
        f'<div class="card"><div class="pictures">{"".join(_figure(one, data, to_data) for one in row)}</div></div>\n'
        for row in pictures
        if len(row) > 1
    ]
    return f'<div class="pictures">{"".join(alone)}</div>\n' * bool(alone) + (
        f'<div class="cards">{"".join(cards)}</div>\n' * bool(cards)
    )


def _figure(picture: Picture, data: Path, to_data: str) -> str:
    captions = "<br>".join(html.escape(caption) for caption in picture.captions)
    path = html.escape(picture.path)
    shown = html.escape(picture.problem) or _thumbnail(data / picture.path)
    # A name may hold anything; quoting leaves nothing of it that HTML or an URL could mistake.
    link = quote(f"{to_data}/{picture.path}", errors="surrogateescape")
    return (
        f'<figure><a class="picture" href="{link}" title="{path}">{shown}</a>'
        f"<figcaption>{captions}</figcaption></figure>"
    )


def _thumbnail(file: Path) -> str:
    """Return a small picture as an element of the page, or the reason why there is none."""
    try:
        return f'<img alt="" src="{data_uri(file.read_bytes())}">'
    except OSError as error:
        return html.escape(f"cannot be opened: {error.strerror or error}")
    except UnreadableImageError as error:
        return html.escape(str(error))
