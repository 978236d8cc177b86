"""Settings of Python's that libraries do not survive: commands and stages start anew without them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = {
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "ignore,error::DeprecationWarning",
    "PYTHONINSPECT": "1",
    "PYTHONSAFEPATH": "1",
}
SHOW = "import os, sys; print(sys.argv, [n for n in {names} if n in os.environ], sys.flags.optimize, sys.warnoptions)"


def answer(command: list[str], folder: Path, **settings: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS} | settings
    command = [sys.executable, *command]
    done = subprocess.run(
        command, cwd=folder, env=environment, input="", capture_output=True, encoding="utf-8", timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SETTINGS)
def test_case_15_a_command_starts_anew_without_what_libraries_do_not_survive(name: str, tmp_path: Path) -> None:
    restart = "from graft.core.restart import restart_without_harmful_settings as restart; restart()"
    (tmp_path / "one.py").write_text(f"{restart}\n{SHOW.format(names=list(SETTINGS))}\n")
    assert answer(["one.py", "a b", "-x"], tmp_path, **{name: SETTINGS[name]}) == "['one.py', 'a b', '-x'] [] 0 []\n"


def test_case_15_a_stage_does_so_too(tmp_path: Path) -> None:
    """DVC hands on what a shell holds; without the working folder on the path Python finds no stage at all."""
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "__init__.py").write_text("from graft.automation.warm.client import hand_over; hand_over()")
    (folder / "one.py").write_text(SHOW.format(names=list(SETTINGS)))
    settings = {name: value for name, value in SETTINGS.items() if name != "PYTHONSAFEPATH"}
    assert answer(["-m", "pipelines.one", "frozen"], tmp_path, **settings).endswith("'frozen'] [] 0 []\n")


def test_case_15_what_does_no_harm_stays(tmp_path: Path) -> None:
    restart = "from graft.core.restart import restart_without_harmful_settings as restart; restart()"
    (tmp_path / "one.py").write_text(f"{restart}; import sys; print(sys.warnoptions)")
    assert answer(["one.py"], tmp_path, PYTHONWARNINGS="once") == "['once']\n"


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:replace"},
    ],
)
def test_case_15_names_in_every_script_are_read_and_printed(settings: dict[str, str], tmp_path: Path) -> None:
    restart = "from graft.core.restart import restart_without_harmful_settings as restart; restart()"
    names = "import os; [open(name).close() or print(name) for name in sorted(os.listdir()) if name != 'one.py']"
    (tmp_path / "one.py").write_text(f"{restart}; {names}; print('\u732b')")
    (tmp_path / "für").touch()
    assert answer(["one.py"], tmp_path, **settings) == "für\n\u732b\n"


def test_case_15_an_encoding_of_utf_8_by_any_name_starts_nothing_anew(tmp_path: Path) -> None:
    restart = "from graft.core.restart import restart_without_harmful_settings as restart; restart()"
    (tmp_path / "one.py").write_text(f"{restart}; import os; print(os.environ['PYTHONIOENCODING'])")
    assert answer(["one.py"], tmp_path, PYTHONIOENCODING="utf8:backslashreplace") == "utf8:backslashreplace\n"
