"""A verdict on the raw images or on a split: the outcome of every rule, as a file and as one clear sentence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from graft.core.errors import GraftError
from graft.core.files import write_file
from graft.core.params.sections import RunSeverity

if TYPE_CHECKING:
    from graft.data.checks.check_rules import Outcomes

OFFENDERS_KEPT = 20  # in the verdict; offenders.csv beside the Data Docs has them all
_OFFENDERS_NAMED = 3  # in an error message


class Offender(BaseModel):
    """An image, or a class folder, that breaks a rule: its path below data/ and what was found there."""

    model_config = ConfigDict(frozen=True)

    path: str
    found: str


class Rule(BaseModel):
    """The outcome of one rule.

    Attributes:
        name: short and stable; the key of its severity in params.yaml.
        severity: ``error`` where breaking it stops the pipeline, ``leave_out`` where the images take no part, ``warn``
            where the run goes on with them.
        description: what is expected, as a sentence.
        passed: whether the data is like that.
        observed: what was found, in words.
        limit: what params.yaml allows, in words.
        offender_count: images (or classes) that break the rule; a rule with a tolerance may pass with some.
        offenders: the first of them.
        remedy: what to do where the rule is broken.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    severity: RunSeverity
    description: str
    passed: bool
    observed: str
    limit: str
    offender_count: int
    offenders: list[Offender]
    remedy: str


class Verdict(BaseModel):
    """The outcome of all rules, and the numbers of images it rests on.

    Attributes:
        passed: no rule of severity ``error`` is broken.
        images: files in the manifest.
        left_out: those that take no part.
        warnings: a sentence for each broken rule of severity ``warn``: what was found, and what to do.
        off: names of the rules that params.yaml switches off.
        rules: every other one.
    """

    model_config = ConfigDict(frozen=True)

    passed: bool
    images: int
    left_out: int
    warnings: list[str]
    off: list[str]
    rules: list[Rule]

    @property
    def errors(self) -> list[Rule]:
        """The broken rules that stop the pipeline."""
        return [rule for rule in self.rules if not rule.passed and rule.severity == "error"]


def make_verdict(outcomes: Outcomes, images: int, left_out: int) -> Verdict:
    """Return the verdict on outcomes; ``images`` is the number of files, ``left_out`` of those that stay out."""
    broken = [rule for rule in outcomes.rules if not rule.passed]
    return Verdict(
        passed=all(rule.severity != "error" for rule in broken),
        images=images,
        left_out=left_out,
        warnings=[f"{_finding(rule)}. {rule.remedy}" for rule in broken if rule.severity == "warn"],
        off=outcomes.off,
        rules=outcomes.rules,
    )


def write_verdict(verdict: Verdict, path: Path) -> None:
    """Write a verdict as JSON: UTF-8, LF, equal for equal verdicts."""
    write_file(path, verdict.model_dump_json(indent=2) + "\n")


def read_verdict(path: Path) -> Verdict:
    """Return the verdict that :func:`write_verdict` wrote.

    Raises:
        GraftError: there is none at ``path``, or it is not one.
    """
    fix = "Make it with `dvc repro -f validate`"
    try:
        return Verdict.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GraftError(f"There is no verdict at {path}", fix) from None
    except ValueError:
        raise GraftError(f"{path} is not a verdict", fix) from None


def print_warnings(verdict: Verdict, docs: Path) -> None:
    """Print what broke a rule of severity ``warn``: the run goes on, but not unseen."""
    for warning in verdict.warnings:
        print(f"Warning: {warning}.")
    if verdict.warnings:
        print(f"Report: {docs / 'index.html'}")


def raise_for(verdict: Verdict, docs: Path, subject: str = "data/") -> None:
    """Raise GraftError where a rule of severity ``error`` is broken.

    Args:
        subject: what the rules are about, as it reads before "breaks rules".

    Raises:
        GraftError: names the broken rules, the first files that break each, where all of them are listed, and
            what to do.
    """
    broken = verdict.errors
    if not broken:
        return
    first = [rule for rule in broken if rule.name in ("has_images", "few_left_out")]
    broken = first[:1] or broken  # no images, therefore no classes: the first rule says it all
    findings = "; ".join(_finding(rule) for rule in broken)
    remedies = "; ".join(dict.fromkeys(rule.remedy for rule in broken))
    files = f"all files: {docs / 'offenders.csv'}, " if any(rule.offenders for rule in broken) else ""
    raise GraftError(f"{subject} breaks rules: {findings}", f"{remedies} ({files}report: {docs / 'index.html'})")


def _finding(rule: Rule) -> str:
    named = rule.offenders[:_OFFENDERS_NAMED]
    names = ", ".join(f"{offender.path} ({offender.found})" for offender in named)
    more = f" and {rule.offender_count - len(named)} more" if rule.offender_count > len(named) else ""
    return f"{rule.name}: {rule.observed} (needed: {rule.limit}){': ' if names else ''}{names}{more}"
