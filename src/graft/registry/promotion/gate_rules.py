"""The rules of the gate: each looks at the evidence and says what it found. Nothing here reads a file or a registry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graft.core.params.gate_params import GateParams
from graft.evaluation.comparison import Comparison
from graft.registry.promotion.gate_verdict import GateRule, Judged, JudgedOn


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
        is_champion: the candidate is the champion itself.
        seen: for each model.
        data: whether validate and split passed, about the images that the candidate was trained on.
        origin: whether a commit holds all that the candidate was made from.
    """

    candidate: Judged
    champion: Judged | None
    test: JudgedOn
    comparison: Comparison | None
    is_champion: bool
    seen: tuple[SeenTestImages, ...]
    data: OriginFinding
    origin: OriginFinding


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
    needed = f"at worst {-100 * params.max_loss:g} points, {params.confidence:.0%} sure"
    if evidence.comparison is None:
        observed = "the candidate is the champion" if evidence.is_champion else "no champion: nothing to compare with"
        return RuleFinding(True, observed, needed, "", None, -params.max_loss)
    found = evidence.comparison
    passed = found.lower >= -params.max_loss
    if found.difference >= -params.max_loss:
        remedy = (
            "The loss that was seen would do, but the images are too few to be sure: judge on more test images, "
            f"or accept {-100 * found.lower:.1f} points under gate.max_loss"
        )
    else:
        remedy = "Train a better model; the champion stays meanwhile"
    return RuleFinding(passed, found.as_text(), needed, "" if passed else remedy, found.lower, -params.max_loss)


def _class_recall(evidence: Evidence, params: GateParams) -> RuleFinding:
    classes = evidence.candidate.classes
    worst = min(classes, key=lambda name: classes[name].recall)
    below = [name for name in classes if classes[name].recall < params.min_class_recall]
    others = f", and {len(below) - 1} more below" if len(below) > 1 else ""
    lowest = classes[worst]
    return RuleFinding(
        not below,
        f"lowest: {worst}, {lowest.recall:.4f} of {lowest.images} images{others}",
        f"at least {params.min_class_recall:g} in every class",
        "Bring more images of that class, or try class_weight: balanced",
        lowest.recall,
        params.min_class_recall,
    )


def _calibration(evidence: Evidence, params: GateParams) -> RuleFinding:
    value = evidence.candidate.calibration_error
    remedy = (
        "Train with less overfitting (augment, label_smoothing, early stopping); on few images chance alone makes "
        "this figure large"
    )
    return _at_most(value, params.max_calibration_error, "", f"expected calibration error {value:.4f}", remedy)


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


RULES: Mapping[str, tuple[str, Callable[[Evidence, GateParams], RuleFinding]]] = {
    "unseen_test": ("Neither model has seen an image of the test split", _unseen_test),
    "minimum": ("The candidate is good enough by itself", _minimum),
    "not_worse": ("The candidate is not worse than the champion on the same images", _not_worse),
    "class_recall": ("The candidate recognises every class", _class_recall),
    "calibration": ("The candidate's probabilities can be believed", _calibration),
    "latency": ("The candidate answers in time", _latency),
    "size": ("The candidate is not too large", _size),
    "data_verdict": (
        "The data passed its checks",
        lambda evidence, _: _of_origin(evidence.data, "both passed, on the candidate's own images"),
    ),
    "reproducible": (
        "The candidate can be made again",
        lambda evidence, _: _of_origin(evidence.origin, "all it was made from in one commit"),
    ),
}
