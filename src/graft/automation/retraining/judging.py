"""Let the gate judge the challenger after the commit, and push to other machines."""

from collections.abc import Callable

from graft.automation.retraining.outcome import Outcome
from graft.automation.run_pipeline import read_registered
from graft.core.errors import GraftError, first_line
from graft.core.files import write_file
from graft.core.git import run_git
from graft.core.params.models import Params
from graft.core.params.retrain_params import RetrainParams
from graft.core.project import Project
from graft.data.folder.versioning import run_dvc


def judge_deliveries(own: Project, params: Params, outcome: Outcome, split: Callable[[], object]) -> None:
    """Have champion and latest challengers answer for new images before a model is trained on them.

    What hinders that stops no training: the gate asks afterwards, of what is lacking.

    Args:
        own: a worktree with the new images in data/.
        split: runs the pipeline up to the split.
    """
    from graft.registry.aliases import registered_name
    from graft.registry.promotion.line import read_line
    from graft.registry.store.read_registry import read_registry

    name = registered_name(own, params.register_)
    try:
        if read_line(read_registry(own), name).champion is None:
            return
    except GraftError as error:
        outcome.judged_first = f"New images were not judged before training: {error.what}."
        return
    try:
        split()
        from graft.registry.promotion.ask_first import judge_first
        from graft.registry.promotion.promote import open_registry

        found = judge_first(own, params, open_registry(own, name), params.retrain.timeout_minutes * 60)
    except Exception as error:
        # Any kind: a champion that no longer loads raises what its libraries raise. Where the split itself failed, the
        # pipeline as a whole will.
        reason = error.what if isinstance(error, GraftError) else first_line(error)
        outcome.judged_first = f"New images were not judged before training: {reason}."
    else:
        outcome.judged_first = " ".join(found.sentences()) if found else ""


def judge_challenger(
    own: Project, project: Project, params: Params, commit: str, outcome: Outcome, reason: str
) -> None:
    """Ask the gate about the challenger, and promote it where it passes and ``retrain.promote`` is ``auto``.

    Args:
        own: a filled worktree that holds what the commit does: its test images are judged on.
        project: the user's, which gets a copy of the verdict.
        reason: of the promotion, for the line of champions.
    """
    from graft.deployment.monitor.shadow_answers import answers_in_shadow
    from graft.registry.aliases import registered_name
    from graft.registry.promotion.change_champion import complete_interrupted
    from graft.registry.promotion.gate import run_gate
    from graft.registry.promotion.gate_verdict import verdict_file
    from graft.registry.promotion.line import MAX_REASON
    from graft.registry.promotion.promote import open_registry, promote, rolled_back
    from graft.registry.promotion.standing import is_freed

    registry = open_registry(own, registered_name(own, params.register_))
    line, settled = complete_interrupted(registry)  # of a promotion that was cut off with the run before
    outcome.settled += [f"{note[0].upper()}{note[1:]}." for note in settled]
    outcome.champion = line.champion or ""
    try:
        # Not whatever the alias names by now: `graft run` may have registered another one meanwhile.
        challenger = str(read_registered(own)["version"])
    except GraftError:
        return  # a pipeline that registers nothing
    if challenger == line.champion:
        return
    outcome.model, outcome.version = registry.model, challenger
    if problem := rolled_back(registry.model, line, challenger):
        outcome.refused = [f'{problem}. A person may promote it: graft promote --without-gate --reason "..."']
        return
    limit = params.retrain.timeout_minutes * 60
    shadow = answers_in_shadow(project, params.monitor.log, registry.model)
    verdict = run_gate(own, params, registry, challenger, commit, limit, shadow)
    if verdict_file(own).is_file():
        write_file(verdict_file(project), verdict_file(own).read_bytes())
    outcome.strategy = verdict.candidate.strategy
    both = {"challenger": verdict.candidate, "champion": verdict.champion}
    outcome.figures = {
        role: {"accuracy": one.accuracy, "macro_f1": one.macro_f1, "log_loss": one.log_loss}
        for role, one in both.items()
        if one is not None
    }
    deliveries = verdict.standing.deliveries
    outcome.shown = deliveries.shown() if deliveries else ""
    if not verdict.passed:
        outcome.refused = [
            f"{rule.name}: {rule.observed} (needed: {rule.needed}). {rule.remedy}" for rule in verdict.broken
        ]
    elif params.retrain.promote == "auto":
        if is_freed(verdict.standing, params.gate):
            reason = f"{reason}; {outcome.shown}"[:MAX_REASON]
        promote(registry, challenger, reason)
        outcome.promoted, outcome.champion = True, challenger


def push(own: Project, params: RetrainParams, branch: str) -> None:
    """Push data and commit where ``retrain.record`` says so.

    Args:
        own: a filled worktree that holds what the commit does.

    Raises:
        GraftError: a remote refuses, or takes too long.
    """
    record, limit = params.record, float(params.source.timeout_seconds)
    if record.push_data:  # first: a commit must not name images that nobody else can fetch
        run_dvc(own, "push", timeout=limit)
    if record.push:
        names = f"refs/heads/{branch}:refs/heads/{branch}"
        run_git(own.root, "push", "--quiet", record.push, names, timeout=limit)


def mark_killed(project: Project, run: str) -> int:
    """Mark what a retraining that was killed had under way in MLflow as killed; return how many runs that were.

    Args:
        run: id of the retraining; trainings carry it as the tag ``retraining``.
    """
    from graft.registry.store.tracking_store import open_store

    client = open_store(project)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, f"tags.retraining = '{run}' and attributes.status = 'RUNNING'")
    for one in found:
        client.set_terminated(one.info.run_id, "KILLED")
    return len(found)
