"""Removal of passwords and tokens from text that is shown, logged or sent."""

from __future__ import annotations

import re

HIDDEN = "***"

# The user part of an address, up to the last @ before the path: a password may itself hold an @.
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*://)[^\s/?#'\"<>]*@")
_WORDS = (
    r"(?:password|passwd|secret|token|api_?key|access_?key|account_?key|auth_?string|credentials?|signature)"
)
# `name=value` anywhere; `name: value` as JSON, or where the value has a digit, since prose has colons too.
_NAMED = re.compile(
    rf"(?P<name>(?<![A-Za-z0-9])[A-Za-z0-9_.\-]*{_WORDS}[A-Za-z0-9_]*(?<!_file)(?<!_folder)"
    r"(?:[\"']?\s*=\s*|[\"']\s*:\s*))(?P<value>\"[^\"]*\"|'[^']*'|[^\s&,;\"']+)"
    rf"|(?P<prose>(?<![A-Za-z0-9])[A-Za-z0-9_.\-]*{_WORDS}[A-Za-z0-9_]*(?<!_file)(?<!_folder)\s*:\s+)(?=\S*\d)\S+",
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
