"""Pictures of offenders for the Data Docs: small, inside the page, and linked to the file they show."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graft.bundle.images import UnreadableImageError
from graft.core.html.html_page import ShownPicture, link_to
from graft.data.checks.check_verdict import Offender
from graft.data.scan.thumbnails import data_uri

if TYPE_CHECKING:
    import pandas as pd

PICTURES_SHOWN = 20  # of a rule; offenders.csv names all
_FAMILY_SHOWN = 5  # of a group of near-duplicates


@dataclass(frozen=True)
class GalleryPicture:
    """An image to show.

    Attributes:
        path: below data/.
        captions: what stands under it.
        problem: why it is not opened, and shown instead; a named pipe, for one, would be read for ever.
    """

    path: str
    captions: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True)
class Captioned:
    """A picture as the page shows it, and the lines below it."""

    picture: ShownPicture
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Gallery:
    """The pictures of a rule: those that stand by themselves, and groups that belong together."""

    alone: list[Captioned]
    groups: list[list[Captioned]]

    @property
    def shown(self) -> int:
        return len(self.alone) + sum(map(len, self.groups))


def singles(offenders: Sequence[Offender], problems: Mapping[str, str]) -> list[list[GalleryPicture]]:
    """Return each of the first offenders by itself, its finding under it; ``problems`` are those of images, by path."""
    return [
        [GalleryPicture(offender.path, (offender.found, offender.path), problems.get(offender.path, ""))]
        for offender in offenders[:PICTURES_SHOWN]
    ]


def families(
    offenders: Sequence[Offender], groups: pd.DataFrame, splits: Mapping[str, str]
) -> list[list[GalleryPicture]]:
    """Return the groups of the first offenders side by side, with split and label under each image.

    An offender's group shows the offender and one member of every split and label before it shows more.

    Args:
        offenders: images that break a rule about their group.
        groups: columns path, label, group; see :func:`graft.data.scan.near_duplicates.find_near_duplicates`.
        splits: by path, where it is in one.
    """
    of = dict(zip(groups["path"], groups["group"], strict=True))
    wanted = list(dict.fromkeys(of[offender.path] for offender in offenders if offender.path in of))
    broken = {offender.path for offender in offenders}
    shown: list[list[GalleryPicture]] = []
    room = PICTURES_SHOWN
    by_group = dict(list(groups[groups["group"].isin(wanted[:PICTURES_SHOWN])].groupby("group")))
    for members in (by_group[group] for group in wanted[:PICTURES_SHOWN]):
        rows = [
            (path, label, splits.get(path, "")) for path, label in zip(members["path"], members["label"], strict=True)
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
                GalleryPicture(path, (" / ".join(part for part in (split, label) if part), path))
                for path, label, split in chosen
            ]
        )
        if more:
            last = shown[-1][-1]
            shown[-1][-1] = GalleryPicture(last.path, (*last.captions, f"and {more} more in this group"))
    return shown


def gallery(pictures: Sequence[Sequence[GalleryPicture]], data: Path, page: Path) -> Gallery:
    """Return what a page shows of rows of pictures: small ones, or the reason why there is none.

    Args:
        data: the folder that their paths are relative to.
        page: the folder of the page; links are relative to it.
    """
    to_data = Path(os.path.relpath(data, page)).as_posix()
    rows = [[_captioned(picture, data, to_data) for picture in row] for row in pictures]
    return Gallery([row[0] for row in rows if len(row) == 1], [row for row in rows if len(row) > 1])


def _captioned(picture: GalleryPicture, data: Path, to_data: str) -> Captioned:
    uri, instead = "", picture.problem
    if not instead:
        try:
            uri = data_uri((data / picture.path).read_bytes())
        except OSError as error:
            instead = f"cannot be opened: {error.strerror or error}"
        except UnreadableImageError as error:
            instead = str(error)
    link = link_to(f"{to_data}/{picture.path}")
    return Captioned(ShownPicture(picture.path, link, uri, instead=instead), picture.captions)
