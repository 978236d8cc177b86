"""Running rules about tables with Great Expectations.

A rule is an expectation with words around it and a severity of params.yaml. What comes back are outcomes of
graft's own; no object of Great Expectations leaves this module.
"""

from __future__ import annotations

import html
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.data.coded_images import mapped
from graft.data.verdict import OFFENDERS_KEPT, Offender, Rule
from graft.params.sections import RunSeverity, Section

if TYPE_CHECKING:
    import pandas as pd

# Great Expectations' own words for graft's severities.
_GX_SEVERITY: dict[RunSeverity, str] = {"error": "critical", "warn": "warning"}
# Columns that no file name gets into, so that escaping them would only cost time.
_NOT_NAMES = frozenset({"sha256", "split", "mode", "format"})


@dataclass(frozen=True)
class Check:
    """One rule before it is run: an expectation about one of the tables, and the words around it."""

    name: str
    table: str
    description: str
    expectation: Any  # of Great Expectations
    broken: str  # what is wrong with what breaks it, after a count: "images cannot be read"
    limit: str
    remedy: str
    found: str = "{}"  # an offender's value, as it reads behind its path


@dataclass(frozen=True)
class Outcomes:
    """What running rules gave.

    Attributes:
        rules: the outcome of every rule that is not off, in order.
        offenders: all offenders of each, by rule; those that differ most in what was found come first.
        pages: the page that Great Expectations rendered for each table.
        off: names of the rules that were not run.
    """

    rules: list[Rule]
    offenders: dict[str, list[Offender]]
    pages: dict[str, str]
    off: list[str]


def run_rules(
    checks: Sequence[Check], tables: dict[str, pd.DataFrame], severities: Section, run_name: str
) -> Outcomes:
    """Runs rules on tables, a suite of Great Expectations for each table.

    Args:
        checks: the rules.
        tables: by name; the column ``path`` is what an offending row is called by.
        severities: ``error``, ``warn`` or ``off`` for each rule, as an attribute of its name.
        run_name: of the run, in Great Expectations' pages.

    Raises:
        RuntimeError: a rule could not be run, which says nothing about the data: a defect of the rule.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import; it would call home
    import great_expectations as gx
    from great_expectations.checkpoint import UpdateDataDocsAction
    from great_expectations.core.run_identifier import RunIdentifier

    chosen = severities.model_dump()
    severity: dict[str, RunSeverity] = {name: value for name, value in chosen.items() if value != "off"}
    outcomes = Outcomes([], {}, {}, [check.name for check in checks if chosen[check.name] == "off"])
    with tempfile.TemporaryDirectory(prefix="graft-docs-") as site:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": site}
        context.add_data_docs_site("graft", {"class_name": "SiteBuilder", "store_backend": store})
        source = context.data_sources.add_pandas("manifest")
        for table, frame in tables.items():
            running = [check for check in checks if check.table == table and check.name in severity]
            if not running:
                continue
            suite = gx.ExpectationSuite(name=table)
            for check in running:
                check.expectation.meta = {"rule": check.name}
                check.expectation.description = check.description
                check.expectation.severity = _GX_SEVERITY[severity[check.name]]
                suite.add_expectation(check.expectation)
            batch = source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
            definition = gx.ValidationDefinition(name=table, data=batch, suite=context.suites.add(suite))
            checkpoint = gx.Checkpoint(
                name=table,
                validation_definitions=[context.validation_definitions.add(definition)],
                actions=[UpdateDataDocsAction(name="data_docs", site_names=["graft"])],
                result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["path"]},
            )
            run = context.checkpoints.add(checkpoint).run(
                batch_parameters={"dataframe": _escaped(frame)},
                # A fixed time: equal data gives equal pages.
                run_id=RunIdentifier(run_name=run_name, run_time=datetime(1970, 1, 1, tzinfo=UTC)),
            )
            (results,) = run.run_results.values()
            by_rule = {
                result.expectation_config.meta["rule"]: result.to_json_dict() for result in results.results
            }
            for check in running:
                rule, offenders = _outcome(check, by_rule[check.name], severity[check.name])
                outcomes.rules.append(rule)
                outcomes.offenders[check.name] = offenders
            (page,) = Path(site, "validations", table).rglob("*.html")
            outcomes.pages[table] = page.read_text(encoding="utf-8")
    return outcomes


def _escaped(table: pd.DataFrame) -> pd.DataFrame:
    """With names fit for HTML: Great Expectations would put a file's name into its pages as it stands."""
    texts = table.select_dtypes(["object", "string"]).columns.difference(list(_NOT_NAMES))
    return table.assign(**{column: mapped(table[column], html.escape) for column in texts})


def _outcome(check: Check, result: dict[str, Any], severity: RunSeverity) -> tuple[Rule, list[Offender]]:
    for traceback in _exceptions(result["exception_info"]):
        raise RuntimeError(f"The rule {check.name} could not be run:\n{traceback}")
    found = result["result"]
    column = result["expectation_config"]["kwargs"].get("column")
    offenders = [
        Offender(path=html.unescape(row["path"]), found=check.found.format(html.unescape(str(row[column]))))
        for row in found.get("unexpected_index_list") or []
    ]
    offenders = _varied(offenders)
    if "observed_value" in found:
        observed = f"{found['observed_value']} {check.broken}"
    else:
        count, total = found["unexpected_count"], found["element_count"]
        observed = f"{count} of {total} {check.broken}" + (f", {100 * count / total:.3g} %" if count else "")
    rule = Rule(
        name=check.name,
        severity=severity,
        description=check.description,
        passed=result["success"],
        observed=observed,
        limit=check.limit,
        offender_count=len(offenders),
        offenders=offenders[:OFFENDERS_KEPT],
        remedy=check.remedy,
    )
    return rule, offenders


def _varied(offenders: list[Offender]) -> list[Offender]:
    """By path, but the first of each finding before the second of any: the first few shall tell the most."""
    seen: Counter[str] = Counter()
    ranked: list[tuple[int, str, Offender]] = []
    for offender in sorted(offenders, key=lambda offender: offender.path):
        ranked.append((seen[offender.found], offender.path, offender))
        seen[offender.found] += 1
    return [offender for *_, offender in sorted(ranked, key=lambda entry: entry[:2])]


def _exceptions(info: dict[str, Any]) -> Iterator[str]:
    """Tracebacks in a result's exception info, which is one entry or one per metric."""
    entries = [info] if "raised_exception" in info else info.values()
    for entry in entries:
        if entry["raised_exception"]:
            yield str(entry["exception_traceback"])
