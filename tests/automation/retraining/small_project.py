"""A project that a retraining can run in within seconds: git, DVC, two cheap stages, and versions without models.

    python small_project.py register     its stage register: a version in MLflow's registry, the challenger
    python small_project.py run          one retraining without Prefect

The gate passes whatever it is asked: what it judges is tested elsewhere.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from graft.core.project import Project

COLOURS = {"blue": (20, 40, 200), "red": (200, 40, 20)}
MODEL = "colours"
HERE = Path(__file__).resolve()
REPOSITORY = HERE.parents[3]
TRAIN_STAGE = """\
stages:
  train:
    cmd: {train}
    deps: [data]
    params: [train.seed]
    outs:
      - artifacts/train/model.txt
    metrics:
      - artifacts/train/metrics.json:
          cache: false
"""
REGISTER_STAGE = """\
  register:
    cmd: '"{python}" "{here}" register'
    deps: [artifacts/train/model.txt]
    outs:
      - artifacts/register/registered.json
"""
MAKE = """\
import json, pathlib
files = sorted(path for path in pathlib.Path("data").rglob("*.png"))
folder = pathlib.Path("artifacts/train")
folder.mkdir(parents=True, exist_ok=True)
(folder / "model.txt").write_text("\\n".join(path.name for path in files))
(folder / "metrics.json").write_text(json.dumps({"images": len(files)}))
if any(path.stem.startswith("poison") for path in files):
    raise SystemExit("no room on the device")
"""


def picture(colour: str, seed: int, side: int = 24) -> Image.Image:
    """Soft random shapes in a colour; another seed gives another picture, and no near-duplicate."""
    coarse = np.random.default_rng(seed).integers(-20, 90, (6, 6, 3))
    pixels = np.clip(coarse + COLOURS.get(colour, (90, 90, 90)), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)


def deliver(folder: Path, counts: dict[str, int], first: int = 1000) -> Path:
    """A delivery: class folders with so many pictures; seeds from ``first`` on."""
    for offset, (label, count) in enumerate(counts.items()):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            seed = first + 100 * offset + number
            picture(label, seed).save(folder / label / f"{seed}.png")
    return folder


def make_small_project(root: Path, per_class: int = 4) -> Project:
    """A committed project with a few pictures, that no run has touched."""
    deliver(root / "data", dict.fromkeys(COLOURS, per_class), first=0)
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    text = text.replace("settle_seconds: 30 ", "settle_seconds: 0 ").replace("labels: quarantine ", "labels: off ")
    (root / "params.yaml").write_text(text, encoding="utf-8")
    train = TRAIN_STAGE.format(train=f"""'"{sys.executable}" make.py'""")
    register = REGISTER_STAGE.format(python=sys.executable, here=HERE)
    (root / "dvc.yaml").write_text(train + register, encoding="utf-8")
    (root / "make.py").write_text(MAKE, encoding="utf-8")
    (root / ".gitignore").write_text("/.graft/\n/mlflow.db*\n/mlartifacts/\n/inbox/\n/quarantine/\n/data\n")
    shell(root, "git", "init", "-q", "-b", "main")
    shell(root, "git", "config", "user.name", "a tester")
    shell(root, "git", "config", "user.email", "tester@localhost")
    shell(root, sys.executable, "-m", "dvc", "init", "-q")
    shell(root, sys.executable, "-m", "dvc", "add", "-q", "data")
    pointer = root / "data.dvc"
    pointer.write_text(pointer.read_text() + f"meta:\n  dataset: {MODEL}\n")
    shell(root, "git", "add", "-A")
    shell(root, "git", "commit", "-q", "-m", "A project")
    return Project(root)


def copied(project: Project, root: Path) -> Project:
    """The same project elsewhere, with a history of its own from here on."""
    shutil.copytree(project.root, root, symlinks=True)
    return Project(root)


def shell(root: Path, *command: str) -> str:
    """Runs a command in the project; its output."""
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, env=environment())
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def retrain(root: Path) -> subprocess.CompletedProcess[str]:
    """One retraining in a process of its own."""
    command = [sys.executable, str(HERE), "run"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, env=environment())


def environment() -> dict[str, str]:
    """Of those processes: no server, Prefect's or of libraries, is started for stages that do not ask for one."""
    mine = {"DVC_NO_ANALYTICS": "1", "PREFECT_API_URL": "http://127.0.0.1:9/api", "GRAFT_WARM": "off"}
    without = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return {**without, **mine}


def pictures_in(project: Project) -> dict[str, str]:
    """By path below data/, the SHA-256 of every file."""
    return {
        path.relative_to(project.data).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(project.data.rglob("*"))
        if path.is_file()
    }


def _register() -> None:
    from mlflow.exceptions import MlflowException

    from graft.registry.aliases import CHALLENGER
    from graft.registry.store.tracking_store import open_store

    client = open_store(Project(Path.cwd()))
    try:
        client.get_registered_model(MODEL)
    except MlflowException:
        client.create_registered_model(MODEL)
    version = client.create_model_version(MODEL, source=(Path.cwd() / "mlartifacts").as_uri())
    client.set_registered_model_alias(MODEL, CHALLENGER, version.version)
    record = {"model": MODEL, "version": str(version.version), "run_id": version.run_id}
    Path("artifacts/register").mkdir(parents=True, exist_ok=True)
    Path("artifacts/register/registered.json").write_text(json.dumps(record))


def _run() -> None:
    from graft.automation.retraining.retraining import Retraining
    from graft.core.environment import configure
    from graft.core.params import load_params
    from graft.registry.promotion import gate, promote

    project = Project(Path.cwd())
    configure(project)
    candidate = SimpleNamespace(strategy="none", accuracy=1.0, macro_f1=1.0, log_loss=0.0)
    standing = SimpleNamespace(deliveries=None)
    verdict = SimpleNamespace(passed=True, candidate=candidate, champion=None, broken=[], standing=standing)
    gate.run_gate = lambda *arguments, **more: verdict  # type: ignore[assignment]
    really = promote.promote
    promote.promote = lambda registry, version, reason: really(registry, version, reason, forced=True)  # type: ignore[assignment]
    all_steps(Retraining(project, load_params(project.params_file)))


def all_steps(retraining: Any) -> None:
    """Run a retraining to its end."""
    with retraining.running():
        for step in (retraining.recover, retraining.bring_in, retraining.look):
            step()
        if retraining.decide():
            for step in (retraining.train, retraining.record, retraining.judge):
                step()
    retraining.notified()


if __name__ == "__main__":
    if sys.argv[1] == "register":
        _register()
    else:
        _run()
