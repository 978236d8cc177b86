"""The section ``gate`` of params.yaml: what a model must reach before it may become champion."""

from typing import Annotated, Literal

from pydantic import Field

from graft.core.params.sections import CountOrNone, Section, Severity, Share


class GateSeverity(Section):
    """How grave it is that a candidate breaks a rule of the gate.

    Attributes are the rules of :mod:`graft.registry.promotion.gate_rules`: ``error`` refuses, ``warn`` is shown,
    ``off`` is not asked.
    """

    unseen_test: Severity = "error"
    minimum: Severity = "error"
    not_worse: Severity = "error"
    class_recall: Severity = "error"
    unknown: Severity = "error"
    recall_at_precision: Severity = "error"
    calibration: Severity = "error"
    latency: Severity = "warn"
    size: Severity = "error"
    shadow: Severity = "warn"
    data_verdict: Severity = "error"
    reproducible: Severity = "error"


class GateParams(Section):
    """The limits of the gate.

    Attributes:
        metric: that ``minimum`` and ``max_loss`` are about, on the test split.
        minimum: of that metric.
        max_loss: of that metric against the champion, in parts of 1; see
            :func:`graft.registry.promotion.standing.is_no_loss`.
        confidence: that the loss is no greater, one-sided; and that a class is shown to be below its limit.
        min_class_recall: that no class of the test split is shown to be below.
        min_recall_at_precision: of a class of which ``decide.precision`` wants something, that none is shown to be
            below.
        max_calibration_error: expected calibration error, or what chance gives where that is more.
        max_latency_ms: median of single photographs, decoding included.
        max_size_mb: of the registered model's files, in units of a million bytes.
        worn_after: verdicts that a test image has taken part in, beyond which it is counted; nothing follows from it.
        challengers_asked: latest challengers that are asked besides the champion about images that came after them.
        deliveries: ``shown``: what came of that is a line of the verdict; ``decide``: a champion that is shown to be
            stuck is also left for a candidate that cannot be told from it and is not expected to lose.
        severity: of each rule.
    """

    metric: Literal["accuracy", "macro_f1"] = "accuracy"
    minimum: Share = 0.75
    max_loss: Share = 0.02
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    min_class_recall: Share = 0.5
    min_recall_at_precision: Share = 0.5
    max_calibration_error: Share = 0.1
    max_latency_ms: Annotated[float, Field(gt=0)] = 200
    max_size_mb: Annotated[float, Field(gt=0)] = 500
    worn_after: Annotated[int, Field(ge=1, le=24)] = 20
    challengers_asked: CountOrNone = 2
    deliveries: Literal["shown", "decide"] = "decide"
    severity: GateSeverity = GateSeverity()
