"""`make` in a folder of any name."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Does as Python does for the Makefile: makes the folder of the environment, and notes whatever else it is asked.
PYTHON = f"""#!{sys.executable}
import os, pathlib, shutil, sys
with open("asked.txt", "a") as asked:
    print(*sys.argv[1:], file=asked)
if sys.argv[1:3] == ["-m", "venv"]:
    pathlib.Path(sys.argv[3], "bin").mkdir(parents=True)
    shutil.copy("fake-python", os.path.join(sys.argv[3], "bin", "python"))
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("name", ["a blank", "R&D", "it's mine", "#1", "100%", "Fotos für später", "$HOME", "a;b (c)"])
def test_case_5_setup_works_whatever_the_folder_is_called(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for file in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / file, folder)
    (folder / "fake-python").write_text(PYTHON)
    (folder / "fake-python").chmod(0o755)
    done = subprocess.run(["make", "setup", "PYTHON=./fake-python"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    asked = (folder / "asked.txt").read_text().splitlines()
    assert [line.partition(" .venv/bin/uv ")[2] for line in asked[-2:]] == [
        "pip install --python .venv/bin/python --compile-bytecode --require-hashes -r requirements.lock",
        "pip install --python .venv/bin/python --quiet --no-deps --no-build-isolation -e .",
    ]
    assert (folder / ".venv" / ".installed-requirements.lock").exists()
