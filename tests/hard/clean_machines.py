"""Part ``clean_machines`` of `make hard`: from the built wheel to an answer, on machines that lack what others have.

Each case has a mount namespace of its own, in which folders are made small, read-only or hidden, and runs:
`graft init`, import, `graft run` (a small network, trained for two epochs on 120 tiny photographs), promote, predict.
Its environment is made of venvs that exist: this one, and others named with GRAFT_HARD_VENVS (paths, with a colon
between them), such as one of another Python; each is copied by hard links, and the wheel put in the place of graft.

    python tests/hard --only clean_machines
    python tests/hard --only clean_machines:bare
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rows import Row

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("grün", "rot", "blau & weiß")
LIMIT_SECONDS = 3600
SETTINGS = """
import pathlib, ruamel.yaml
yaml, file = ruamel.yaml.YAML(), pathlib.Path("params.yaml")
params = yaml.load(file.read_text(encoding="utf-8"))
params["train"]["run"] = ["scratch"]
params["train"]["strategies"]["scratch"] |= {
    "image_size": 32, "filters": [8, 16], "epochs": 2, "augment": {"flip": "none"}
}
params["validate"]["min_images_per_class"] = 5
with file.open("w", encoding="utf-8") as out:
    yaml.dump(params, out)
"""
STEPS = """
set -e
cd "$WORK"
graft init "project"
cd project
python "$GIVEN/settings.py"
graft data import "$GIVEN/photographs" --name colours
graft run
graft promote --without-gate --reason "a clean machine"
graft predict "$GIVEN/photographs" --out answers.csv
test "$(wc -l < answers.csv)" = 121
graft doctor > /dev/null || test $? = 1
"""


@dataclass(frozen=True)
class Case:
    """A machine.

    Attributes:
        about: what it lacks.
        user: the number of an account without a name, 0 for root.
        setting: commands before the command line, as root, in the namespace.
        variables: of the environment, which has no others than PATH and HOME.
    """

    about: str
    user: int = 0
    setting: str = ""
    variables: tuple[str, ...] = ()


SMALL = """
mount -t tmpfs -o size=64m,mode=1777 tmpfs /dev/shm
mount -t tmpfs -o size=8m,mode=1777 tmpfs /tmp
"""
CASES = {
    "plain": Case("root, nothing in the environment"),
    "bare": Case(
        "an account without a name, a read-only home, LANG=C, 256 files, /tmp of 8 MB, /dev/shm of 64 MB",
        54321,
        f"ulimit -n 256\n{SMALL}",
        ("LANG=C",),
    ),
    "nameless": Case("an account without a name, a read-only home", 54321),
    "posix": Case("root, LC_ALL=POSIX, 256 files", 0, "ulimit -n 256", ("LC_ALL=POSIX",)),
    "small": Case("root, /tmp of 8 MB, /dev/shm of 64 MB", 0, SMALL),
}


def run(minutes: float, only: list[str]) -> Iterator[Row]:
    """Yield a row for each environment and case."""
    problem = _missing()
    if problem:
        yield Row({"machine": "none", "Python": "", "ended": f"not tried: {problem}", "seconds": 0}, True)
        return
    given = [Path(sys.prefix), *map(Path, filter(None, os.environ.get("GRAFT_HARD_VENVS", "").split(":")))]
    # Not below /tmp, which cases make small.
    with tempfile.TemporaryDirectory(prefix="graft-clean-", dir="/var/tmp") as folder:
        place = Path(folder)
        place.chmod(0o755)
        wheel = _build_wheel(place)
        _write_given(place / "given")
        for number, venv in enumerate(given):
            own = _with_wheel(venv, place / f"venv-{number}", wheel)
            for name in only or CASES:
                yield _try(name, CASES[name], own, place)


def _missing() -> str:
    for program in ("unshare", "setpriv"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    done = subprocess.run(["unshare", "-m", "true"], capture_output=True, text=True)
    return done.stderr.strip()


def _build_wheel(place: Path) -> Path:
    uv = Path(sys.prefix) / "bin/uv"
    command = [uv, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([*command, "--out-dir", place, ROOT], check=True)
    (wheel,) = place.glob("*.whl")
    return wheel


def _write_given(folder: Path) -> None:
    random = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (folder / "photographs" / name).mkdir(parents=True)
        for number in range(40):
            blocks = np.kron(random.normal(0, 40, (5, 5, 3)), np.ones((8, 8, 1)))
            colour = 60 + 120 * (np.arange(3) == label)
            pixels = np.clip(colour + blocks, 0, 255).astype("uint8")
            Image.fromarray(pixels).save(folder / "photographs" / name / f"{number:04}.jpg", quality=90)
    (folder / "settings.py").write_text(SETTINGS)
    (folder / "steps.sh").write_text(STEPS)


def _with_wheel(venv: Path, own: Path, wheel: Path) -> Path:
    """Return a copy of a venv that has the wheel installed in the place of the checkout."""
    subprocess.run(["cp", "-al", venv, own], check=True)
    python = own / "bin/python"
    (site,) = (own / "lib").glob("python3*/site-packages")
    for path in [*site.glob("*graft*"), *site.glob("~*graft*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for script in (own / "bin").iterdir():  # they name the interpreter of the venv that they were made in
        if script.is_file() and not script.is_symlink():
            data = script.read_bytes()
            if data.startswith(b"#!") and os.fsencode(venv) in data.split(b"\n", 1)[0]:
                script.unlink()  # a hard link
                script.write_bytes(data.replace(os.fsencode(venv), os.fsencode(own)))
                script.chmod(0o755)
    uv = Path(sys.prefix) / "bin/uv"
    command = [uv, "pip", "install", "--quiet", "--no-deps", "--offline", "--python", python, wheel]
    subprocess.run(command, check=True)
    return own


def _try(name: str, case: Case, venv: Path, place: Path) -> Row:
    work = place / f"work-{venv.name}-{name}"
    home = work / "home"
    home.mkdir(parents=True)
    version = subprocess.run([venv / "bin/python", "-V"], capture_output=True, text=True).stdout.split()[-1]
    if case.user:
        os.chown(work, case.user, case.user)
        home.chmod(0o555)
    log = place / f"{work.name}.log"
    variables = [f"HOME={home}", f"PATH={venv}/bin:/usr/bin:/bin", f"WORK={work}", f"GIVEN={place}/given"]
    as_user = f"setpriv --reuid {case.user} --regid {case.user} --clear-groups" if case.user else ""
    command = shlex.join(["env", "-i", *variables, *case.variables, "bash", str(place / "given/steps.sh")])
    script = f"set -e\n{_interpreter_shown(venv, place)}\nmount -t tmpfs -o ro tmpfs {home} || true\n{case.setting}\n"
    started = time.monotonic()
    with log.open("w") as out:
        limit = ["timeout", "--kill-after", "60", str(LIMIT_SECONDS)]
        inside = ["unshare", "-m", "bash", "-c", f"{script}exec {as_user} {command}"]
        code = subprocess.run([*limit, *inside], stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    seconds = round(time.monotonic() - started)
    text = log.read_text(errors="replace").strip()
    if code.returncode:
        print(text[-6000:], file=sys.stderr, flush=True)
    else:
        shutil.rmtree(work, ignore_errors=True)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ended = "well" if not code.returncode else f"{code.returncode}: {lines[-1] if lines else ''}"[:200]
    cells: dict[str, str | int | float] = {"machine": f"{name}, Python {version}", "lacks": case.about}
    return Row({**cells, "ended": ended, "seconds": seconds}, code.returncode == 0)


def _interpreter_shown(venv: Path, place: Path) -> str:
    """Commands that let another account reach an interpreter below /root, which is root's alone."""
    base = (venv / "bin/python").resolve().parents[1]
    if not base.is_relative_to("/root"):
        return ""
    seen = place / "interpreter"
    seen.mkdir(exist_ok=True)
    steps = [
        f"mount --bind {base} {seen}",
        "mount -t tmpfs -o mode=755 tmpfs /root",
        f"mkdir -p {base}",
        f"mount --bind {seen} {base}",
    ]
    return "\n".join(steps)
