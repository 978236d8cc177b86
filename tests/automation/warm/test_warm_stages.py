"""Stages run by forked children: they see what they would see by themselves, end as they would, and leave nobody."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from graft.automation.warm import OFF, VARIABLE, start
from graft.automation.warm.fork_server import ALL
from graft.core.project import Project

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has such a server")

SOURCE = Path(__file__).resolve().parents[3] / "src"
STAGE = """
import json, os, signal, sys, time, threading
from pathlib import Path

what = sys.argv[1]
if what == "report":
    mask = os.umask(0)
    print(json.dumps({
        "pid": os.getpid(), "name": __name__, "arguments": sys.argv[1:], "folder": os.getcwd(), "umask": mask,
        "environment": dict(os.environ), "path": sys.path[0], "stdin": sys.stdin.read(), "modules": list(sys.modules),
        "streams": {name: str(path.resolve()) for name in os.listdir("/proc/self/fd")
                    if (path := Path("/proc/self/fd", name)).exists()},
        "threads": len(os.listdir("/proc/self/task")),
    }))
elif what == "alternate":
    for number in range(20):
        print(number, file=sys.stderr if number % 2 else sys.stdout, flush=True)
    print("unflushed", end="")
elif what == "exit":
    sys.exit(int(sys.argv[2]))
elif what == "fail":
    raise ValueError("a defect")
elif what == "die":
    os.kill(os.getpid(), int(sys.argv[2]))
elif what == "wait":
    Path(sys.argv[2]).write_text(str(os.getpid()))
    try:
        time.sleep(120)
    except KeyboardInterrupt:
        print("put away")
        sys.exit(130)
"""


class Stages:
    """A project of one stage, and a server for it that imports nothing."""

    def __init__(self, root: Path) -> None:
        self.project = Project(root)
        self.environment: Mapping[str, str] = {}

    def begin(self, *arguments: str, **changed: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pipelines.probe", *arguments],
            cwd=self.project.root,
            env={**self.environment, **changed},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, **changed: str) -> tuple[int, str]:
        process = self.begin(*arguments, **changed)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def report(self, **changed: str) -> dict:
        """What a stage sees; ``warm`` tells whether it was another process than the one that was started."""
        process = self.begin("report", **changed)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        seen = json.loads(output)
        return {**seen, "warm": seen["pid"] != process.pid}

    def wait_in_stage(self, record: Path, **changed: str) -> tuple[subprocess.Popen[str], int]:
        """A stage that does not end by itself: the process that was started, and the id of the one at work."""
        process = self.begin("wait", str(record), **changed)
        until(lambda: record.exists() and record.read_text() != "")
        return process, int(record.read_text())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has asked about yet (a zombie) has."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def server_of(address: str) -> int:
    """The process that was started with this address and is a server."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                b"small_server" in (folder / "cmdline").read_bytes()
                and address.encode() in (folder / "environ").read_bytes()
            ):
                return int(folder.name)
        except OSError:
            continue
    raise AssertionError("no server")


def serve_with(stages: Stages, *libraries: str) -> tuple[str, ...]:
    """The command of a server that imports these in advance."""
    module = stages.project.root / "small_server.py"
    module.write_text(f"from graft.automation.warm import fork_server\n\nfork_server.main({libraries!r})\n")
    return ("-m", module.stem)


@pytest.fixture
def unserved(tmp_path: Path) -> Stages:
    root = tmp_path / "project"
    (root / "pipelines").mkdir(parents=True)
    (root / "params.yaml").touch()
    (root / "dvc.yaml").touch()
    (root / "pipelines" / "__init__.py").write_text(
        "from graft.automation.warm.client import hand_over\n\nhand_over()\n"
    )
    (root / "pipelines" / "probe.py").write_text(STAGE)
    stages = Stages(root)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", VARIABLE))}
    stages.environment = {**kept, "PYTHONPATH": str(SOURCE)}
    return stages


@pytest.fixture
def stages(unserved: Stages, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stages]:
    monkeypatch.setattr(start, "SERVER", serve_with(unserved))
    with start.warm_stages(unserved.project, unserved.environment) as environment:
        assert environment[VARIABLE]
        unserved.environment = environment
        yield unserved


def test_a_forked_stage_sees_what_it_would_see_by_itself(stages: Stages) -> None:
    warm = stages.report(DVC_STAGE="train@frozen")
    alone = stages.report(DVC_STAGE="train@frozen", **{VARIABLE: OFF})
    assert warm["warm"]
    assert not alone["warm"]
    same = ("name", "arguments", "folder", "umask", "path", "stdin", "threads")
    assert {key: warm[key] for key in same} == {key: alone[key] for key in same}
    assert warm["name"] == "__main__"
    assert warm["environment"]["DVC_STAGE"] == "train@frozen"
    # What graft sets for its libraries was set in the server; a real stage sets it by itself too.
    added = warm["environment"].keys() - alone["environment"].keys()
    assert "PREFECT_HOME" in added
    assert alone["environment"].keys() <= warm["environment"].keys()
    assert "graft.automation.warm.fork_server" not in warm["modules"]  # graft's code is read anew
    assert warm["streams"].keys() == alone["streams"].keys(), warm["streams"]  # nothing of the server's stays open


def test_output_keeps_its_order(stages: Stages) -> None:
    code, output = stages.run("alternate")
    assert code == 0
    assert output.split() == [*map(str, range(20)), "unflushed"]


