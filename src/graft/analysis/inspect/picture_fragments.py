"""The pieces that the page is made of: pictures with their captions, tags, bars, and what was cut off.

Each answers with HTML in which every name from the data is escaped.
"""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from graft.analysis.inspect.inspect_report import Alike, Picture, Spread

_NAME_LENGTH = 22  # characters of a file's name below its picture: two lines


class Pictures:
    """Images by their thumbnails.

    Args:
        thumbnails: data URIs by path; a picture without one is a frame that says so.
        link: from the page's folder to data/, where a click on a picture leads.
    """

    def __init__(self, thumbnails: dict[str, str], link: str) -> None:
        self.thumbnails = thumbnails
        self.link = link

    def captioned(self, picture: Picture, above: str = "") -> str:
        """A picture with its label, split and path below it; ``above`` is HTML."""
        split = f' <span class="soft">{escape(picture.split)}</span>' if picture.split else ""
        return (
            f"<figure>{self.alone(picture)}<figcaption>{above}<b>{escape(picture.label)}</b>{split}<br>"
            f"<code>{escape(_short_name(picture))}</code></figcaption></figure>"
        )

    def alone(self, picture: Picture) -> str:
        uri = self.thumbnails.get(picture.path)
        name = escape(picture.path)
        inside = (
            f'<img src="{uri}" alt="{escape(picture.label)}: {name}" decoding="async">'
            if uri
            else "not shown"
        )
        return f'<a class="picture" href="{quote(f"{self.link}/{picture.path}")}" title="{name}">{inside}</a>'


def _short_name(picture: Picture) -> str:
    """What label and split do not say already of a path, and of a long one the two ends."""
    before, found, rest = picture.path.partition(f"{picture.label}/")
    name = rest if found and before.count("/") <= 1 else picture.path
    return name if len(name) <= _NAME_LENGTH else f"{name[:7]}…{name[-_NAME_LENGTH + 8 :]}"


def tags(group: Alike) -> str:
    """What is wrong with a group: its labels or splits, where there are several."""
    found = []
    if group.conflicts:
        found.append(f'<span class="tag bad">labels {escape(_some(group.labels))}</span>')
    if group.leaks:
        found.append(f'<span class="tag warn">splits {escape(", ".join(group.splits))}</span>')
    return "".join(found)


def _some(names: list[str], count: int = 4) -> str:
    more = [f"{len(names) - count:,} more"] if len(names) > count else []
    return ", ".join([*names[:count], *more])


def numbers(spread: Spread, digits: int) -> str:
    """The three cells of a table row that show a spread."""
    return "".join(
        f'<td class="number">{value:,.{digits}f}</td>' for value in (spread.least, spread.median, spread.most)
    )
