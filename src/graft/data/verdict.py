"""The verdict on the raw images: the outcome of every rule, as a file and as one clear sentence."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from graft.errors import GraftError

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
        name: short and stable.
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
    description: str
    passed: bool
    observed: str
    limit: str
    offender_count: int
    offenders: list[Offender]
    remedy: str


class Verdict(BaseModel):
    """The outcome of all rules, and the numbers of images it rests on."""

    model_config = ConfigDict(frozen=True)

    passed: bool
    images: int
    unreadable: int
    rules: list[Rule]


def read_verdict(path: Path) -> Verdict:
    """The verdict that :func:`graft.data.expectations.check` wrote.

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


def raise_for(verdict: Verdict, docs: Path) -> None:
    """Passes silently where every rule is met; ``docs`` is the folder of the Data Docs.

    Raises:
        GraftError: names the broken rules, the first files that break each, where all of them are listed, and
            what to do.
    """
    broken = [rule for rule in verdict.rules if not rule.passed]
    if not broken:
        return
    if not verdict.images:
        broken = broken[:1]  # no images, therefore no classes: the first rule says it all
    findings = "; ".join(_finding(rule) for rule in broken)
    remedies = "; ".join(dict.fromkeys(rule.remedy for rule in broken))
    files = f"all files: {docs / 'offenders.csv'}, " if any(rule.offenders for rule in broken) else ""
    raise GraftError(f"data/ breaks rules: {findings}", f"{remedies} ({files}report: {docs / 'index.html'})")


def _finding(rule: Rule) -> str:
    named = rule.offenders[:_OFFENDERS_NAMED]
    names = ", ".join(f"{offender.path} ({offender.found})" for offender in named)
    more = f" and {rule.offender_count - len(named)} more" if rule.offender_count > len(named) else ""
    return f"{rule.name}: {rule.observed} (needed: {rule.limit}){': ' if names else ''}{names}{more}"
