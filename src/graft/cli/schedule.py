"""`graft schedule`: retraining by the clock, and looking after it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli.app import Commands, opened
from graft.cli.options import ForceOption
from graft.cli.output import print_next, say
from graft.core.errors import EXIT_FAILURE, GraftError
from graft.core.progress import console
from graft.core.project import Project, find_project

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

    from graft.automation.retraining.outcome import Outcome

app = Commands()

Name = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="Of the deployment, which is called retrain/NAME; by default the data set's."
    ),
]
_RUNS_SHOWN = 5
_NEXT_SHOWN = 3
_ASK_SECONDS = 2.0


@app.callback(invoke_without_command=True, epilog='Example: graft schedule --cron "0 3 * * *"')
def schedule(
    context: typer.Context,
    cron: Annotated[
        str | None, typer.Option(metavar="CRON", help="Minute, hour, day of the month, month, day of the week.")
    ] = None,
    every: Annotated[
        str | None, typer.Option(metavar="INTERVAL", help="An interval instead: 900, 15m, 1h30m, 1d.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="That --cron is meant in; by default this machine's.")
    ] = None,
    name: Name = None,
    prefect_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Of Prefect's server, where one is started.", min=1, max=65535)
    ] = None,
) -> None:
    """Retrain by the clock, in the foreground, until Ctrl-C or SIGTERM.

    Uses the Prefect server at PREFECT_API_URL or that of `graft ui`, else starts one. Each run is what `graft retrain`
    does. Where runs were missed, because the machine was off or a training took long, one takes the place of all.
    """
    if context.invoked_subcommand:
        return
    from graft.automation.schedule.service import run_service
    from graft.automation.schedule.when import parse_when

    project = _project()
    when = parse_when(cron, every, timezone)
    called = _name(project, name)
    opened()  # a typo in params.yaml is found before anything is started
    run_service(project, when, called, prefect_port, say)
    console.print("Ended.")


@app.command("list", epilog="Example: graft schedule list")
def list_runs(name: Name = None) -> None:
    """Show the schedule, the next runs and the last ones; ends with 1 where there is none, or nothing executes it."""
    from graft.automation.retraining.retrain_history import last_outcomes

    project = _project()
    problem = None
    try:
        deployed = _deployed(project, name)
        _print_deployed(deployed)
        if not deployed.paused:
            _check_executed(project, deployed)
    except GraftError as error:
        problem = error
    outcomes = last_outcomes(project, _RUNS_SHOWN)
    if outcomes:
        console.print("\nRetrainings of this project, the last one first (.graft/state/retrain/history.jsonl):")
        for outcome in outcomes:
            _print_outcome(outcome)
    if problem is not None:
        raise problem


@app.command("pause", epilog="Example: graft schedule pause")
def pause(name: Name = None) -> None:
    """Plan no more runs until `graft schedule resume`, also after a restart; a run that is under way goes on."""
    from graft.automation.schedule.deployments import set_paused

    project = _project()
    deployed = _deployed(project, name)
    set_paused(deployed, True)
    console.print(f"retrain/{deployed.name} is paused.", markup=False)
    print_next("graft schedule resume", "graft retrain")


@app.command("resume", epilog="Example: graft schedule resume")
def resume(name: Name = None) -> None:
    """Plan runs again."""
    from graft.automation.schedule.deployments import schedules_in_words, set_paused

    project = _project()
    deployed = _deployed(project, name)
    set_paused(deployed, False)
    say(f"retrain/{deployed.name} runs again: {schedules_in_words(deployed)}.")
    print_next("graft schedule list")


@app.command("run-now", epilog="Example: graft schedule run-now --wait")
def run_now(
    force: ForceOption = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; 1 where it failed.")] = False,
    name: Name = None,
) -> None:
    """Have the schedule's process do a retraining now; with --wait after one that may be under way."""
    from graft.automation.schedule.deployments import page_of, run_under_way, start_run

    project = _project()
    deployed = _deployed(project, name)
    _check_executed(project, deployed)
    if now := run_under_way(deployed):
        if not wait:
            raise GraftError(
                f"A run of retrain/{deployed.name} is under way: {page_of(str(now.id))}",
                "Ask again when it has ended, or wait for both with --wait",
            )
        say(f"Another run is under way: {page_of(str(now.id))}")
        _wait_for(str(now.id))
    run = start_run(deployed, force)
    say(f"Watch it: {page_of(run)}")
    if not wait:
        print_next("graft schedule list")
        return
    if _wait_for(run) in ("Failed", "Crashed", "TimedOut"):
        raise typer.Exit(EXIT_FAILURE)


