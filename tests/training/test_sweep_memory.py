"""The memory of a sweep: what machines that share one leave to each other, and a database that goes away."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from services import postgresql
from sweeps import DRAWN, StoppedError, nothing_trained, params
from tiny import make_project

from graft.core.errors import GraftError
from graft.core.project import Project
from graft.training import sweep_memory
from graft.training.run_sweep import Trial, run_sweep

__all__ = ["nothing_trained"]
MACHINES = 4


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'shared.sqlite'}"
    else:
        with postgresql() as server:
            yield server.database("sweeps")


@pytest.mark.usefixtures("nothing_trained")
def test_two_machines_share_a_sweep_and_leave_each_other_what_they_have_begun(
    project: Project, tmp_path: Path, storage: str
) -> None:
    shared = params({**DRAWN, "trials": 6, "storage": storage})
    other = make_project(tmp_path / "other")
    seen: list[Trial] = []

    def stop(trial: Trial) -> None:
        if len(seen) == 3:
            raise StoppedError  # the third that was drawn is under way
        seen.append(trial)

    with pytest.raises(StoppedError):
        run_sweep(project, shared, stop)
    there: list[Trial] = []
    done = run_sweep(other, shared, there.append)
    assert len(there) == 3  # of six, two had ended and one was begun
    assert all(trial.gain is not None for trial in there)  # over the other machine's training of what is as it is
    assert len(done) == 6
    last: list[Trial] = []
    done = run_sweep(project, shared, last.append)
    assert len(last) == 1
    assert len({trial.settings["learning_rate"] for trial in done if not trial.is_own}) == 6
    assert len({trial.number for trial in done if not trial.is_own}) == 6
    assert run_sweep(other, shared, there.append) == done


@pytest.mark.usefixtures("nothing_trained")
def test_machines_at_work_at_once_lose_no_trial_and_draw_none_twice(tmp_path: Path) -> None:
    with postgresql() as server, ThreadPoolExecutor(MACHINES) as machines:
        shared = params({**DRAWN, "trials": 20, "storage": server.database("sweeps")})
        projects = [make_project(tmp_path / f"machine-{number}") for number in range(MACHINES)]
        list(machines.map(lambda one: run_sweep(one, shared), projects))
        done = [trial for trial in run_sweep(projects[0], shared) if not trial.is_own]
        assert 20 <= len(done) < 20 + MACHINES  # those who ask for the last in the same moment may all have it
        assert len({trial.number for trial in done}) == len(done)
        assert len({trial.settings["learning_rate"] for trial in done}) == len(done)


@pytest.mark.usefixtures("nothing_trained")
def test_a_database_that_is_restarted_costs_no_trial(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with postgresql() as server:
        shared = params({**DRAWN, "trials": 6, "storage": server.database("sweeps")})

        def restart(trial: Trial) -> None:
            if trial.number in (1, 3):
                server.stop()
                server.start(wait=trial.number == 1)

        done = run_sweep(project, shared, restart)
        assert len([trial for trial in done if not trial.is_own and not trial.problem]) == 6

        def stop(trial: Trial) -> None:
            server.stop()

        monkeypatch.setattr(sweep_memory, "_PATIENCE_SECONDS", 0)
        more = params({**DRAWN, "trials": 8, "storage": shared.sweep.storage})
        with pytest.raises(GraftError, match=r"(?s)has gone away.*carries on"):
            run_sweep(project, more, stop)
        server.start()
        assert len([trial for trial in run_sweep(project, more) if not trial.is_own]) == 8
