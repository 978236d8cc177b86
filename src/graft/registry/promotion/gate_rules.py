"""The rules of the gate: each looks at the evidence and says what it found. Nothing here reads a file or a registry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from graft.bundle.decisions import UNKNOWN
from graft.core.params.gate_params import GateParams
from graft.evaluation.comparison import Comparison
from graft.evaluation.intervals import share_interval
from graft.registry.promotion.at_work import AtWork
from graft.registry.promotion.gate_verdict import GateRule, Judged, JudgedOn
from graft.registry.promotion.standing import Standing, is_freed, is_no_loss


@dataclass(frozen=True)
class SeenTestImages:
    """Test images that a model was trained or validated on.

    Attributes:
        role: candidate or champion.
        version: of the model.
        known: whether its run has the record of its images, without which nothing can be said.
        images: how many of the test split are in it.
    """

    role: str
    version: str
    known: bool
    images: int


@dataclass(frozen=True)
class OriginFinding:
    """An answer to a yes-or-no question about where the candidate comes from, in words and with what to do.

    ``commit`` is the one that holds all the candidate was made from; "" where none does, or where it was not asked.
    """

    holds: bool
    observed: str
    remedy: str
    commit: str = ""


@dataclass(frozen=True)
class Evidence:
    """All that the rules look at.

    Attributes:
        candidate, champion: figures; the champion is None where there is none, or where it is the candidate.
        test: what they were judged on.
        comparison: the two image by image; None without another champion.
        standing: of the candidate in the line of all that was judged.
        right: whether the candidate's most probable class is right, bool ``[N]``.
        answers: what the candidate answers, a class or ``unknown``, text ``[N]``.
        decided: what was decided of its probabilities, see :func:`graft.bundle.decisions.decide`.
        labels, groups: of each test image, ``[N]``.
        is_champion: the candidate is the champion itself.
        seen: for each model.
        data: whether validate and split passed, about the images that the candidate was trained on.
        origin: whether a commit holds all that the candidate was made from.
        at_work: what it answered in the shadow; None where it did not.
    """

    candidate: Judged
    champion: Judged | None
    test: JudgedOn
    comparison: Comparison | None
    standing: Standing
    right: np.ndarray
    answers: np.ndarray
    decided: Mapping[str, Any]
    labels: np.ndarray
    groups: np.ndarray
    is_champion: bool
    seen: tuple[SeenTestImages, ...]
    data: OriginFinding
    origin: OriginFinding
    at_work: AtWork | None = None


@dataclass(frozen=True)
class RuleFinding:
    """The finding of one rule; see :class:`graft.registry.promotion.gate_verdict.GateRule`."""

    passed: bool
    observed: str
    needed: str
    remedy: str
    value: float | None = None
    limit: float | None = None


def apply_rules(evidence: Evidence, params: GateParams) -> tuple[list[GateRule], list[str]]:
    """Return the outcome of every rule that is not off, in order, and the names of the others."""
    severities = params.severity.model_dump()
    rules = []
    for name, (description, look) in RULES.items():
        if severities[name] == "off":
            continue
        found = look(evidence, params)
        rules.append(GateRule(name=name, severity=severities[name], description=description, **vars(found)))
    return rules, [name for name in RULES if severities[name] == "off"]


def _unseen_test(evidence: Evidence, params: GateParams) -> RuleFinding:
    unknown = [model for model in evidence.seen if not model.known]
    leaked = [model for model in evidence.seen if model.images]
    needed = "no image of test seen in training or validation"
    if unknown:
        names = " and ".join(f"{model.role} (version {model.version})" for model in unknown)
        return RuleFinding(
            False,
            f"the run of {names} has no record of the images it has seen",
            needed,
            "Train it again with this version of graft, which keeps that record"
            + (
                "; or look for yourself that test was not in its training, and promote with --without-gate --reason"
                if any(model.role == "champion" for model in unknown)
                else ""
            ),
        )
    worst = max((model.images for model in evidence.seen), default=0)
    if not leaked:
        return RuleFinding(True, f"0 of {evidence.test.images} images seen", needed, "", 0, 0)
    return RuleFinding(
        False,
        "; ".join(
            f"the {model.role} (version {model.version}) has seen {model.images} of {evidence.test.images}"
            for model in leaked
        ),
        needed,
        "Judge on a test split that both left out: keep split.seed and the data's own test as they were",
        worst,
        0,
    )


def _minimum(evidence: Evidence, params: GateParams) -> RuleFinding:
    value = float(getattr(evidence.candidate, params.metric))
    return RuleFinding(
        value >= params.minimum,
        f"{params.metric} {value:.4f}",
        f"at least {params.minimum:g}",
        "Train a better model, or lower gate.minimum where this is good enough",
        value,
        params.minimum,
    )


def _not_worse(evidence: Evidence, params: GateParams) -> RuleFinding:
    limit, standing = -params.max_loss, evidence.standing
    points, sure = f"{100 * params.max_loss:g} points", f"{params.confidence:.0%} sure"
    if evidence.comparison is None or standing.gain is None or standing.risk is None or standing.lower is None:
        observed = "the candidate is the champion" if evidence.is_champion else "no champion: nothing to compare with"
        return RuleFinding(True, observed, f"at worst -{points}, {sure}", "", None, limit)
    observed = evidence.comparison.as_text()
    if params.metric == "macro_f1":
        observed = (
            f"macro-F1 {100 * (standing.difference or 0):+.2f} points, at worst {100 * standing.lower:+.2f}; {observed}"
        )
    passed = is_no_loss(standing, params)
    if standing.by_line:
        observed = (
            f"expected on new images {100 * standing.gain:+.2f} points, a loss of more than {points} "
            f"{standing.risk:.1%} likely; measured {observed}"
        )
        needed = f"a loss of more than {points} at most {1 - params.confidence:.0%} likely, or outweighed by the gain"
        is_worse = standing.gain < 0
        value, limit = standing.risk, 1 - params.confidence
    else:
        needed, value = f"at worst -{points}, {sure}", standing.lower
        is_worse = (standing.difference or 0) < -params.max_loss
    if is_freed(standing, params) and standing.deliveries:
        observed = f"{standing.deliveries.shown()} {observed[0].upper()}{observed[1:]}"
    if passed:
        remedy = ""
    elif is_worse:
        remedy = "Train a better model; the champion stays meanwhile"
    else:
        few = f"about {standing.images_more:,} more would do" if standing.images_more else "far more would be needed"
        remedy = f"The test images are too few to be sure: {few}; or accept a greater gate.max_loss"
    return RuleFinding(passed, observed, needed, remedy, value, limit)


def _class_recall(evidence: Evidence, params: GateParams) -> RuleFinding:
    classes = evidence.candidate.classes
    worst = min(classes, key=lambda name: classes[name].recall)
    below = _shown_below(evidence, params)
    named = f"; shown to be below: {', '.join(below[:3])}{', ...' if len(below) > 3 else ''}" if below else ""
    lowest = classes[worst]
    unsure = sum(one.recall < params.min_class_recall for one in classes.values()) - len(below)
    few = f"; {unsure} of lower figure with too few images to tell" if unsure > 0 else ""
    return RuleFinding(
        not below,
        f"lowest: {worst}, {lowest.recall:.4f} of {lowest.images} images{named}{few}",
        f"no class shown to be below {params.min_class_recall:g}, {params.confidence:.0%} sure of all together",
        "Bring more images of that class, or try class_weight: balanced",
        lowest.recall,
        params.min_class_recall,
    )


def _shown_below(evidence: Evidence, params: GateParams) -> list[str]:
    """Return the classes whose recall is shown to be too low, by Holm's method over all classes.

    S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979.
    """
    classes = evidence.candidate.classes
    suspects = [name for name, one in classes.items() if one.recall < params.min_class_recall]

    def high(name: str, hypotheses: int) -> float:
        rows = evidence.labels == name
        confidence = 1 - 2 * (1 - params.confidence) / hypotheses
        return share_interval(evidence.right[rows], evidence.groups[rows], confidence).high

    below: list[str] = []
    for name in sorted(suspects, key=lambda name: high(name, len(classes))):
        if high(name, len(classes) - len(below)) >= params.min_class_recall:
            break
        below.append(name)
    return below


def _unknown(evidence: Evidence, params: GateParams) -> RuleFinding:
    share = float(evidence.decided.get("unknown", 0))
    needed = f"not shown to be above {share:.1%} (decide.unknown), {params.confidence:.0%} sure"
    if not share:
        return RuleFinding(True, "every image gets a class", "nothing: decide.unknown is 0", "")
    refused = evidence.answers == UNKNOWN
    low = share_interval(refused, evidence.groups, 2 * params.confidence - 1).low
    return RuleFinding(
        low <= share,
        f"{refused.sum()} of {len(refused)} known images answered unknown, {refused.mean():.1%}",
        needed,
        "The test images differ from those that the limit follows from: see whether they are new; or accept more",
        float(refused.mean()),
        share,
    )


def _recall_at_precision(evidence: Evidence, params: GateParams) -> RuleFinding:
    wanted: Mapping[str, float] = evidence.decided.get("precision", {})
    least = params.min_recall_at_precision
    needed = f"precision as decide.precision has it and a recall of {least:g}: no class shown to be below"
    if not wanted:
        return RuleFinding(True, "no precision is wanted of a class", needed, "")
    # One interval for each precision and recall, and the confidence holds for all of them together (Bonferroni).
    confidence = 1 - 2 * (1 - params.confidence) / (2 * len(wanted))
    below, seen, recalls = [], [], []
    for name, precision in wanted.items():
        figures = []
        for rows, right, limit in (
            (evidence.answers == name, evidence.labels == name, precision),
            (evidence.labels == name, evidence.answers == name, least),
        ):
            figures.append(float(right[rows].mean()) if rows.any() else float("nan"))
            if rows.any() and share_interval(right[rows], evidence.groups[rows], confidence).high < limit:
                below.append(name)
        seen.append(f"{name}: precision {figures[0]:.4f} of {precision:g} wanted, recall {figures[1]:.4f}")
        recalls.append(figures[1])
    return RuleFinding(
        not below,
        "; ".join(seen) + (f"; shown to be below: {', '.join(dict.fromkeys(below))}" if below else ""),
        needed,
        "Bring more images of these classes, or want less precision",
        min(recalls),
        least,
    )


def _calibration(evidence: Evidence, params: GateParams) -> RuleFinding:
    value, by_chance = evidence.candidate.calibration_error, evidence.candidate.calibration_error_by_chance
    return RuleFinding(
        value <= max(params.max_calibration_error, by_chance),
        f"expected calibration error {value:.4f}; of exact probabilities chance alone gives up to {by_chance:.4f}",
        f"at most {params.max_calibration_error:g}, or what chance gives",
        "Train with less overfitting (augment, label_smoothing, early stopping)",
        value,
        params.max_calibration_error,
    )


def _latency(evidence: Evidence, params: GateParams) -> RuleFinding:
    value = evidence.candidate.latency_ms
    than = f" (champion: {evidence.champion.latency_ms:.1f} ms)" if evidence.champion else ""
    remedy = "Take a smaller backbone, image_size or ensemble; or judge again while the machine is idle"
    return _at_most(value, params.max_latency_ms, " ms", f"{value:.1f} ms a photograph{than}", remedy)


def _size(evidence: Evidence, params: GateParams) -> RuleFinding:
    value = evidence.candidate.size_mb
    remedy = "Take a smaller backbone or ensemble, or raise gate.max_size_mb"
    return _at_most(value, params.max_size_mb, " MB", f"{value:.1f} MB", remedy)


def _at_most(value: float, limit: float, unit: str, observed: str, remedy: str) -> RuleFinding:
    return RuleFinding(value <= limit, observed, f"at most {limit:g}{unit}", remedy, value, limit)


def _of_origin(finding: OriginFinding, needed: str) -> RuleFinding:
    return RuleFinding(finding.holds, finding.observed, needed, finding.remedy)


def _shadow(evidence: Evidence, params: GateParams) -> RuleFinding:
    needed = "not shown to be worse where labels came"
    found = evidence.at_work
    if found is None:
        return RuleFinding(True, "did not answer in the shadow", needed, "")
    observed = f"answers {found.differing} of {found.images} images at work otherwise"
    if found.comparison is None:
        return RuleFinding(True, f"{observed}; no labels of them came", needed, "")
    return RuleFinding(
        found.comparison.answer != "worse",
        f"{observed}; with labels: {found.comparison.as_text()}",
        needed,
        "See where the two differ: graft compare --at-work",
        found.comparison.difference,
        0,
    )


RULES: Mapping[str, tuple[str, Callable[[Evidence, GateParams], RuleFinding]]] = {
    "unseen_test": ("Neither model has seen an image of the test split", _unseen_test),
    "minimum": ("The candidate is good enough by itself", _minimum),
    "not_worse": ("The candidate is not worse than the champion on the same images", _not_worse),
    "class_recall": ("The candidate recognises every class", _class_recall),
    "unknown": ("The candidate refuses no more known images than was stated", _unknown),
    "recall_at_precision": ("The candidate is as precise as wanted, and finds enough then", _recall_at_precision),
    "calibration": ("The candidate's probabilities can be believed", _calibration),
    "latency": ("The candidate answers in time", _latency),
    "size": ("The candidate is not too large", _size),
    "shadow": ("The candidate was not worse at work, in the shadow", _shadow),
    "data_verdict": (
        "The data passed its checks",
        lambda evidence, _: _of_origin(evidence.data, "both passed, on the candidate's own images"),
    ),
    "reproducible": (
        "The candidate can be made again",
        lambda evidence, _: _of_origin(evidence.origin, "all it was made from in one commit"),
    ),
}