@app.command("env", epilog='Example: graft schedule env, as in eval "$(graft schedule env)"')
def env() -> None:
    """Print the variables by which `prefect` and programs of yours find this project's server and are let in."""
    from graft.automation.schedule.service import server_in_use

    own = server_in_use(_project())
    if own is None:
        raise GraftError("The Prefect server in use is not graft's", "Its variables are set already")
    for variable, value in own.environment.items():
        print(f"export {variable}={value}")


def _wait_for(run: str) -> str:
    """Print each state of a run until it has ended; return the last one."""
    from graft.automation.schedule.deployments import read_run, state_in_words

    said = ""
    while True:
        now = read_run(run)
        if said != now.state_name:
            said = now.state_name or ""
            say(state_in_words(now))
        if now.state and now.state.is_final():
            return said
        time.sleep(_ASK_SECONDS)


def _project() -> Project:
    from graft.core.environment import configure

    project = find_project()
    configure(project)
    return project


def _name(project: Project, name: str | None) -> str:
    from graft.data.folder.versioning import dataset_name

    chosen = name or dataset_name(project)
    if not chosen.strip() or set(chosen) & set("/%&><"):
        raise GraftError(f"Prefect takes no deployment called '{chosen}'", "Name it without / % & < >, with --name")
    return chosen


def _deployed(project: Project, name: str | None) -> DeploymentResponse:
    """Return what Prefect knows of the schedule; point this process at the server first."""
    from graft.automation.schedule.service import server_in_use

    server_in_use(project)
    from graft.automation.schedule.deployments import find

    return find(_name(project, name))


def _check_executed(project: Project, deployed: DeploymentResponse) -> None:
    """Raise GraftError where nothing would execute a run."""
    from graft.automation.schedule.service import is_at_work

    pool = deployed.work_pool_name
    if deployed.status == "READY" or (not pool and is_at_work(project)):
        return
    who = f"a worker: prefect worker start --pool {pool}" if pool else "graft schedule"
    raise GraftError(f"Nothing executes the runs of retrain/{deployed.name} at the moment", f"Start {who}")


def _print_deployed(deployed: DeploymentResponse) -> None:
    from graft.automation.schedule import deployments
    from graft.automation.schedule.when import local

    when, zone = deployments.schedules_in_words(deployed), deployments.timezone_of(deployed)
    state = "[yellow]paused[/]" if deployed.paused else "[green]active[/]"
    console.print(f"[bold]retrain/{deployed.name}[/]  {when or 'no schedule'}  {state}", soft_wrap=True)
    times = [local(moment, zone) for moment in deployments.next_runs(deployed, _NEXT_SHOWN)]
    console.print(f"Next: {', '.join(times) or 'none'}", soft_wrap=True)
    runs = deployments.last_runs(deployed, _RUNS_SHOWN)
    if runs:
        console.print("\nRuns in Prefect, the last one first:")
    for run in runs:
        due = local(run.expected_start_time, zone) if run.expected_start_time else ""
        say(f"  {due}  {deployments.state_in_words(run)}")


def _print_outcome(outcome: Outcome) -> None:
    from datetime import datetime

    from graft.automation.retraining.outcome import headline

    at = datetime.fromisoformat(outcome.at).astimezone()
    what = headline(outcome)
    say(f"  {at:%a %Y-%m-%d %H:%M:%S %Z}  {what} ({outcome.seconds:.0f} s)")
    if outcome.failure:
        say(f"    {outcome.failure}")
