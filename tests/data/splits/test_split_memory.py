"""B10: what earlier splits settled goes from run to run, and where it is lost or old the stage stops."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from test_settled_groups import EVERY, GROUP, divide, near, series

from graft.core.errors import GraftError
from graft.core.files import sha256_of
from graft.core.params.models import SplitParams
from graft.core.project import Project
from graft.data.splits.split_images import make_split
from graft.data.splits.split_memory import Memory, read_memory, write_memory

LOCK = """schema: '2.0'
stages:
  split:
    cmd: python -m pipelines.split
    outs:
    - path: artifacts/split/settled.json
      md5: 5d41402abc4b2a76b9719d911017c592
    - path: artifacts/split/settled_groups.csv
      md5: 7d793037a0760186574b0282f2f435e7
"""
ROWS, GROUPS = series(20, 2)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project under git, of which nothing is committed."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return Project(tmp_path)


def committed(project: Project, *paths: Path) -> None:
    command = ["git", "-C", str(project.root), "add", "-f", *map(str, paths)]
    subprocess.run(command, check=True)


def filled(project: Project) -> Memory:
    memory = divide(ROWS, GROUPS, GROUP, Memory()).memory
    assert memory.founders
    assert memory.names
    write_memory(memory, project)
    return memory


def test_before_the_first_run_there_is_none(project: Project) -> None:
    assert read_memory(project) == Memory()


def test_a_project_without_git_and_dvc_lock_has_a_first_run_too(tmp_path: Path) -> None:
    assert read_memory(Project(tmp_path)) == Memory()


def test_memory_survives_the_way_through_its_files(project: Project) -> None:
    memory = filled(project)
    assert read_memory(project) == memory
    before = [path.read_bytes() for path in (project.split_memory, project.settled_groups)]
    write_memory(read_memory(project), project)
    assert [path.read_bytes() for path in (project.split_memory, project.settled_groups)] == before


ODD = ["a & b", 'say "x"', "1,000", "007", "null", "NaN", "-1", "a\nb", "a\rb", " ", "🦊", "#", ";"]


def test_c3_groups_with_odd_names_survive_it_too(project: Project) -> None:
    memory = Memory({"d": {name: [name] for name in ODD}}, {"d": dict.fromkeys(ODD, 1)}, {"d, e": {n: n for n in ODD}})
    memory.names["other"] = dict.fromkeys(ODD, ODD[0])
    write_memory(memory, project)
    assert read_memory(project) == memory


@pytest.mark.parametrize("known_by", ["git", "dvc.lock"])
@pytest.mark.parametrize("lost", ["split_memory", "settled_groups"])
def test_b10_a_file_that_is_gone_is_an_error_with_the_command(project: Project, lost: str, known_by: str) -> None:
    """A clone that pulled data.dvc only; a file that was deleted by hand; an experiment's copy without it."""
    filled(project)
    path: Path = getattr(project, lost)
    if known_by == "git":
        committed(project, project.split_memory, project.settled_groups)
    else:
        (project.root / "dvc.lock").write_text(LOCK, encoding="utf-8")
    path.unlink()
    command = "git checkout" if lost == "split_memory" else "dvc pull"
    with pytest.raises(GraftError, match=f"{path.name} is missing.*test.*`{command} artifacts/split/{path.name}`"):
        read_memory(project)


def test_b10_the_record_in_git_alone_tells_that_names_are_gone(project: Project) -> None:
    """Neither git nor dvc.lock knows of the names, but what git has was written with them."""
    filled(project)
    project.settled_groups.unlink()
    with pytest.raises(GraftError, match=r"settled_groups\.csv is missing"):
        read_memory(project)


@pytest.mark.parametrize("old", ["split_memory", "settled_groups"])
def test_b10_a_file_of_an_older_run_is_an_error(project: Project, old: str) -> None:
    memory = filled(project)
    path: Path = getattr(project, old)
    before = path.read_bytes()
    rows, groups = series(22, 2)
    write_memory(divide(rows, groups, GROUP, memory).memory, project)
    path.write_bytes(before)
    with pytest.raises(GraftError, match=r"are not of the same run.*git checkout.*dvc pull"):
        read_memory(project)


def test_b10_a_file_that_is_none_says_how_to_restore_it(project: Project) -> None:
    filled(project)
    for damaged in ("[]", "{", '{"founders": 1}'):
        project.split_memory.write_text(damaged, encoding="utf-8")
        with pytest.raises(GraftError, match="git checkout"):
            read_memory(project)
    project.settled_groups.write_text("a,b\n", encoding="utf-8")
    content = {"founders": {}, "exchanged": {}, "groups": sha256_of(project.settled_groups)}
    project.split_memory.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(GraftError, match="dvc checkout artifacts/split/settled_groups.csv"):
        read_memory(project)


@pytest.mark.parametrize("params", [GROUP, EVERY["none"]], ids=["near_duplicates", "none"])
def test_b10_names_that_are_gone_are_seen_by_the_split_itself(params: SplitParams) -> None:
    memory = divide(ROWS, GROUPS, params, Memory()).memory
    without = Memory(memory.founders, memory.exchanged)
    with pytest.raises(GraftError, match="names that images were drawn by are gone"):
        make_split(pd.DataFrame(ROWS), params, without, near(ROWS, GROUPS))