@pytest.mark.parametrize("served", [True, False])
def test_a_stage_ends_as_it_would_by_itself(request: pytest.FixtureRequest, served: bool) -> None:
    stages: Stages = request.getfixturevalue("stages" if served else "unserved")
    assert stages.run("exit", "0")[0] == 0
    assert stages.run("exit", "3")[0] == 3
    assert stages.run("die", str(int(signal.SIGKILL)))[0] == -signal.SIGKILL
    assert stages.run("die", str(int(signal.SIGTERM)))[0] == -signal.SIGTERM
    code, output = stages.run("fail")
    assert code == 1
    assert output.rstrip().endswith("ValueError: a defect")


def test_another_environment_is_not_the_servers(stages: Stages) -> None:
    assert stages.report()["warm"]
    assert not stages.report(TF_DETERMINISTIC_OPS="1")["warm"]
    assert stages.report(PATH=f"/somewhere:{stages.environment['PATH']}")["warm"]
    log = (stages.project.own_cache / start.LOG).read_text()
    assert "declined: another environment: TF_DETERMINISTIC_OPS" in log


def test_a_stage_without_a_server_runs_by_itself(unserved: Stages, tmp_path: Path) -> None:
    assert not unserved.report()["warm"]
    assert not unserved.report(**{VARIABLE: str(tmp_path / "nobody")})["warm"]
    assert unserved.run("exit", "3", **{VARIABLE: str(tmp_path / "nobody")})[0] == 3


def test_a_server_that_cannot_start_leaves_stages_as_they_are(
    unserved: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "SERVER", ("-c", "raise SystemExit('no')"))
    with start.warm_stages(unserved.project, unserved.environment) as environment:
        unserved.environment = environment
        assert not unserved.report()["warm"]


def test_m11_where_a_socket_s_path_would_be_too_long_stages_run_by_themselves(
    unserved: Stages, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    with start.warm_stages(unserved.project, unserved.environment) as environment:
        assert environment == unserved.environment
        unserved.environment = environment
        assert not unserved.report()["warm"]
    assert list(long.iterdir()) == []


def test_it_can_be_switched_off(unserved: Stages) -> None:
    environment = {**unserved.environment, VARIABLE: OFF}
    with start.warm_stages(unserved.project, environment) as given:
        assert given == environment


def test_libraries_that_start_threads_are_not_forked(unserved: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    (unserved.project.root / "spinning.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(300,), daemon=True).start()\n"
    )
    monkeypatch.setattr(start, "SERVER", serve_with(unserved, "spinning"))
    with start.warm_stages(unserved.project, unserved.environment) as environment:
        unserved.environment = environment
        log = unserved.project.own_cache / start.LOG
        until(lambda: "spinning" in log.read_text())
        assert not unserved.report()["warm"]
        assert "declined: a library has started threads" in log.read_text()


def test_ctrl_c_is_passed_on(stages: Stages, tmp_path: Path) -> None:
    process, worker = stages.wait_in_stage(tmp_path / "record")
    assert worker != process.pid
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "put away\n")
    assert gone(worker)


def test_a_killed_client_takes_the_child_with_it(stages: Stages, tmp_path: Path) -> None:
    process, worker = stages.wait_in_stage(tmp_path / "record")
    process.kill()
    until(lambda: gone(worker))
    assert stages.report()["warm"]  # and the server goes on


def test_a_killed_server_takes_the_child_with_it(stages: Stages, tmp_path: Path) -> None:
    process, worker = stages.wait_in_stage(tmp_path / "record")
    os.kill(server_of(stages.environment[VARIABLE]), signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "pipelines.probe stopped: the process that had imported its libraries has ended" in output
    until(lambda: gone(worker))
    assert not stages.report()["warm"]


def test_the_server_ends_with_the_block(unserved: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "SERVER", serve_with(unserved))
    with start.warm_stages(unserved.project, unserved.environment) as environment:
        unserved.environment = environment
        assert unserved.report()["warm"]
        address = environment[VARIABLE]
        server = server_of(address)
    assert gone(server)
    assert not Path(address).parent.exists()


def test_a_killed_run_takes_its_server_with_it(unserved: Stages, tmp_path: Path) -> None:
    run = f"""
import os, time
from pathlib import Path
from graft.core.project import Project
from graft.automation.warm import VARIABLE, start
start.SERVER = {serve_with(unserved)!r}
with start.warm_stages(Project(Path.cwd()), dict(os.environ)) as environment:
    print(environment[VARIABLE], flush=True)
    time.sleep(300)
"""
    with subprocess.Popen(
        [sys.executable, "-c", run],
        cwd=unserved.project.root,
        env=unserved.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        unserved.environment = {**unserved.environment, VARIABLE: address}
        stage, worker = unserved.wait_in_stage(tmp_path / "record")
        server = server_of(address)
        process.kill()
    until(lambda: gone(server) and gone(worker))
    assert not Path(address).parent.exists()
    stage.communicate(timeout=60)
    assert stage.returncode == 1


@pytest.mark.slow
def test_the_real_libraries_may_be_forked() -> None:
    """No Python thread after their import, and no native one but those that prepare for a fork by themselves."""
    code = f"""
import os, threading
from pathlib import Path
from graft.core.environment import configure
from graft.core.project import Project
from graft.automation.warm.fork_server import load
import tempfile
configure(Project(Path(tempfile.mkdtemp())))
for library in {ALL!r}:
    load(library)
child = os.fork()  # OpenBLAS ends its threads before
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
tasks = [Path(task, "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
assert threading.active_count() == 1
assert len([task for task in tasks if task != "jemalloc_bg_thd"]) == 1, tasks
import sys
assert not [library for library in {ALL!r} if library not in sys.modules]
# As graft.networks.engines.tensorflow_import has it: training takes twice as long without oneDNN's convolutions.
from tensorflow.python.util import _pywrap_util_port
assert _pywrap_util_port.IsMklEnabled()
"""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
