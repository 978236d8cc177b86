"""What a machine and a project have of what graft needs: found out fast, without importing the heavy libraries."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from graft.core.credentials import without_credentials
from graft.errors import GraftError
from graft.project import Project

State = Literal["ok", "note", "bad"]

# Environment, weights, one data set of a few thousand photographs, and MLflow's models.
DISK_NEEDED_GB = 5
PACKAGES = ("tensorflow", "keras", "tensorflow-hub", "dvc", "mlflow", "prefect", "great-expectations")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ``bad`` stops graft, ``note`` limits it; ``fix`` says what to do about either."""

    what: str
    state: State
    found: str
    fix: str = ""


def examine(project: Project) -> list[Finding]:
    """Everything worth knowing, in the order in which a run needs it."""
    findings = [
        _python(),
        *_packages(project),
        *_repository(project),
        _params(project),
        _data(project),
        *_folders(project),
        _disk(project),
        _tracking(project),
        *_ports(project),
        _gpu(),
    ]
    with ThreadPoolExecutor() as pool:
        findings += pool.map(lambda look: look(), _network(project))
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Finding("Python", "ok", version)
    return Finding("Python", "bad", version, "Use Python 3.11 or 3.12: make setup PYTHON=python3.11")


def _packages(project: Project) -> Iterator[Finding]:
    locked = _locked_versions(project.root / "requirements.lock")
    for name in PACKAGES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(name, "bad", "not installed", "make setup")
            continue
        if name in locked and version not in locked[name]:
            yield Finding(name, "note", f"{version}, not {' or '.join(locked[name])} as locked", "make setup")
        else:
            yield Finding(name, "ok", version)


def _locked_versions(lock: Path) -> dict[str, list[str]]:
    """Versions per package; a universal lock may name one per Python version."""
    versions: dict[str, list[str]] = {}
    if lock.is_file():
        for line in lock.read_text(encoding="utf-8").splitlines():
            name, separator, rest = line.partition("==")
            if separator and not line.startswith((" ", "#")):
                versions.setdefault(name.partition("[")[0], []).append(rest.split()[0])
    return versions


def _repository(project: Project) -> Iterator[Finding]:
    git = shutil.which("git")
    if git is None:
        yield Finding("git", "bad", "not installed", "Install git: DVC versions data through it")
    elif not (project.root / ".git").exists():
        fix = "git init && git add . && git commit, for `dvc exp` and diffs"
        yield Finding("git", "note", "not a repository", fix)
    else:
        commit = subprocess.run(
            [git, "rev-parse", "--short", "HEAD"], cwd=project.root, capture_output=True, text=True
        )
        found = commit.stdout.strip() if commit.returncode == 0 else "no commit yet"
        yield Finding("git", "ok", f"repository at {found}")
    if (project.root / ".dvc").is_dir():
        yield Finding("DVC", "ok", "initialised")
    else:
        yield Finding("DVC", "bad", "not initialised", "dvc init")


def _params(project: Project) -> Finding:
    from graft.params import load_params

    try:
        params = load_params(project.params_file)
    except GraftError as error:
        return Finding("params.yaml", "bad", error.what, error.fix)
    return Finding("params.yaml", "ok", f"strategies {', '.join(params.train.run)}")


def _data(project: Project) -> Finding:
    from graft.data.layout import image_files, read_layout
    from graft.data.versioning import dataset_name

    try:
        layout = read_layout(project.data)
    except GraftError as error:
        fix = "graft run fetches the default photographs, or: graft data import FOLDER"
        return Finding("data/", "note", error.what, fix)
    count = sum(1 for _ in image_files(layout))
    kind = "official split" if layout.is_official else "class folders"
    return Finding("data/", "ok", f"{dataset_name(project)}: {count:,} images, {kind}")


def _folders(project: Project) -> Iterator[Finding]:
    for name, folder in (("state folder", project.state), ("cache folder", project.cache)):
        probe = folder / f".probe-{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            yield Finding(name, "bad", f"cannot be written ({error.strerror})", f"Make {folder} writable")
        else:
            yield Finding(name, "ok", "writable")


