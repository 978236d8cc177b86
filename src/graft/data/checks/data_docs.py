"""The Data Docs: one HTML page that needs no network, and the list of every offending file.

Great Expectations judges; the page is graft's own, made from its results. Its pages load styles, scripts and fonts
from other hosts, and put names of files into HTML as they stand. Equal data gives an equal page.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from graft.core.files import new_folder, write_file
from graft.core.html.html_page import PageSection, html_page
from graft.data.checks.gallery import Picture, gallery

if TYPE_CHECKING:
    from graft.data.checks.check_rules import Outcomes
    from graft.data.checks.check_verdict import Rule, Verdict

# On a phone a row of the table is a block of its own.
_STYLE = """
.rules td { vertical-align: top; overflow-wrap: anywhere; } .rules td:first-child { white-space: nowrap; }
.passed { color: var(--good); } .warning { color: var(--warn); } .failed { color: var(--bad); }
@media (max-width: 48rem) { .rules thead { display: none; } .rules tr { display: block; padding: .7rem 0;
  border-bottom: 1px solid var(--line); } .rules td { display: block; border: 0; padding: .1rem 0; }
  .rules td:nth-child(3)::before { content: "Found: "; } .rules td:nth-child(4)::before { content: "Allowed: "; } }
"""


def write_data_docs(
    folder: Path,
    outcomes: Outcomes,
    verdict: Verdict,
    pictures: Mapping[str, Sequence[Sequence[Picture]]],
    data: Path,
) -> None:
    """Replace ``folder`` by ``index.html`` and ``offenders.csv`` (columns rule, path, found; UTF-8, LF).

    Args:
        pictures: by rule, rows of images to show.
        data: the folder that the images' paths are relative to.
    """
    sections = [
        PageSection(
            rule.name,
            rule.name,
            _details(rule, pictures.get(rule.name, ()), data, folder),
            rule.offender_count,
        )
        for rule in verdict.rules
        if rule.offenders
    ]
    page = html_page("Data Docs", _summary(verdict), sections, _STYLE)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["rule", "path", "found"])
    for name, found in outcomes.offenders.items():
        writer.writerows([name, offender.path, offender.found] for offender in found)
    shutil.rmtree(folder, ignore_errors=True)
    with new_folder(folder) as partial:
        write_file(partial / "index.html", page)
        write_file(partial / "offenders.csv", table.getvalue())


def _summary(verdict: Verdict) -> str:
    rows = "".join(
        f"<tr><td>{_status(rule)}</td><td><b>{_linked(rule)}</b><br>"
        f'<span class="soft">{escape(rule.description)}</span></td>'
        f"<td>{escape(rule.observed)}</td><td>{escape(rule.limit)}</td></tr>\n"
        for rule in verdict.rules
    )
    warnings = f", {_count(len(verdict.warnings), 'warning')}" if verdict.warnings else ""
    status = _PASSED if verdict.passed else _FAILED
    off = f" Switched off in params.yaml: {escape(', '.join(verdict.off))}." if verdict.off else ""
    return (
        f"<h1>Data Docs: {status}{warnings}</h1>\n"
        f"<p>{_count(verdict.images, 'image')}, {verdict.unreadable:,} of them unreadable, checked by Great "
        'Expectations. Every file that breaks a rule: <a href="offenders.csv">offenders.csv</a>. '
        f"Paths are relative to data/.{off}</p>\n"
        '<table class="rules"><thead><tr><th>Status</th><th>Rule</th><th>Found</th><th>Allowed</th></tr></thead>\n'
        f"<tbody>\n{rows}</tbody></table>"
    )


def _details(rule: Rule, pictures: Sequence[Sequence[Picture]], data: Path, folder: Path) -> str:
    """What was found and what to do, and the first offenders: as pictures where there are some, else as a list."""
    words = f"{rule.observed}; {rule.limit}."
    remedy = "" if rule.passed else f" {rule.remedy}."
    if pictures:
        shown, body = sum(map(len, pictures)), gallery(pictures, data, folder)
    else:
        items = "".join(
            f"<li><code>{escape(offender.path)}</code> {escape(offender.found)}</li>"
            for offender in rule.offenders
        )
        shown, body = len(rule.offenders), f"<ul>{items}</ul>"
    rest = (
        f'<p class="cut">{shown:,} of {rule.offender_count:,} shown.</p>'
        if shown < rule.offender_count
        else ""
    )
    return f"\n<p>{_status(rule)}: {escape(words)}{escape(remedy)}</p>\n{body}{rest}"


_PASSED = '<span class="passed">passed</span>'
_WARNING = '<span class="warning">warning</span>'
_FAILED = '<span class="failed">failed</span>'


def _status(rule: Rule) -> str:
    if rule.passed:
        return _PASSED
    return _WARNING if rule.severity == "warn" else _FAILED


def _linked(rule: Rule) -> str:
    return f'<a href="#{escape(rule.name)}">{escape(rule.name)}</a>' if rule.offenders else escape(rule.name)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
