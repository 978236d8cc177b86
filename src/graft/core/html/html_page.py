"""Render the HTML pages that graft writes: Jinja2 templates that escape every value, with one style sheet inside."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class PageSection:
    """One part of a page.

    Attributes:
        key: its anchor, without white space.
        title: plain text.
        count: what stands behind its title in the contents; None for nothing.
    """

    key: str
    title: str
    count: int | None = None


@dataclass(frozen=True)
class ShownPicture:
    """A picture on a page.

    Attributes:
        path: its name, shown by the pointer.
        link: where a click leads, quoted; "" for nowhere.
        uri: its pixels as a data URI; "" where there are none to show.
        alt: what it shows, for those who see no picture.
        instead: the words in its frame where it has no ``uri``.
    """

    path: str
    link: str = ""
    uri: str = ""
    alt: str = ""
    instead: str = "not shown"


def render(template: str, **values: Any) -> str:
    """Return a page that opens without a network: one file with its own style.

    Args:
        template: its path below the package, such as ``analysis/inspect/inspect.html``. It extends
            ``core/html/page.html``, which has the contents at the side and needs ``title`` and ``sections``.
        values: plain values; a name that the template lacks raises.
    """
    return _environment().get_template(template).render(**values)


def sections_by_key(sections: Iterable[PageSection]) -> dict[str, PageSection]:
    """Return the sections of a page in their order, by key: what a template's ``sections`` is."""
    return {section.key: section for section in sections}


def page_policy(page: str) -> str:
    """Return the Content-Security-Policy of a page that talks to its own server.

    The browser runs the page's own script and style, named by their hashes, and fetches from this server alone:
    https://www.w3.org/TR/CSP3/
    """

    def hashes(element: str) -> str:
        blocks = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(block.encode()).digest()).decode("ascii") for block in blocks)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; connect-src 'self'; "
        "img-src blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def figure(value: float) -> str:
    """Return a number with three digits at least, and thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _thousands(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}"


def link_to(path: str) -> str:
    """Return a relative path as a link: quoting leaves nothing of a name that HTML or a URL could mistake."""
    return quote(path, errors="surrogateescape")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(str(files("graft"))),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"thousands": _thousands, "figure": figure, "percent": "{:.1%}".format}
    return environment
