"""The Data Docs: one HTML page that needs no network, and the list of every offending file.

Great Expectations renders its pages for a browser that is online: styles, icons, scripts and the table of
runs come from other hosts, and without them a page shows no outcome at all. Its rendered results are kept
here, put on one page with a style sheet of its own. What differs from run to run (random ids) is taken out,
so that equal data gives an equal page.
"""

from __future__ import annotations

import csv
import html
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graft.data.gallery import Picture, gallery

if TYPE_CHECKING:
    from graft.data.rules import Outcomes
    from graft.data.verdict import Rule, Verdict

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 72rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
h5 { font-size: 1rem; margin: 1rem 0 .3rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid #ddd; padding: .35rem .6rem; text-align: left; vertical-align: top;
         overflow-wrap: anywhere; }
th, tr > td:nth-child(-n+2) { overflow-wrap: normal; }
th { background: #f5f5f5; }
td table { width: auto; margin: .5rem 0; }
.passed, .text-success { color: #18733c; } .failed, .text-danger { color: #b3261e; }
.text-warning, .warning { color: #8a5a00; }
.gallery { display: flex; flex-wrap: wrap; gap: .6rem; }
.family { display: flex; flex-wrap: wrap; gap: .4rem; border: 1px solid #ddd; padding: .4rem; }
figure { margin: 0; width: 9rem; font-size: .8rem; line-height: 1.3; overflow-wrap: anywhere; }
.none { display: block; min-height: 4rem; background: #eee; padding: .4rem; }
.fas { font-style: normal; font-weight: bold; }
.fa-check-circle::before { content: "passed"; }
.fa-times::before { content: "failed"; }
.fa-exclamation-triangle::before { content: "not run"; }
.badge { background: #eee; border-radius: .25rem; padding: 0 .3rem; }
/* A pandas expression for a frame that no longer exists. */
[data-toggle=collapse], .collapse { display: none; }
"""


def write_data_docs(
    folder: Path,
    outcomes: Outcomes,
    verdict: Verdict,
    pictures: Mapping[str, Sequence[Sequence[Picture]]],
    data: Path,
) -> None:
    """Replaces ``folder`` by ``index.html`` and ``offenders.csv`` (columns rule, path, found; UTF-8, LF).

    Args:
        folder: emptied first.
        outcomes: of the rules, with the validation pages as Great Expectations rendered them.
        verdict: what they amount to.
        pictures: by rule, rows of images to show.
        data: the folder that the images' paths are relative to.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    results = "".join(
        f"<section id={_quoted(table)}><h2>Table: {html.escape(table)}</h2>{_results(page, table)}</section>"
        for table, page in outcomes.pages.items()
    )
    seen = "".join(
        f"<section><h2>{html.escape(rule.name)}: {_status(rule)}</h2>\n<p>{html.escape(rule.observed)}; "
        f"{html.escape(rule.limit)}. {html.escape(_remedy(rule))}</p>\n"
        f"{gallery(pictures[rule.name], data, folder)}</section>\n"
        for rule in verdict.rules
        if pictures.get(rule.name)
    )
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Data Docs</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{_summary(verdict)}\n{seen}{results}\n</body>\n</html>\n"
    )
    (folder / "index.html").write_text(page, encoding="utf-8", newline="\n")
    with (folder / "offenders.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rule", "path", "found"])
        for rule, found in outcomes.offenders.items():
            writer.writerows([rule, offender.path, offender.found] for offender in found)


def _summary(verdict: Verdict) -> str:
    rows = "".join(
        f"<tr><td>{_status(rule)}</td><td>{html.escape(rule.name)}</td><td>{rule.severity}</td>"
        f"<td>{html.escape(rule.description)}</td><td>{html.escape(rule.observed)}</td>"
        f"<td>{html.escape(rule.limit)}</td><td>{html.escape(_remedy(rule))}</td></tr>\n"
        for rule in verdict.rules
    )
    warnings = f", {_count(len(verdict.warnings), 'warning')}" if verdict.warnings else ""
    status = _PASSED if verdict.passed else _FAILED
    off = f" Switched off in params.yaml: {html.escape(', '.join(verdict.off))}." if verdict.off else ""
    return (
        f"<h1>Data Docs: {status}{warnings}</h1>\n"
        f"<p>{verdict.images} images, {verdict.unreadable} of them unreadable. "
        'Every file that breaks a rule: <a href="offenders.csv">offenders.csv</a>. '
        f"Paths are relative to data/.{off}</p>\n"
        "<table><thead><tr><th>Status</th><th>Rule</th><th>Severity</th><th>Expected</th><th>Observed</th>"
        f"<th>Limit</th><th>What to do</th></tr></thead>\n<tbody>\n{rows}</tbody></table>"
    )


_PASSED = '<span class="passed">passed</span>'
_WARNING = '<span class="warning">warning</span>'
_FAILED = '<span class="failed">failed</span>'


def _status(rule: Rule) -> str:
    if rule.passed:
        return _PASSED
    return _WARNING if rule.severity == "warn" else _FAILED


def _remedy(rule: Rule) -> str:
    return "" if rule.passed else rule.remedy


def _results(page: str, table: str) -> str:
    """The results in a page of Great Expectations: the sections after its overview, without its scripts."""
    start, end = page.index('<div id="section-2"'), page.rindex("<footer>")
    # The three elements closed last were opened before the first section.
    body = re.sub(r"(</div>\s*){3}$", "", page[start:end].rstrip())
    body = re.sub(r"(?s)<script\b.*?</script>", "", body)
    body = re.sub(r"(collapse-body)-[0-9a-f-]{36}", r"\1", body)
    body = re.sub(r"""(id|href)=(["']?)(#?)section-""", rf"\1=\2\3{_slug(table)}-section-", body)
    return re.sub(r"[ \t]*\n\s*", "\n", body)


def _slug(text: str) -> str:
    return text.replace(" ", "-")


def _quoted(text: str) -> str:
    return f'"{html.escape(_slug(text))}"'


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
