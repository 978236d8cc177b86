"""The deployment of the retraining flow in Prefect: registering it, and asking about it and its runs.

All functions ask the server at ``PREFECT_API_URL``. Prefect calls a deployment ``<flow>/<name>``: here
``retrain/<data set>``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from graft.automation.retraining.prefect_side import mark_as_crashed
from graft.automation.schedule.when import When, in_words, next_times
from graft.core.credentials import without_credentials
from graft.core.errors import GraftError, first_line
from graft.core.project import Project

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse
    from prefect.deployments.runner import RunnerDeployment

FLOW = "retrain"
ENTRYPOINT = "pipelines/retrain.py:retrain"
STOOD_IN_FOR = "Deployment concurrency limit reached"  # what Prefect says of a run that it calls off
UNDER_WAY = ("PENDING", "RUNNING", "CANCELLING")


def describe(project: Project, name: str, when: When) -> RunnerDeployment:
    """Return the deployment of this project's flow, as in prefect.yaml. The working directory must be the project's.

    Raises:
        GraftError: the project has no flow to deploy.
    """
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.deployments.runner import RunnerDeployment

    if not (project.root / "pipelines" / "retrain.py").is_file():
        raise GraftError(
            f"{project.root} has no pipelines/retrain.py, which is what a schedule runs",
            "Get it from graft's repository",
        )
    # Of runs that come at once, since some were missed, the first takes in everything that is there.
    one_at_a_time = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    # Whether it is paused is not given: a person's pause outlives a restart.
    return RunnerDeployment.from_entrypoint(
        ENTRYPOINT,
        name=name,
        schedule=when.as_prefect(),
        tags=["graft"],
        description=DESCRIPTION,
        concurrency_limit=one_at_a_time,
    )


def check_place(project: Project, name: str) -> None:
    """Raise GraftError where a deployment of that name belongs to another project: their runs would mix.

    It does where its runs start in a folder that is there and is not this project's, or a work pool executes them.
    """
    there = _read(name)
    if there is None:
        return
    if there.work_pool_name:
        raise GraftError(
            f"{FLOW}/{name} is executed by the workers of the pool '{there.work_pool_name}'",
            "Take another name with --name",
        )
    if there.path and Path(there.path).resolve() != project.root.resolve() and Path(there.path).is_dir():
        raise GraftError(
            f"Prefect's server has a {FLOW}/{name} for {there.path} already", "Take another name with --name"
        )


def find(name: str) -> DeploymentResponse:
    """Return the deployment ``retrain/<name>``.

    Raises:
        GraftError: there is none; those that are there are named.
    """
    there = _read(name)
    if there is not None:
        return there
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName

    with get_client(sync_client=True) as client:
        others = client.read_deployments(flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])))
    names = ", ".join(sorted(one.name for one in others))
    fix = f"There is: {names}. Choose with --name" if names else 'Start it: graft schedule --cron "0 3 * * *"'
    raise GraftError(f"Prefect has no deployment {FLOW}/{name}", fix)


def schedules_in_words(deployed: DeploymentResponse) -> str:
    """Return the schedules that are switched on, ``""`` where none is."""
    return "; ".join(_in_words(schedule) for schedule in _active(deployed))


def timezone_of(deployed: DeploymentResponse) -> str:
    """Return the time zone of the first schedule that has one, else UTC."""
    zones = (getattr(schedule, "timezone", None) for schedule in _active(deployed))
    return str(next(filter(None, zones), "UTC"))


def state_in_words(run: FlowRun) -> str:
    """Return the state of a run, and what it says."""
    message = first_line(Exception(run.state.message)) if run.state and run.state.message else ""
    return f"{run.state_name}: {message}" if message else run.state_name or ""


def next_runs(deployed: DeploymentResponse, count: int) -> list[datetime]:
    """Return when the next runs are due, the first one first, at most ``count``."""
    from prefect.server.schemas.schedules import SCHEDULE_TYPES
    from pydantic import TypeAdapter

    runs = _runs(deployed.id, types=["SCHEDULED"], ascending=True, limit=count, after=datetime.now(UTC))
    if runs or deployed.paused:
        return [run.expected_start_time for run in runs if run.expected_start_time]
    # Prefect plans no run that is more than 100 days away, and the first ones a minute after it was told of them.
    read = TypeAdapter[SCHEDULE_TYPES](SCHEDULE_TYPES).validate_python
    plans = [read(schedule.model_dump()) for schedule in _active(deployed)]
    return sorted(time for plan in plans for time in next_times(plan, count))[:count]


def last_runs(deployed: DeploymentResponse, count: int) -> list[FlowRun]:
    """Return the last runs that were due, the last one first; without those that another one stood in for."""
    runs = _runs(deployed.id, before=datetime.now(UTC), limit=200)
    stood_in = [run for run in runs if STOOD_IN_FOR in state_in_words(run)]
    return [run for run in runs if run not in stood_in][:count]


def set_paused(deployed: DeploymentResponse, paused: bool) -> None:
    """Pause or resume the schedule; runs that are under way go on."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        (client.pause_deployment if paused else client.resume_deployment)(deployed.id)


