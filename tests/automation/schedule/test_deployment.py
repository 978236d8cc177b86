"""What `graft schedule` deploys is what prefect.yaml deploys for workers."""

import re
from pathlib import Path

import pytest
import yaml

from graft.automation.schedule.deployments import FLOW, describe
from graft.automation.schedule.when import parse_when
from graft.core.project import Project


def test_prefect_yaml_is_in_step_with_the_schedule(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    written = yaml.safe_load((repository / "prefect.yaml").read_text())
    (theirs,) = written["deployments"]
    (schedule,) = theirs["schedules"]
    when = parse_when(schedule["cron"], None, schedule["timezone"])
    ours = describe(Project(repository), theirs["name"], when)
    assert ours.flow_name == FLOW
    assert ours.entrypoint == theirs["entrypoint"]
    assert ours.tags == theirs["tags"]
    assert ours.description == theirs["description"]
    assert (ours.concurrency_limit, ours.concurrency_options.collision_strategy) == (
        theirs["concurrency_limit"]["limit"],
        theirs["concurrency_limit"]["collision_strategy"],
    )
    assert (ours.schedules[0].schedule.cron, ours.schedules[0].schedule.timezone) == (when.cron, when.timezone)
    assert ours.work_pool_name is None  # `graft schedule` executes it; workers execute the other
    assert theirs["work_pool"]["name"] == "graft"


def test_d4_nothing_is_imported_that_prefect_keeps_to_itself(repository: Path) -> None:
    """Its next version may be without it."""
    sources = [path for folder in ("src", "pipelines") for path in (repository / folder).rglob("*.py")]
    assert sources
    private = re.compile(r"(?:from|import) prefect(?:\.\w+)*\._")
    assert [path.name for path in sources if private.search(path.read_text(encoding="utf-8"))] == []
