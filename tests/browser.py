"""Pages in a real browser, as people see them: what it complains of, asks for and cannot read aloud."""

import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PACKAGE = "axe_playwright_python"  # brings axe-core and what drives the browser; see the group dev in pyproject.toml
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
# The least size of text on a phone, in CSS pixels.
LEAST_TEXT = 12

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec(PACKAGE) is None,
    reason=f"no chromium is installed, or not the package {PACKAGE.replace('_', '-')}",
)

_SMALL_TEXT = """least => [...document.querySelectorAll('body *')].filter(one =>
  [...one.childNodes].some(child => child.nodeType === 3 && child.textContent.trim()) && one.checkVisibility()
  && !one.closest('.read-aloud, script, style')
  && (one.closest('svg') ? parseFloat(getComputedStyle(one).fontSize) * one.closest('svg').getBoundingClientRect().width
      / one.closest('svg').viewBox.baseVal.width : parseFloat(getComputedStyle(one).fontSize)) < least)
  .map(one => one.tagName + ': ' + one.textContent.trim().slice(0, 40))"""
_OVERFLOW = """width => document.documentElement.scrollWidth > width + 1
  ? [...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > width + 1)
    .slice(0, 5).map(one => one.outerHTML.slice(0, 120)) : []"""
_SIDEWAYS_TABLES = """() => [...document.querySelectorAll('table')].filter(one =>
  one.parentElement.scrollWidth > one.parentElement.clientWidth + 1).map(one => one.outerHTML.slice(0, 120))"""


_SQUEEZED = """width => [...document.querySelectorAll('main')].filter(one => one.clientWidth < width / 2
  && one.checkVisibility()).map(one => `main is ${one.clientWidth} of ${width} pixels wide`)"""


@dataclass
class Seen:
    """What a browser found of a page at one size, light and then dark."""

    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    small_text: list[str] = field(default_factory=list)
    sideways: list[str] = field(default_factory=list)
    squeezed: list[str] = field(default_factory=list)


@contextmanager
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield started
        finally:
            started.close()


def look_at(
    started: Any,
    url: str,
    size: str,
    shots: Path | None = None,
    serve: Callable[[Any], None] | None = None,
    act: Callable[[Any], None] = lambda page: None,
) -> Seen:
    """Open a page and look it over, light and then dark.

    Args:
        shots: a folder for ``SIZE-light.png`` and ``SIZE-dark.png``, of all of the page.
        serve: answers the page's requests in the place of a server.
        act: does with the page what a person would, before it is looked over.
    """
    width, height = SIZES[size]
    context = started.new_context(
        viewport={"width": width, "height": height},
        color_scheme="light",
        is_mobile=size == "phone",
        has_touch=size == "phone",
        bypass_csp=serve is not None,  # for axe, which the page's own policy would not run
    )
    seen, page = Seen(), context.new_page()
    page.on("console", lambda message: seen.console.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.console.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    try:
        if serve is not None:
            page.route("**/*", serve)
        page.goto(url, wait_until="load")
        act(page)
        page.evaluate((files(PACKAGE) / "axe.min.js").read_text("utf-8"))
        # Of what axe looks at, colours alone depend on the scheme.
        for scheme, only in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
            page.emulate_media(color_scheme=scheme)
            found = page.evaluate("only => axe.run(document, {resultTypes: ['violations'], ...only})", only)
            for one in found["violations"]:
                if one["impact"] in ("serious", "critical", "moderate"):
                    where = json.dumps([node["html"][:160] for node in one["nodes"][:3]])
                    seen.violations.append(f"{scheme}: {one['id']} ({one['impact']}): {where}")
            if shots is not None:
                page.screenshot(path=str(shots / f"{size}-{scheme}.png"), full_page=True)
        seen.small_text = page.evaluate(_SMALL_TEXT, LEAST_TEXT)
        seen.sideways = page.evaluate(_OVERFLOW, width) + (page.evaluate(_SIDEWAYS_TABLES) if size == "phone" else [])
        seen.squeezed = page.evaluate(_SQUEEZED, width)
    finally:
        context.close()
    seen.requests = [one for one in seen.requests if not one.startswith("data:") and one != url.partition("#")[0]]
    return seen


def require_good(url: str) -> None:
    """Assert that a page is whole, for eyes and ears, at both sizes, light and dark."""
    with browser() as started:
        for size in SIZES:
            seen = look_at(started, url, size)
            assert seen == Seen(), (url, size)
