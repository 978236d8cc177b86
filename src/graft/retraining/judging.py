"""What follows the commit: the gate's word about the challenger, and the way to other machines."""

from __future__ import annotations

from graft.data.versioning import run_dvc
from graft.errors import GraftError
from graft.params.models import Params
from graft.params.retrain import RetrainParams
from graft.project import Project
from graft.retraining import committing
from graft.retraining.outcome import Outcome, promotion_reason


def judge_challenger(project: Project, params: Params, commit: str, outcome: Outcome) -> None:
    """Asks the gate about the challenger, and promotes it where it passes and ``retrain.promote`` is ``auto``.

    Args:
        project, params: as everywhere.
        commit: that the challenger was made from.
        outcome: is told what came of it.
    """
    from graft.promotion.change import settle
    from graft.promotion.gate import run_gate
    from graft.promotion.promote import open_registry, promote, rolled_back
    from graft.registry.aliases import CHALLENGER, registered_name

    registry = open_registry(project, registered_name(project, params.register_))
    line, settled = settle(registry)  # of a promotion that was cut off with the run before
    outcome.settled += [f"{note[0].upper()}{note[1:]}." for note in settled]
    outcome.champion = line.champion or ""
    challenger = line.aliases.get(CHALLENGER)
    if challenger is None or challenger == line.champion:
        return
    outcome.model, outcome.version = registry.model, challenger
    if problem := rolled_back(registry.model, line, challenger):
        outcome.refused = [f'{problem}. A person may promote it: graft promote --force --reason "..."']
        return
    verdict = run_gate(project, params, registry, commit=commit)
    outcome.strategy = verdict.candidate.strategy
    both = {"challenger": verdict.candidate, "champion": verdict.champion}
    outcome.figures = {
        role: {"accuracy": one.accuracy, "macro_f1": one.macro_f1, "log_loss": one.log_loss}
        for role, one in both.items()
        if one is not None
    }
    if not verdict.passed:
        outcome.refused = [
            f"{rule.name}: {rule.observed} (needed: {rule.needed}). {rule.remedy}" for rule in verdict.broken
        ]
    elif params.retrain.promote == "auto":
        promote(registry, challenger, promotion_reason(outcome))
        outcome.promoted, outcome.champion = True, challenger


def push(project: Project, params: RetrainParams, outcome: Outcome) -> None:
    """Where it fails, everything else stands: it is told, and the next commit takes this one along."""
    record, limit = params.record, float(params.source.timeout_seconds)
    try:
        if record.push_data:  # first: a commit must not name images that nobody else can fetch
            run_dvc(project, "push", timeout=limit)
        if record.push:
            branch = committing.branch_name(project, record.branch)
            committing.push(project, record.push, branch, limit)
    except GraftError as error:
        outcome.settled.append(f"Not pushed: {error}")
