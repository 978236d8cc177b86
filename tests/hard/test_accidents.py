"""A few accidents of each cheap kind in the ordinary suite; a thousand are made by `make hard ONLY=faults`."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fault_injection import LIBRARY, compiler

HERE = Path(__file__).resolve().parent
needs_compiler = pytest.mark.skipif(compiler() is None, reason="needs a C compiler on Linux, to preload a library")

# Those that were lost once, with the mend; then one of each way, spread over the kinds.
LOST = {
    "bring_in": {
        9: "an image that DVC could not put into its cache was removed",
        50: "half of a data.dvc lay beside it, and DVC read both",
    },
    "retrain": {2: "a commit named images that DVC's cache did not have"},
}
DRAWS = {"bring_in": [0, 3, 4, 5], "retrain": [], "promote": [1, 2, 10], "predict": [0, 1, 3]}


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("kind", DRAWS)
def test_after_an_accident_all_is_as_if_it_had_not_been(kind: str, tmp_path: Path) -> None:
    numbers = [*LOST.get(kind, {}), *DRAWS[kind]]
    command = [sys.executable, str(HERE / "accidents.py"), kind, "--draw", *map(str, numbers)]
    without = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "GRAFT_"))}
    done = subprocess.run(command, env={**without, "TMPDIR": str(tmp_path)}, capture_output=True, text=True)
    drawn = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["draw"] for one in drawn] == numbers, done.stderr
    assert not [one for one in drawn if one["problem"]], done.stderr
    assert done.returncode == 0, done.stderr


WRITER = """
import os, sys
sys.path[:0] = [sys.argv[1]]
from pathlib import Path
from fault_injection import Faults, own_folder, preloaded_again
preloaded_again(own_folder("test"))
faults, folder = Faults(), Path(sys.argv[2])
def write():
    outcome = []
    for act in (
        lambda: (folder / "a").mkdir(),
        lambda: (folder / "a/b").write_text("text"),
        lambda: os.rename(folder / "a/b", folder / "c"),
        lambda: os.system(f"rm {folder}/c"),
        lambda: (folder / "a").rmdir(),
    ):
        try:
            outcome.append("failed" if act() == 256 else "done")
        except OSError as error:
            outcome.append(error.strerror)
    return outcome
faults.arm(folder)
print(write(), faults.count)
for at in (1, 2, 3, 4, 5):
    faults.arm(folder, at, error=28)
    print(write(), faults.what)
    faults.disarm()
    os.system(f"rm -rf {folder}/a {folder}/c")
faults.arm(folder / "elsewhere", 1, error=28)
print(write(), faults.count)
if len(sys.argv) > 3:
    faults.arm(folder, 2, signal=9)
    os.setpgrp()
    write()
"""


@needs_compiler
def test_the_nth_call_that_writes_fails_once_in_whatever_process(tmp_path: Path) -> None:
    script, folder = tmp_path / "writer.py", tmp_path / "folder"
    script.write_text(WRITER)
    folder.mkdir()
    command = [sys.executable, str(script), str(HERE), str(folder)]
    own = {**os.environ, LIBRARY: str(tmp_path)}
    done = subprocess.run([*command, "kill"], env=own, capture_output=True, text=True)
    full, fine = "No space left on device", ["done"] * 5
    counted, *faults, elsewhere = done.stdout.splitlines()
    assert counted == f"{fine} 6"  # to open a file for writing, and to write to it, are two
    assert faults[0].startswith(f"['{full}'")
    assert faults[1] == f"{['done', full, 'No such file or directory', 'failed', 'done']} open /a/b"
    assert faults[2].endswith(" write /a/b")
    assert faults[3].endswith(" rename /c")
    assert faults[4].endswith(" unlink /c"), "the call of another process is counted too"
    assert elsewhere == f"{fine} 0"
    assert done.returncode == -signal.SIGKILL, done.stderr
