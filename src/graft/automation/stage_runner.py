"""Run the flow of one stage as a command: timing, one clear sentence on failure, and the exit code."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from graft.automation.killed_stages import at_work
from graft.automation.prefect_watch import required_server
from graft.automation.projects.project_version import require_own_version
from graft.core.cluster import use_compute
from graft.core.credentials import errors_without_credentials
from graft.core.errors import EXIT_FAILURE, EXIT_INTERRUPTED, GraftError
from graft.core.git import repository_top
from graft.core.params import load_params
from graft.core.project import find_project
from graft.core.timing import StageClock

# What the system refuses for reasons that lie outside graft, and what to do about it.
FOR_THE_USER = {
    errno.ENOSPC: (
        # Not `dvc gc -w`: it loses the data that an import has replaced, and that of other commits.
        "Free some disk space and run the same command again; `graft cache prune --to-gb 0` drops features, which are "
        "made again"
    ),
    errno.EDQUOT: "Free some disk space, or have the quota raised, and run the same command again",
    errno.EROFS: "Work on a disk that can be written",
    errno.EACCES: "Make the folder writable for this user",
}


def _is_worth_a_retry(task: Any, run: Any, state: Any) -> bool:
    """Return False for a problem that only the user can mend: the same sentence would come back after each wait."""
    outcome = state.result(raise_on_failure=False)
    return not isinstance(outcome, GraftError)


# For tasks that talk to a database or a server, which may be busy or restarting.
RETRIES: dict[str, Any] = {"retries": 2, "retry_delay_seconds": 5, "retry_condition_fn": _is_worth_a_retry}


def step(name: str, **settings: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that makes a function a task of a stage.

    Nothing of it is taken from Prefect's cache, and none of its errors shows a password in Prefect's pages.

    Args:
        name: of the task.
        settings: of ``prefect.task``.
    """
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    def decorate(function: Callable[..., Any]) -> Any:
        return task(name=name, cache_policy=NO_CACHE, **settings)(errors_without_credentials(function))

    return decorate


@contextmanager
def _as_the_environment_says() -> Iterator[None]:
    """Run flows at the server that the environment names, and without a thread that tells it they are alive.

    A profile or a file .env may name a server too, such as a workspace of Prefect Cloud: of photographs that are meant
    to stay on this machine it is told nothing. Nobody listens for heartbeats, and their end takes a second.
    """
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    settings = (PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY)
    # No environment variable can say "none".
    with temporary_settings({setting: None for setting in settings if setting.name not in os.environ}):
        yield


def run_stage(stage: str, flow: Callable[..., Any], *arguments: Any) -> None:
    """Call ``flow(project, clock, *arguments)`` and end the process.

    A :class:`GraftError`, or a disk that is full, is printed as a sentence and ends with 1, Ctrl-C with 130;
    anything else is a defect and shows its traceback. DVC removes what a failed stage wrote before it runs again.
    """
    project = find_project()
    name = "@".join([stage, *map(str, arguments)])  # as DVC names the stages of a matrix
    clock = StageClock.of_this_process(name)
    code = 0
    try:
        require_own_version(project)
        use_compute(load_params(project.params_file).compute)
        repository_top(project.root)  # raises where git refuses: not only once all has been trained
        with at_work(project, name), required_server(project), _as_the_environment_says():
            flow(project, clock, *arguments)
    except GraftError as error:
        print(f"\n{stage} stopped: {error}", file=sys.stderr)
        code = EXIT_FAILURE
    except OSError as error:
        if error.errno not in FOR_THE_USER:
            raise
        where = f" at {error.filename}" if error.filename else ""
        print(f"\n{stage} stopped: {error.strerror}{where}. {FOR_THE_USER[error.errno]}.", file=sys.stderr)
        code = EXIT_FAILURE
    except KeyboardInterrupt:
        print(f"\n{stage} was interrupted. `dvc repro` carries on from here.", file=sys.stderr)
        code = EXIT_INTERRUPTED
    with suppress(OSError):  # the disk may be the one that is full
        clock.write(project.timings)
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)
