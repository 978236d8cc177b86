"""A candidate that passes every rule of the gate, to be spoilt in one respect at a time."""

from dataclasses import replace
from typing import Any

import numpy as np

from graft.core.params.gate_params import GateParams
from graft.evaluation.comparison import compare
from graft.registry.promotion.gate_rules import Evidence, OriginFinding, SeenTestImages, apply_rules
from graft.registry.promotion.gate_verdict import ClassFigures, GateVerdict, Judged, JudgedOn
from graft.registry.promotion.standing import Standing

IMAGES = 300
LABELS = np.array(["blue"] * 200 + ["red"] * 100)


def judged(version: str, **changes: Any) -> Judged:
    good = {
        "version": version,
        "model_uri": f"models:/tints/{version}",
        "run_id": version * 32,
        "digest": version * 64,
        "strategy": "frozen",
        "commit": "c" * 40,
        "data": "d" * 32 + ".dir",
        "accuracy": 0.97,
        "macro_f1": 0.95,
        "log_loss": 0.1,
        "calibration_error": 0.02,
        "calibration_error_by_chance": 0.03,
        "classes": {"blue": ClassFigures(recall=0.98, images=200), "red": ClassFigures(recall=0.95, images=100)},
        "latency_ms": 20.0,
        "size_mb": 20.0,
    }
    return Judged(**{**good, **changes})


def right(wrong: range | list[int], images: int = IMAGES) -> np.ndarray:
    """Which images are answered correctly: all but those named."""
    answers = np.ones(images, bool)
    answers[list(wrong)] = False
    return answers


def standing(**changes: Any) -> Standing:
    """A candidate that is expected to be as good as the champion of 40 days, and most likely is not much worse."""
    good = {
        "metric": "accuracy",
        "judged": 2,
        "candidate": 0.967,
        "candidate_flattery": 0.003,
        "champion": 0.966,
        "champion_flattery": 0.004,
        "by_line": True,
        "gain": 0.001,
        "risk": 0.01,
        "difference": 0.0,
        "lower": -0.008,
        "visible": 0.012,
        "images": IMAGES,
        "champion_since": "2025-11-23T10:00:00+00:00",
        "champion_days": 40,
        "challengers_since": 1,
    }
    return Standing(**{**good, **changes})


def good() -> Evidence:
    """Candidate 2 and champion 1 are each wrong about nine images, of which eight are the same."""
    return Evidence(
        candidate=judged("2"),
        champion=judged("1"),
        test=JudgedOn(images=IMAGES, groups=IMAGES, table_sha256="e" * 64),
        comparison=compare(right(range(9)), right(range(1, 10)), 0.95),
        standing=standing(),
        right=right(range(9)),
        answers=np.where(right(range(9)), LABELS, "red"),
        decided={},
        labels=LABELS,
        groups=np.arange(IMAGES),
        is_champion=False,
        seen=(SeenTestImages("candidate", "2", True, 0), SeenTestImages("champion", "1", True, 0)),
        data=OriginFinding(True, "validate passed, split passed", ""),
        origin=OriginFinding(True, "made from commit cccccccccc", "", "c" * 40),
    )


def with_candidate(**changes: Any) -> Evidence:
    return replace(good(), candidate=judged("2", **changes))


def verdict_on(evidence: Evidence, params: GateParams, model: str = "tints") -> GateVerdict:
    rules, off = apply_rules(evidence, params)
    return GateVerdict(
        model=model,
        passed=all(rule.passed or rule.severity == "warn" for rule in rules),
        at="2026-01-02T03:04:05+00:00",
        commit="c" * 40,
        made_from=evidence.origin.commit,
        candidate=evidence.candidate,
        champion=evidence.champion,
        is_champion=evidence.is_champion,
        test=evidence.test,
        comparison=evidence.comparison,
        standing=evidence.standing,
        params=params,
        rules=rules,
        off=off,
    )
