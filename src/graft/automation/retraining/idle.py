"""See at once that a retraining has nothing to do: without Prefect, whose server and flow take longer than all else."""

from datetime import UTC, datetime

from graft.automation.retraining import reasons, workspace
from graft.automation.retraining.deliveries import put_away_before
from graft.automation.retraining.forget import to_forget
from graft.automation.retraining.heartbeat import beat, is_stuck
from graft.automation.retraining.intake import Intake
from graft.automation.retraining.outcome import message, read_open
from graft.automation.retraining.retraining import Retraining
from graft.core.errors import GraftError
from graft.core.params.models import Params
from graft.core.project import Project


def finish_idle(project: Project, params: Params) -> str | None:
    """Record a run with nothing to do, and return its message; None where a flow has to look, act or complain."""
    retraining = Retraining(project, params)
    try:
        if not _is_idle(project, params, retraining):
            return None
        with retraining.running():
            pass
    except GraftError:
        return None
    problem = beat(project, params.retrain.heartbeat, retraining.outcome) if params.retrain.heartbeat else ""
    return message(retraining.outcome).strip() + (f"\n\nBut {problem}" if problem else "")


def _is_idle(project: Project, params: Params, retraining: Retraining) -> bool:
    """Return whether it is plain that nothing is to be done, told or tidied up. What costs most is asked last.

    Raises:
        GraftError: a delivery that was refused stops all runs.
    """
    retrain, now = params.retrain, datetime.now(UTC)
    asks_elsewhere = retrain.source.command or retrain.source.remote != "none"
    is_told = retrain.notify.block and "nothing" in retrain.notify.events
    if asks_elsewhere or is_told or params.prune.nightly:
        return False
    if workspace.left_behind(project) or read_open(project) or to_forget(project) or not retraining.is_here:
        return False
    intake = Intake(project, params, now, retraining.outcome)
    intake.require_acknowledged()
    if intake.find(wait=False) or retraining.outcome.arriving or retraining.outcome.deliveries:
        return False
    if any(put_away_before(intake.inbox, retrain.deliveries.keep_days)):
        return False
    if retrain.drift != "off" and reasons.has_new_predictions(project, params):
        return False
    return not reasons.found_by_dvc(project) and not is_stuck(project, params, now)
