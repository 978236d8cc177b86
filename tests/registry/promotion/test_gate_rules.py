"""Every rule of the gate: there is a candidate whom that rule alone refuses."""

from dataclasses import replace

import pytest
from evidence import good, judged, right, verdict_on, with_candidate

from graft.core.params.gate_params import GateParams, GateSeverity
from graft.evaluation.comparison import compare
from graft.registry.promotion.gate_rules import RULES, Evidence, OriginFinding, SeenTestImages, apply_rules
from graft.registry.promotion.gate_verdict import ClassFigures, GateRule

STRICT = GateParams(severity=GateSeverity(**dict.fromkeys(GateSeverity.model_fields, "error")))  # type: ignore[arg-type]
FEW = {"blue": ClassFigures(recall=0.98, images=200), "red": ClassFigures(recall=0.4, images=10)}
# What breaks each rule, and what its finding then says.
SPOILT: dict[str, tuple[Evidence, str]] = {
    "unseen_test": (
        replace(good(), seen=(SeenTestImages("candidate", "2", True, 0), SeenTestImages("champion", "1", True, 3))),
        "the champion (version 1) has seen 3 of 300",
    ),
    "minimum": (with_candidate(accuracy=0.7), "accuracy 0.7000"),
    "not_worse": (
        replace(good(), comparison=compare(right(range(12)), right([]), 0.95)),
        "-4.00 points, at worst -6.32 (95% sure); of 300 images 0 only the candidate gets right, 12 only the "
        "champion, McNemar p = 0.00049: worse",
    ),
    "class_recall": (with_candidate(classes=FEW), "lowest: red, 0.4000 of 10 images"),
    "calibration": (with_candidate(calibration_error=0.2), "expected calibration error 0.2000"),
    "latency": (with_candidate(latency_ms=900.0), "900.0 ms a photograph (champion: 20.0 ms)"),
    "size": (with_candidate(size_mb=900.0), "900.0 MB"),
    "data_verdict": (
        replace(good(), data=OriginFinding(False, "validate passed, split did not pass", "Mend it")),
        "split did not pass",
    ),
    "reproducible": (
        replace(good(), origin=OriginFinding(False, "made with changes that were not committed", "Commit them")),
        "not committed",
    ),
}


def broken(evidence: Evidence, params: GateParams = STRICT) -> list[GateRule]:
    rules, _ = apply_rules(evidence, params)
    return [rule for rule in rules if not rule.passed]


def with_severity(name: str, severity: str) -> GateParams:
    return STRICT.model_copy(update={"severity": STRICT.severity.model_copy(update={name: severity})})


def test_a_good_candidate_passes_every_rule() -> None:
    rules, off = apply_rules(good(), STRICT)
    assert [rule.name for rule in rules] == list(RULES)
    assert off == []
    assert all(rule.passed for rule in rules)


def test_every_rule_has_a_severity_and_something_that_breaks_it() -> None:
    assert list(RULES) == list(GateSeverity.model_fields) == list(SPOILT)


@pytest.mark.parametrize("name", RULES)
def test_only_the_rule_that_is_broken_refuses(name: str) -> None:
    evidence, observed = SPOILT[name]
    (rule,) = broken(evidence)
    assert rule.name == name
    assert observed in rule.observed
    assert rule.needed
    assert rule.remedy
    verdict = verdict_on(evidence, STRICT)
    assert not verdict.passed
    assert [rule.name for rule in verdict.broken] == [name]


@pytest.mark.parametrize("name", RULES)
def test_a_warning_refuses_nobody_and_what_is_off_is_not_looked_at(name: str) -> None:
    evidence, _ = SPOILT[name]
    warned = verdict_on(evidence, with_severity(name, "warn"))
    assert warned.passed
    assert [rule.name for rule in warned.rules if not rule.passed] == [name]
    off = verdict_on(evidence, with_severity(name, "off"))
    assert off.passed
    assert off.off == [name]
    assert name not in {rule.name for rule in off.rules}


@pytest.mark.parametrize(
    ("changes", "name", "value", "limit"),
    [
        ({"accuracy": 0.75}, "minimum", 0.75, 0.75),
        ({"calibration_error": 0.1}, "calibration", 0.1, 0.1),
        ({"latency_ms": 200.0}, "latency", 200.0, 200.0),
        ({"size_mb": 500.0}, "size", 500.0, 500.0),
    ],
)
def test_the_limit_itself_is_allowed(changes: dict, name: str, value: float, limit: float) -> None:
    rules, _ = apply_rules(with_candidate(**changes), STRICT)
    (rule,) = [rule for rule in rules if rule.name == name]
    assert (rule.passed, rule.value, rule.limit) == (True, value, limit)


def test_the_minimum_may_be_of_macro_f1() -> None:
    params = STRICT.model_copy(update={"metric": "macro_f1", "minimum": 0.96})
    (rule,) = broken(good(), params)
    assert rule.observed == "macro_f1 0.9500"
    assert not broken(with_candidate(macro_f1=0.96), params)


@pytest.mark.parametrize("role", ["candidate", "champion"])
def test_a_model_without_a_record_of_its_images_fails_with_that_reason(role: str) -> None:
    seen = tuple(replace(one, known=one.role != role) for one in good().seen)
    (rule,) = broken(replace(good(), seen=seen))
    assert rule.name == "unseen_test"
    assert f"the run of {role} (version {'2' if role == 'candidate' else '1'}) has no record" in rule.observed
    assert ("--without-gate" in rule.remedy) == (role == "champion")


def test_without_a_champion_there_is_nothing_to_compare_with() -> None:
    first = replace(good(), champion=None, comparison=None, seen=good().seen[:1])
    rules, _ = apply_rules(first, STRICT)
    assert all(rule.passed for rule in rules)
    (rule,) = [rule for rule in rules if rule.name == "not_worse"]
    assert rule.observed == "no champion: nothing to compare with"
    assert (rule.value, rule.limit) == (None, -0.02)


def test_several_weak_classes_are_counted() -> None:
    classes = {name: ClassFigures(recall=recall, images=5) for name, recall in zip("abc", (0.4, 0.2, 0.9), strict=True)}
    (rule,) = broken(with_candidate(classes=classes))
    assert rule.observed == "lowest: b, 0.2000 of 5 images, and 1 more below"


def test_too_few_images_are_told_from_a_loss_that_is_too_large() -> None:
    """A loss of one in thirty may be much more; one that was seen to be too large needs a better model."""
    unsure = compare(right([0, 1, 2], 30), right([2, 3, 4], 30), 0.95)
    assert unsure.difference == 0
    (rule,) = broken(replace(good(), comparison=unsure))
    assert "too few to be sure" in rule.remedy
    assert f"accept {-100 * unsure.lower:.1f} points" in rule.remedy
    worse, _ = SPOILT["not_worse"]
    (rule,) = broken(worse)
    assert "Train a better model" in rule.remedy


def test_a_loss_within_the_tolerance_passes_also_where_it_is_certain() -> None:
    """Tolerance is the user's word: of many images half a point is a certain loss, and an accepted one."""
    images = 20_000
    small = compare(right(range(100), images), right([], images), 0.95)
    assert small.answer == "worse"
    assert not broken(replace(good(), comparison=small))


def test_the_candidate_alone_is_asked_for_its_own_figures() -> None:
    poor = judged("1", accuracy=0.1, calibration_error=0.9, size_mb=9e9, latency_ms=9e9, classes=FEW)
    assert not broken(replace(good(), champion=poor))
