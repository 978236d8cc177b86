"""Remove passwords and tokens from text that is shown, logged or sent."""

import functools
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

HIDDEN = "***"

# The user part of an address, up to the last @ before the path: a password may itself hold an @.
# All repeats that may begin anywhere are bounded: a long text without spaces would else take quadratic time.
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]{0,30}://)[^\s/?#'\"<>]*@")
_WORDS = r"(?:password|passwd|secret|token|api_?key|access_?key|account_?key|auth_?string|credentials?|signature)"
# `name=value` anywhere; `name: value` as JSON, or where the value has a digit, since prose has colons too.
_NAMED = re.compile(
    rf"(?P<name>(?<![A-Za-z0-9])[A-Za-z0-9_.\-]{{0,60}}{_WORDS}[A-Za-z0-9_]{{0,60}}(?<!_file)(?<!_folder)"
    r"(?:[\"']?\s*=\s*|[\"']\s*:\s*))(?P<value>\"[^\"]*\"|'[^']*'|[^\s&,;\"']+)"
    rf"|(?P<prose>(?<![A-Za-z0-9])[A-Za-z0-9_.\-]{{0,60}}{_WORDS}[A-Za-z0-9_]{{0,60}}(?<!_file)(?<!_folder)\s*:\s+)(?=\S*\d)\S+",
    re.IGNORECASE,
)
_HEADER = re.compile(r"\b(?P<kind>bearer|basic)\s+[A-Za-z0-9._~+/\-]{8,}=*", re.IGNORECASE)


def without_credentials(text: str) -> str:
    """Return ``text`` with what may be a password or token replaced by ``***``.

    That is the user part of every address (``postgresql://user:secret@host``), the value behind a name such as
    ``password=``, ``api_key:`` or ``AWS_SECRET_ACCESS_KEY=``, and what follows ``Bearer`` or ``Basic``.
    """
    text = _ADDRESS.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _HEADER.sub(rf"\g<kind> {HIDDEN}", text)
    return _NAMED.sub(lambda found: f"{found['name'] or found['prose']}{HIDDEN}", text)


def errors_without_credentials(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return ``function`` such that no exception it raises has a password or token in its message.

    One that has is replaced by a RuntimeError with the same words; all others pass as they are.
    """

    @functools.wraps(function)
    def guarded(*arguments: Arguments.args, **settings: Arguments.kwargs) -> Result:
        try:
            return function(*arguments, **settings)
        except Exception as error:
            text = str(error)
            shown = without_credentials(text)
            if shown == text:
                raise
            raise RuntimeError(f"{type(error).__name__}: {shown}") from None

    return guarded


def guard_output() -> None:
    """Remove passwords and tokens from this process's tracebacks and log records, those of all libraries."""
    make = logging.getLogRecordFactory()
    if isinstance(make, _CleanRecords):
        return
    # Around whatever is there: a library, such as Ray, may have put a factory of its own around an earlier guard.
    logging.setLogRecordFactory(_CleanRecords(make))
    sys.excepthook = _show
    threading.excepthook = lambda failed: _show(failed.exc_type, failed.exc_value, failed.exc_traceback)


class _CleanRecords:
    """A factory of log records without credentials, around another factory."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *arguments: Any, **settings: Any) -> logging.LogRecord:
        record = self._make(*arguments, **settings)
        try:
            text = record.getMessage()
        except Exception:  # logging itself reports arguments that do not fit
            return record
        shown = without_credentials(text)
        if shown != text:  # else left alone: some formatters look at the arguments
            record.msg, record.args = shown, ()
        if record.exc_info and record.exc_info[0]:
            record.exc_text = without_credentials("".join(traceback.format_exception(*record.exc_info)).rstrip())
        return record


def _show(kind: type[BaseException], error: BaseException | None, trace: Any) -> None:
    from graft.core.errors import GraftError

    if issubclass(kind, SystemExit):  # of a thread
        return
    if issubclass(kind, GraftError):  # while a stage's file is imported, for example
        sys.stderr.write(f"{error}\n")
        return
    sys.stderr.write(without_credentials("".join(traceback.format_exception(kind, error, trace))))
