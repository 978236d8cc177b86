"""The one exception that graft raises on purpose, and the exit codes that its commands end with."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable

from graft.core.credentials import without_credentials

EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class GraftError(Exception):
    """A problem the user can act on: what was found and where, and what would be right.

    Commands print it as one sentence and end with exit code 1; only other exceptions show a traceback. Passwords and
    tokens in either part are replaced by ``***``, wherever the text came from.

    Args:
        what: what was found, and where (a path, a key, a number).
    """

    def __init__(self, what: str, fix: str = "") -> None:
        self.what = without_credentials(what)
        self.fix = without_credentials(fix)
        super().__init__(" ".join(_as_sentence(part) for part in (self.what, self.fix) if part))

    def __reduce__(self) -> tuple[type[GraftError], tuple[str, str]]:
        # Prefect pickles the exception of a failed task; the default would rebuild it from its message.
        return (type(self), (self.what, self.fix))


def _as_sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def first_line(error: BaseException) -> str:
    """Return the message of another library's exception, short enough to stand inside a sentence."""
    lines = without_credentials(str(error)).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__


def shown(value: object) -> str:
    """Return a value as Python writes it, cut to what a sentence can hold: of YAML's anchors, one may be a million."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = 120
    short.maxlist = short.maxtuple = short.maxdict = short.maxset = 10
    short.maxlevel = 2
    return short.repr(value)


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return the nearest of the ``known`` names as a sentence, or the list of them where none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean '{near[0]}'?"
    return otherwise or f"Known: {', '.join(names)}"