def _disk(project: Project) -> Finding:
    free = shutil.disk_usage(project.root).free / 1e9
    if free >= DISK_NEEDED_GB:
        return Finding("disk", "ok", f"{free:.0f} GB free")
    fix = f"Free some: a run needs up to {DISK_NEEDED_GB} GB. `dvc gc -w` helps"
    return Finding("disk", "note", f"{free:.1f} GB free", fix)


def _tracking(project: Project) -> Finding:
    uri = project.tracking_uri
    if not uri.startswith("sqlite:///"):
        from graft.tracking.reachable import require_answer

        try:
            require_answer(uri)
        except GraftError as error:
            return Finding("MLflow store", "bad", error.what, error.fix)
        return Finding("MLflow store", "ok", f"{without_credentials(uri)}, from MLFLOW_TRACKING_URI")
    path = Path(uri.removeprefix("sqlite:///"))
    if not path.exists():
        return Finding("MLflow store", "ok", "created by the first run")
    try:
        with sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=2) as database:
            (runs,) = database.execute("select count(*) from runs").fetchone()
            (versions,) = database.execute("select count(*) from model_versions").fetchone()
    except sqlite3.Error as error:
        fix = f"Restore {path.name}, or move it away to start anew"
        return Finding("MLflow store", "bad", f"{path.name}: {error}", fix)
    return Finding("MLflow store", "ok", f"{runs} runs, {versions} model versions")


def _ports(project: Project) -> Iterator[Finding]:
    from graft.prefect_server import port_is_free, running_server

    server = running_server(project)
    for name, port, option in (
        ("MLflow port", 5000, "--mlflow-port"),
        ("Prefect port", 4200, "--prefect-port"),
    ):
        if port_is_free(port):
            yield Finding(name, "ok", f"{port} is free")
        elif server and f":{port}/" in server:
            yield Finding(name, "ok", f"{port}: this project's server is running")
        else:
            yield Finding(
                name, "note", f"{port} is in use", f"graft ui {option} {port + 1}, if that is not graft's own"
            )


def _gpu() -> Finding:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("GPU", "ok", "none; training runs on the CPU")
    query = [tool, "--query-gpu=name", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
    names = ", ".join(answer.stdout.split("\n")[:-1])
    if answer.returncode != 0 or not names:
        return Finding("GPU", "note", "nvidia-smi sees none", "Check the driver")
    try:
        metadata.version("nvidia-cudnn-cu12")
    except metadata.PackageNotFoundError:
        return Finding(
            "GPU", "note", f"{names}, but TensorFlow is installed without CUDA", "make setup GPU=1"
        )
    return Finding("GPU", "ok", names)


def _network(project: Project) -> list[Callable[[], Finding]]:
    from graft.backbones.known_weights import REGISTRY
    from graft.data.catalogue import DEFAULT, availability
    from graft.fetch import index_has, is_reachable

    def package_index() -> Finding:
        package = REGISTRY["MobileNetV2"].package
        if index_has(package):
            return Finding("package index", "ok", "answers")
        return Finding(
            "package index", "note", "no answer", "Default data and weights must then be cached already"
        )

    def keras_downloads() -> Finding:
        if is_reachable("https://storage.googleapis.com/tensorflow/keras-applications/"):
            return Finding("Keras downloads", "ok", "reachable")
        return Finding(
            "Keras downloads",
            "note",
            "no answer",
            "MobileNetV2 and ResNet50 come from package registries; name a file for others",
        )

    def hub() -> Finding:
        if is_reachable("https://tfhub.dev/"):
            return Finding("TensorFlow Hub", "ok", "reachable")
        return Finding("TensorFlow Hub", "note", "no answer", "Name a local folder as a hub backbone")

    def default_data() -> Finding:
        state = availability(project, [DEFAULT])[DEFAULT]
        fix = "" if state != "unreachable" else f"graft data use {DEFAULT} --from COPY"
        return Finding("default data", "ok" if not fix else "note", state, fix)

    return [package_index, keras_downloads, hub, default_data]