def run_under_way(deployed: DeploymentResponse) -> FlowRun | None:
    """Return the run of the deployment that is being executed, or is about to be."""
    return next(iter(_runs(deployed.id, types=UNDER_WAY, limit=1)), None)


def mark_killed_runs(deployment: UUID) -> None:
    """Mark runs as crashed that an earlier process of this schedule was executing when it, or the machine, was killed.

    Prefect would take them to be under way for ever, and let no other one begin.
    """
    for run in _runs(deployment, types=UNDER_WAY):
        mark_as_crashed(str(run.id))


def start_run(deployed: DeploymentResponse, force: bool) -> str:
    """Start a run; return Prefect's id of it. It is called off where another one is under way."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(deployed.id, parameters={"force": True} if force else {})
    return str(run.id)


def read_run(run: str) -> FlowRun:
    """Return a run as it is now."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.read_flow_run(UUID(run))


def page_of(run: str = "") -> str:
    """Return the address of Prefect's pages, or of a run in them."""
    from prefect.settings import PREFECT_UI_URL

    url = PREFECT_UI_URL.value() or os.environ.get("PREFECT_API_URL", "").removesuffix("/api")
    url = without_credentials(url)
    return f"{url}/runs/flow-run/{run}" if run else url


DESCRIPTION = "Takes in what lies in the inbox, trains, and promotes what passes the gate; see docs/retraining.md."


def _read(name: str) -> DeploymentResponse | None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            return client.read_deployment_by_name(f"{FLOW}/{name}")
        except ObjectNotFound:
            return None


def _active(deployed: DeploymentResponse) -> list[Any]:
    return [one.schedule for one in deployed.schedules if one.active]


def _in_words(schedule: Any) -> str:
    if cron := getattr(schedule, "cron", None):
        return f"cron {cron} ({schedule.timezone or 'UTC'})"
    if interval := getattr(schedule, "interval", None):
        return f"every {in_words(interval.total_seconds())}"
    return f"rrule {schedule.rrule}"


def _runs(
    deployment: UUID,
    types: Iterable[str] = (),
    before: datetime | None = None,
    after: datetime | None = None,
    limit: int = 10,
    ascending: bool = False,
) -> list[FlowRun]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    wanted = [StateType(one) for one in types]
    selected = filters.FlowRunFilter(
        deployment_id=filters.FlowRunFilterDeploymentId(any_=[deployment]),
        state=filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=wanted)) if wanted else None,
        expected_start_time=filters.FlowRunFilterExpectedStartTime(before_=before, after_=after),
    )
    order = FlowRunSort.EXPECTED_START_TIME_ASC if ascending else FlowRunSort.EXPECTED_START_TIME_DESC
    with get_client(sync_client=True) as client:
        return list(client.read_flow_runs(flow_run_filter=selected, sort=order, limit=limit))
