"""A user without a checkout: the wheel in an environment of its own, `graft init`, photographs in, a model out."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from photographs import scene
from ruamel.yaml import YAML

PACKED = ("src", "pipelines", "setup.py", "MANIFEST.in", "pyproject.toml", "README.md", "LICENSE")
PACKED_FILES = ("params.yaml", "dvc.yaml", "prefect.yaml", ".gitignore", ".dvcignore")
BUILD = (sys.executable, "-m", "pip", "--disable-pip-version-check")
OFFLINE = ("--no-deps", "--no-index", "--quiet")


def run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves files beside what it packs."""
    if subprocess.run([*BUILD, "--version"], capture_output=True).returncode:
        pytest.skip("needs pip, to build and install a wheel")
    source = tmp_path_factory.mktemp("source")
    for name in (*PACKED, *PACKED_FILES):
        path = repository / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(path, source / name)
    out = tmp_path_factory.mktemp("wheel")
    run(*BUILD, "wheel", *OFFLINE, "--no-build-isolation", "--wheel-dir", str(out), str(source), cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A new virtual environment with the wheel; what it depends on is read from this one's, nothing is fetched."""
    root = tmp_path_factory.mktemp("environment")
    venv.create(root, with_pip=False, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(root), "platbase": str(root)}))
    # Of a folder that is named so, .pth files are not read: the checkout's editable install is not seen.
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    run(*BUILD, "--python", str(root / "bin" / "python"), "install", *OFFLINE, str(wheel), cwd=root)
    outside = ("DVC_", "PREFECT_", "MLFLOW_", "GRAFT_", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    home = tmp_path_factory.mktemp("home")
    return {**kept, "PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}", "HOME": str(home), "COLUMNS": "80"}


def test_the_wheel_has_what_projects_are_made_of(wheel: Path, repository: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {
            name.removeprefix("graft/automation/projects/files/"): archive.read(name)
            for name in archive.namelist()
            if name.startswith("graft/automation/projects/files/")
        }
    flows = [f"pipelines/{path.name}" for path in (repository / "pipelines").glob("*.py")]
    assert set(packed) == {*PACKED_FILES, *flows}
    assert all(packed[name] == (repository / name).read_bytes() for name in packed)


@pytest.mark.slow
@pytest.mark.end_to_end
def test_from_an_empty_folder_to_a_registered_model(
    environment: dict[str, str], tmp_path: Path, repository: Path
) -> None:
    tmp_path = tmp_path / "Omas 'Fotos' & Ähren"  # a shell, a database and addresses have to take it
    tmp_path.mkdir()
    for colour, label in enumerate(("rose", "daisy")):
        (tmp_path / "photographs" / label).mkdir(parents=True)
        for number in range(30):
            scene(colour, 1000 * colour + number).save(tmp_path / "photographs" / label / f"{number:02}.png")
    where = run("python", "-c", "import graft; print(graft.__file__)", cwd=tmp_path, env=environment)
    assert str(repository) not in where

    said = run("graft", "init", "flowers", cwd=tmp_path, env=environment)
    assert "cd flowers" in said and "graft run" in said
    root = tmp_path / "flowers"
    said = run("graft", "data", "import", "../photographs", "--name", "flowers", cwd=root, env=environment)
    assert "data/ now holds flowers: 60 images." in said

    yaml = YAML()
    params = yaml.load(root / "params.yaml")
    params["train"] |= {"image_size": 32, "run": ["frozen"], "validation": "split"}
    params["train"]["backbone"] = {"source": "keras", "name": "MobileNet", "weights": "none"}
    params["train"]["strategies"]["frozen"] = {"kind": "frozen", "solver": "sgd", "epochs": 5, "patience": 5}
    yaml.dump(params, root / "params.yaml")
    said = run("graft", "run", cwd=root, env=environment)
    assert "Registered: flowers version 1 (challenger): frozen" in said
    assert "make " not in said
    assert "project             of graft" in run("graft", "doctor", cwd=root, env=environment)

    # Another version: one sentence, an upgrade, and what it made is made again.
    assert "apart from what you changed" in " ".join(run("graft", "upgrade", cwd=root, env=environment).split())
    lock = (root / "dvc.lock").read_text()
    assert "path: graft.version" in lock and "src/graft" not in lock
    (root / "graft.version").write_text("0.0.1\n")
    refused = subprocess.run(["graft", "run"], cwd=root, env=environment, capture_output=True, text=True)
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert "graft upgrade" in refused.stderr
    run("graft", "upgrade", cwd=root, env=environment)
    assert "Nothing to do" in run("graft", "run", cwd=root, env=environment)
