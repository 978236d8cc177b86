"""Retraining as a Prefect flow: what the inbox brings, checked, trained, judged and told of.

graft retrain                       # once, now
graft schedule --cron "0 3 * * *"   # every night
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE

from graft.automation.prefect_watch import required_server
from graft.core.environment import configure
from graft.core.errors import EXIT_FAILURE, GraftError
from graft.core.lock import ProjectBusyError
from graft.core.params import load_params
from graft.core.project import find_project

if TYPE_CHECKING:
    from graft.automation.retraining.retraining import Retraining


@task(name="recover", task_run_name="recover", cache_policy=NO_CACHE)
def recover(retraining: Retraining) -> None:
    """Remove what an earlier run left, and do what is open after its commit."""
    from graft.automation.retraining.prefect_side import mark_as_crashed

    for run in retraining.recover():
        mark_as_crashed(run)
    _log(*retraining.outcome.settled)


@task(name="bring in", task_run_name="bring in", cache_policy=NO_CACHE)
def bring_in(retraining: Retraining) -> None:
    """Run the user's command, and let DVC bring data/ up to date."""
    retraining.bring_in()


@task(name="look at deliveries", task_run_name="look at deliveries", cache_policy=NO_CACHE)
def look(retraining: Retraining) -> None:
    """Check what lies in the inbox; what cannot be taken in goes into the quarantine."""
    from graft.automation.retraining.outcome import delivery_line

    retraining.look()
    _log(*(delivery_line(one) for one in retraining.outcome.deliveries))


@task(name="decide", task_run_name="decide", cache_policy=NO_CACHE)
def decide(retraining: Retraining) -> bool:
    """Return whether there is something to do."""
    something = retraining.decide()
    _log("; ".join(retraining.outcome.reasons) or "Nothing to do", retraining.outcome.drift)
    return something


@task(name="train", task_run_name="train", cache_policy=NO_CACHE)
def train(retraining: Retraining) -> None:
    """Run the pipeline with the new images, in a worktree of its own."""
    retraining.train()


@task(name="record", task_run_name="record", cache_policy=NO_CACHE)
def record(retraining: Retraining) -> None:
    """Commit what changed, and bring the user's folder to it."""
    retraining.record()
    if retraining.outcome.commit:
        _log(f"Commit {retraining.outcome.commit[:10]}")


@task(name="judge", task_run_name="judge", cache_policy=NO_CACHE)
def judge(retraining: Retraining) -> None:
    """Let the gate decide about the challenger, and promote it where it passes."""
    from graft.automation.retraining.outcome import challenger_line, headline

    retraining.judge()
    if retraining.outcome.version:
        _log(challenger_line(retraining.outcome), *retraining.outcome.refused)
    _log(*retraining.outcome.open)
    _log(headline(retraining.outcome))


@task(name="look after", task_run_name="look after", cache_policy=NO_CACHE)
def look_after(retraining: Retraining) -> None:
    """Say where nothing was promoted for weeks, and remove what nobody needs, as params say."""
    from graft.automation.prune.pruning import prune_nightly
    from graft.automation.retraining.heartbeat import is_stuck

    project, params, outcome = retraining.project, retraining.params, retraining.outcome
    if not outcome.promoted:
        outcome.stuck = is_stuck(project, params, retraining.began)
    if params.prune.nightly:
        outcome.settled += prune_nightly(project, params)


@task(name="tell", task_run_name="tell", cache_policy=NO_CACHE, retries=2, retry_delay_seconds=10)
def tell(retraining: Retraining) -> None:
    """Create Prefect's artifacts, and send the message where somebody wants it."""
    from graft.automation.retraining.outcome import message
    from graft.automation.retraining.prefect_side import leave_artifacts, leave_assets, name_run, send

    print(message(retraining.outcome))
    name_run(str(runtime.flow_run.id), retraining.outcome)
    leave_artifacts(retraining.outcome, retraining.params.retrain.notify)
    leave_assets(retraining.outcome)
    send(retraining.outcome, retraining.params.retrain.notify)


def _notify(retraining: Retraining) -> Any:
    """Notify, and record that it was done: outside of the task, which Prefect repeats, and with it the message."""
    state = tell(retraining, return_state=True)
    if not state.is_failed():
        retraining.notified()
    return state


@flow(name="retrain", flow_run_name="retrain", validate_parameters=False)
def retrain(force: bool = False) -> Any:
    """Bring in, check, train, record, judge, notify; see :mod:`graft.automation.retraining.retraining`."""
    project = find_project()
    configure(project)
    from prefect.states import Cancelled, Completed

    from graft.automation.retraining.heartbeat import beat
    from graft.automation.retraining.outcome import title
    from graft.automation.retraining.retraining import Retraining

    retraining = Retraining(project, load_params(project.params_file), force, str(runtime.flow_run.id or ""))
    try:
        with retraining.running():
            recover(retraining)
            bring_in(retraining)
            look(retraining)
            if decide(retraining):
                train(retraining)
                record(retraining)
                judge(retraining)
            look_after(retraining)
    except ProjectBusyError as error:
        return Cancelled(message=str(error))
    except Exception as error:
        retraining.outcome.failure = retraining.outcome.failure or str(error)
        _notify(retraining)
        raise
    # Whether or not the message arrives, what was done is done.
    told = _notify(retraining)
    words = title(retraining.outcome)
    if told.is_failed():
        words += f"; but {told.message}"
    target = retraining.params.retrain.heartbeat
    if target and not retraining.outcome.open and (problem := beat(project, target, retraining.outcome)):
        words += f"; but {problem}"
        _log(f"But {problem}")
    if retraining.outcome.open:
        raise GraftError(" ".join(retraining.outcome.open), "The next run tries again; or: graft retrain --abandon")
    return Completed(message=words)


def _log(*sentences: str) -> None:
    """Log sentences for Prefect's pages; the terminal gets the message at the end."""
    for sentence in sentences:
        if sentence:
            get_run_logger().info(sentence)


def main() -> int:
    """Run the flow once; return the exit code."""
    try:
        with required_server(find_project()):
            state = retrain(force="--force" in sys.argv[1:], return_state=True)
    except GraftError as error:
        print(f"\nThe retraining stopped: {error}", file=sys.stderr)
        return EXIT_FAILURE
    if state.is_failed() or state.is_crashed():
        failure = state.result(raise_on_failure=False)
        if not isinstance(failure, GraftError):
            raise failure
        print(f"\nThe retraining stopped: {failure}", file=sys.stderr)
        return EXIT_FAILURE
    if state.is_cancelled():
        print(state.message)
    return 0


if __name__ == "__main__":
    sys.exit(main())
