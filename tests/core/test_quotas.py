"""Cores and memory by the quotas of a container, as control groups state them."""

import os
from pathlib import Path

import numpy as np
import pytest

from graft.core import environment
from graft.core.project import Project
from graft.core.quotas import THREAD_VARIABLES, cores, fewer_cores, memory_kills, memory_limit
from graft.core.threads import in_threads

V2 = "41 31 0:38 {root} /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw\n"
V1 = "32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
V1_MEMORY = "35 31 0:32 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
LARGEST = "9223372036854771712"


@pytest.fixture(autouse=True)
def sixty_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graft.core.quotas._available", lambda: 64)


def machine(folder: Path, group: str, mounts: str, **files: str) -> Path:
    """A root with control groups; in the names of files, ``__`` stands for a slash, and ``_dot_`` for a full stop."""
    written = {"proc/self/cgroup": group, "proc/self/mountinfo": "1 0 0:1 / / rw - ext4 /dev/sda rw\n" + mounts}
    written |= {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    for name, text in written.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


MACHINES = {
    "no groups": ("", "", {}, 64),
    "none that limits": ("0::/\n", V2, {"cpu_dot_max": "max 100000\n"}, 64),
    "docker, version 2": ("0::/\n", V2, {"cpu_dot_max": "200000 100000\n"}, 2),
    "half a core": ("0::/\n", V2, {"cpu_dot_max": "50000 100000\n"}, 1),
    "a core and a half": ("0::/\n", V2, {"cpu_dot_max": "150000 100000\n"}, 2),
    "more than there are": ("0::/\n", V2, {"cpu_dot_max": "9900000 100000\n"}, 64),
    "set on a group above": (
        "0::/a/b\n",
        V2,
        {"a__b__cpu_dot_max": "max 100000", "a__cpu_dot_max": "300000 100000"},
        3,
    ),
    "the least of several": ("0::/a\n", V2, {"a__cpu_dot_max": "400000 100000", "cpu_dot_max": "300000 100000"}, 3),
    "outside its namespace": ("0::/../..\n", V2, {"cpu_dot_max": "200000 100000"}, 2),
    "not for people": ("0::/\n", V2, {"cpu_dot_max": "many"}, 64),
}


@pytest.mark.parametrize("name", MACHINES)
def test_case_21_cores_are_counted_by_the_quota_of_the_container(name: str, tmp_path: Path) -> None:
    group, mounts, files, expected = MACHINES[name]
    root = machine(tmp_path, group, mounts.format(root="/"), **files)
    assert cores(root) == expected
    assert fewer_cores(root) == (expected if expected < 64 else None)


@pytest.mark.parametrize("mounted", ["/", "/docker/0123"])
def test_case_21_quotas_of_the_first_version_count_too(mounted: str, tmp_path: Path) -> None:
    """A container sees its own group at the place where the mount begins, under the name that it has outside."""
    folder = tmp_path / "sys/fs/cgroup"
    mine = "" if mounted != "/" else "docker/0123"
    for controller, files in {
        "cpu,cpuacct": {"cpu.cfs_quota_us": "250000\n", "cpu.cfs_period_us": "100000\n"},
        "memory": {"memory.limit_in_bytes": "2147483648\n", "memory.oom_control": "under_oom 0\noom_kill 3\n"},
    }.items():
        (folder / controller / mine).mkdir(parents=True)
        for name, text in files.items():
            (folder / controller / mine / name).write_text(text)
    group = "5:memory:/docker/0123\n4:cpu,cpuacct:/docker/0123\n0::/\n"
    root = machine(tmp_path, group, (V1 + V1_MEMORY).format(root=mounted))
    assert (cores(root), memory_limit(root), memory_kills(root)) == (3, 2 << 30, 3)
    (folder / "cpu,cpuacct" / mine / "cpu.cfs_quota_us").write_text("-1\n")
    (folder / "memory" / mine / "memory.limit_in_bytes").write_text(LARGEST)
    assert (cores(root), memory_limit(root)) == (64, None)


def test_case_21_memory_is_what_the_container_may_take(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/a\n", V2.format(root="/"), a__memory_dot_max="1073741824\n", memory_dot_max="max\n")
    assert (memory_limit(root), memory_kills(root)) == (1 << 30, 0)
    (root / "sys/fs/cgroup/a/memory.events").write_text("low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\n")
    assert memory_kills(root) == 1


def test_case_21_libraries_are_told_of_a_quota_and_nothing_of_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("graft.core.environment.guard_output", lambda: None)
    monkeypatch.setattr("tempfile.tempdir", None)
    before = dict(os.environ)
    told: list[int] = []
    monkeypatch.setattr(environment, "_limit_what_is_loaded", told.append)
    try:
        for limit in (None, 3):
            monkeypatch.setattr("graft.core.environment.fewer_cores", lambda limit=limit: limit)
            environment.configure(Project(tmp_path))
            found = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
            assert found == ({} if limit is None else dict.fromkeys(THREAD_VARIABLES, "3"))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        environment.configure(Project(tmp_path))
        assert os.environ["OMP_NUM_THREADS"] == "1"  # what the user has set stays
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
    assert told == [3, 3]


def test_case_21_a_blas_that_is_loaded_already_is_limited() -> None:
    from threadpoolctl import threadpool_info, threadpool_limits

    np.ones((2, 2)) @ np.ones((2, 2))
    with threadpool_limits():  # puts back what was
        environment._limit_what_is_loaded(1)
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}


def test_case_21_work_in_threads_takes_as_many_as_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr("graft.core.threads.cores", lambda: 3)
    from concurrent.futures import ThreadPoolExecutor

    def pool(threads: int) -> ThreadPoolExecutor:
        sizes.append(threads)
        return ThreadPoolExecutor(threads)

    monkeypatch.setattr("graft.core.threads.ThreadPoolExecutor", pool)
    assert list(in_threads(lambda number: number * 2, range(9))) == [*range(0, 18, 2)]
    assert sizes == [3]


def test_case_21_no_code_counts_the_hosts_cores() -> None:
    """Nor leaves it to a pool, which takes a thread for each of the host's and four more."""
    source = Path(environment.__file__).parents[1]
    for path in source.rglob("*.py"):
        text = path.read_text()
        if path.name != "quotas.py":
            assert not any(word in text for word in ("cpu_count", "sched_getaffinity", "PoolExecutor()")), path
