"""The Data Docs: one HTML page that needs no network, and the list of every offending file.

Great Expectations judges; the page is graft's own, made from its results. Its pages load styles, scripts and fonts
from other hosts, and put names of files into HTML as they stand. Equal data gives an equal page.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graft.core.files import new_folder, write_file
from graft.core.html.html_page import PageSection, render, sections_by_key
from graft.data.checks.gallery import GalleryPicture, gallery

if TYPE_CHECKING:
    from graft.data.checks.check_rules import Outcomes
    from graft.data.checks.check_verdict import Verdict


def write_data_docs(
    folder: Path,
    outcomes: Outcomes,
    verdict: Verdict,
    pictures: Mapping[str, Sequence[Sequence[GalleryPicture]]],
    data: Path,
) -> None:
    """Replace ``folder`` by ``index.html`` and ``offenders.csv`` (columns rule, path, found; UTF-8, LF).

    ``suites/<table>.json`` in it is what was checked, as ``great_expectations.ExpectationSuite(**json.load(file))``
    takes it.

    Args:
        pictures: by rule, rows of images to show.
        data: the folder that the images' paths are relative to.
    """
    page = render(
        "data/checks/data_docs.html",
        title="Data Docs",
        sections=sections_by_key(
            PageSection(rule.name, rule.name, rule.offender_count) for rule in verdict.rules if rule.offenders
        ),
        verdict=verdict,
        pictures={rule: gallery(rows, data, folder) for rule, rows in pictures.items() if rows},
    )
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["rule", "path", "found"])
    for name, found in outcomes.offenders.items():
        writer.writerows([name, offender.path, offender.found] for offender in found)
    with new_folder(folder, replace=True) as partial:
        write_file(partial / "index.html", page)
        write_file(partial / "offenders.csv", table.getvalue())
        for name, suite in outcomes.suites.items():
            write_file(partial / "suites" / f"{name.replace(' ', '_')}.json", suite)
