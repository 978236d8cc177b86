"""Run rules about tables with Great Expectations.

A rule is an expectation with words around it and a severity of params.yaml. What comes back are outcomes of
graft's own; no object of Great Expectations leaves this module.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graft.core.params.sections import RunSeverity, Severity
from graft.data.checks.check_verdict import OFFENDERS_KEPT, Offender, Rule

if TYPE_CHECKING:
    import pandas as pd

# Great Expectations' own words for graft's severities.
_GX_SEVERITY: dict[RunSeverity, str] = {"error": "critical", "leave_out": "info", "warn": "warning"}


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
    """The outcomes of the rules that were run.

    Attributes:
        rules: the outcome of every rule that is not off, in order.
        offenders: all offenders of each, by rule; those that differ most in what was found come first.
        off: names of the rules that were not run.
        suites: of Great Expectations, as JSON, by table.
    """

    rules: list[Rule]
    offenders: dict[str, list[Offender]]
    off: list[str]
    suites: dict[str, str]


def run_rules(
    checks: Sequence[Check], tables: Mapping[str, pd.DataFrame], severities: Mapping[str, Severity | RunSeverity]
) -> Outcomes:
    """Run rules on tables, a suite of Great Expectations for each table.

    Args:
        tables: by name; the column ``path`` is what an offending row is called by.
        severities: ``error``, ``leave_out``, ``warn`` or ``off`` by rule.

    Raises:
        RuntimeError: a rule could not be run, which says nothing about the data: a defect of the rule.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import; it would call home
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    severity: dict[str, RunSeverity] = {name: value for name, value in severities.items() if value != "off"}
    outcomes = Outcomes([], {}, [check.name for check in checks if severities[check.name] == "off"], {})
    # Without these defaults it makes a folder for pages of its own in the system's temporary folder.
    stores = InMemoryStoreBackendDefaults()
    context = gx.get_context(mode="ephemeral", project_config=DataContextConfig(store_backend_defaults=stores))
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_pandas("manifest")
    for table, frame in tables.items():
        running = [check for check in checks if check.table == table and check.name in severity]
        if not running:
            continue
        suite = gx.ExpectationSuite(name=table)
        for check in running:
            check.expectation.meta = {"rule": check.name}
            check.expectation.severity = _GX_SEVERITY[severity[check.name]]
            suite.add_expectation(check.expectation)
        written = suite.to_json_dict()  # before it gets an id, another one each time
        outcomes.suites[table] = json.dumps(written, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        batch = source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
        definition = gx.ValidationDefinition(name=table, data=batch, suite=context.suites.add(suite))
        results = context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": frame},
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["path"]},
        )
        by_rule = {result.expectation_config.meta["rule"]: result.to_json_dict() for result in results.results}
        for check in running:
            rule, offenders = _outcome(check, by_rule[check.name], severity[check.name])
            outcomes.rules.append(rule)
            outcomes.offenders[check.name] = offenders
    return outcomes


def _outcome(check: Check, result: dict[str, Any], severity: RunSeverity) -> tuple[Rule, list[Offender]]:
    for traceback in _exceptions(result["exception_info"]):
        raise RuntimeError(f"The rule {check.name} could not be run:\n{traceback}")
    found = result["result"]
    offenders = [
        Offender(path=row["path"], found=check.found.format(_values(row)))
        for row in found.get("unexpected_index_list") or []
    ]
    offenders = _varied(offenders)
    if "observed_value" in found:
        observed = f"{found['observed_value']} {check.broken}"
    elif "unexpected_count" not in found:
        observed = check.broken
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


def _values(row: dict[str, Any]) -> str:
    """Return what was found in the columns that a rule is about."""
    return ", ".join(str(value) for name, value in row.items() if name not in ("path", "index"))


def _varied(offenders: list[Offender]) -> list[Offender]:
    """Sort by path, but the first of each finding before the second of any: the first few shall show the most."""
    seen: Counter[str] = Counter()
    ranked: list[tuple[int, str, Offender]] = []
    for offender in sorted(offenders, key=lambda offender: offender.path):
        ranked.append((seen[offender.found], offender.path, offender))
        seen[offender.found] += 1
    return [offender for *_, offender in sorted(ranked, key=lambda entry: entry[:2])]


def _exceptions(info: dict[str, Any]) -> Iterator[str]:
    """Yield the tracebacks in a result's exception info, which is one entry or one per metric."""
    entries = [info] if "raised_exception" in info else info.values()
    for entry in entries:
        if entry["raised_exception"]:
            yield str(entry["exception_traceback"])
