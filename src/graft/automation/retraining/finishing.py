"""Do what follows the commit of a retraining: check out the user's folder, run the gate, push.

A recorded commit stays: a step that fails is reported, stays open, and is tried again by the next run. It blocks
nothing else.
"""

from dataclasses import replace

from graft.automation.retraining import landing
from graft.automation.retraining.judging import judge_challenger, push
from graft.automation.retraining.outcome import (
    OpenCommit,
    Outcome,
    Step,
    from_record,
    headline,
    promotion_reason,
    read_open,
    write_open,
)
from graft.automation.retraining.workspace import Workspace, fill, open_workspace
from graft.core.errors import GraftError, first_line
from graft.core.lock import project_lock, retraining_lock
from graft.core.params.models import Params
from graft.core.project import Project

_STILL_OPEN = {"judge": "The challenger was not judged", "push": "Not pushed"}


def finish(
    project: Project, params: Params, one: OpenCommit, outcome: Outcome, space: Workspace | None = None
) -> OpenCommit:
    """Do what is left to do about a commit; return it with what is left then. May be repeated.

    Args:
        outcome: gets what came of it, and what stays open.
        space: a filled worktree that stands on what the commit holds; one is made where there is none.

    Raises:
        GraftError, OSError: the user's folder could not be brought to the commit. Before it is, no other run can begin.
    """
    if "check out" in one.todo:
        with project_lock(project, params.retrain.timeout_minutes * 60):
            outcome.settled += landing.check_out(project, one)
        one = _without(one, "check out")
    for step in ("judge", "push"):
        if step not in one.todo:
            continue
        try:
            if space is None:
                space = open_workspace(project, one.branch, one.run, commit=one.commit)
                fill(space)
            if step == "judge":
                judge_challenger(
                    space.own, project, params, one.commit, outcome, promotion_reason(from_record(one.outcome))
                )
            else:
                push(space.own, params.retrain, one.branch)
        except Exception as error:
            # Any kind: a champion that no longer loads raises what its libraries raise.
            reason = str(error) if isinstance(error, GraftError) else first_line(error)
            outcome.open.append(f"{_STILL_OPEN[step]}: {reason}")
        else:
            one = _without(one, step)
    return one


def report_late(one: OpenCommit, outcome: Outcome) -> None:
    """Add to this run's message what that of an earlier one should have said."""
    earlier = from_record(one.outcome)
    when = one.at[:16].replace("T", " ")
    outcome.settled.append(f"Nobody was told yet of the run of {when} UTC: {headline(earlier)}.")
    outcome.late += [event for event in earlier.events if event != "nothing"]


def abandon(project: Project) -> list[str]:
    """Give up on what earlier runs have left open; return what that was, a line each.

    Raises:
        ProjectBusyError: a retraining is at work.
    """
    with retraining_lock(project):
        try:
            given_up = [f"Given up: {one}" for one in read_open(project)]
        except GraftError as error:
            given_up = [f"Given up: {error.what}"]
        write_open(project, [])  # worktrees stay: by them the next run finds what one that was killed has left
    return given_up


def mark_notified(project: Project) -> None:
    """Record that a person was notified of everything that is open."""
    write_open(project, [_without(one, "tell") for one in read_open(project)])


def _without(one: OpenCommit, step: Step) -> OpenCommit:
    return replace(one, todo=tuple(left for left in one.todo if left != step))
