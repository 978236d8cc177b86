"""The frame of every HTML page that graft writes: one file with its own style, which opens without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from graft.core.html.page_style import STYLE


@dataclass(frozen=True)
class PageSection:
    """One part of a page.

    Attributes:
        key: its anchor, without white space.
        title: plain text.
        body: HTML in which everything from outside is escaped.
        count: what stands behind its title in the contents; None for nothing.
    """

    key: str
    title: str
    body: str
    count: int | None = None


def html_page(title: str, heading: str, sections: Sequence[PageSection], style: str = "") -> str:
    """Return a page with its contents at the side, light or dark by the reader's setting, and wide or narrow.

    Args:
        heading: HTML in front of the sections, with the ``<h1>``.
        style: CSS on top of the common one.
    """
    contents = "".join(
        f'<li><a href="#{escape(part.key)}">{escape(part.title)}'
        f"<span>{'' if part.count is None else f'{part.count:,}'}</span></a></li>"
        for part in sections
    )
    body = "".join(
        f'<section id="{escape(part.key)}" aria-labelledby="{escape(part.key)}-title">'
        f'<h2 id="{escape(part.key)}-title">{escape(part.title)}</h2>{part.body}</section>\n'
        for part in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#main">To the content</a>\n<div class="frame">\n'
        f'<nav aria-label="On this page"><h2>On this page</h2><ol>{contents}</ol></nav>\n<main id="main">\n'
        f"{heading}\n{body}</main>\n</div>\n</body>\n</html>\n"
    )
