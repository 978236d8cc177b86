"""Examine what a machine and a project have of what graft needs, without importing the heavy libraries."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

from graft.core.certificates import require_certificates
from graft.core.credentials import without_credentials
from graft.core.errors import GraftError, first_line
from graft.core.git import repository_top, try_git
from graft.core.project import Project
from graft.core.proxies import proxies_in_words, require_proxy
from graft.core.sqlite_file import open_sqlite
from graft.data.folder.versioning import dvc_init, require_repository

State = Literal["ok", "note", "bad"]

# Environment, weights, one data set of a few thousand photographs, and MLflow's models.
DISK_NEEDED_GB = 5
LIMIT_SECONDS = 20.0  # for everything
TOOL_SECONDS = 10.0  # for another program
# What is fetched from: an address, "" for the index of packages; and what to do where it does not answer.
SITES = {
    "package index": ("", "Default data and weights must then be cached already"),
    "Keras downloads": (
        "https://storage.googleapis.com/tensorflow/keras-applications/",
        "MobileNetV2 and ResNet50 come from package registries; name a file for others",
    ),
    "TensorFlow Hub": ("https://tfhub.dev/", "Name a local folder as a hub backbone"),
}
PACKAGES = ("tensorflow", "keras", "tensorflow-hub", "dvc", "mlflow", "prefect", "great-expectations")


@dataclass(frozen=True)
class Finding:
    """Describe one thing that was examined: ``bad`` stops graft, ``note`` limits it; ``fix`` mends either."""

    what: str
    state: State
    found: str
    fix: str = ""


# The name of a probe, its state where it fails or hangs, and what it examines.
Look = tuple[str, State, Callable[[], Iterable[Finding]]]


def examine(project: Project) -> list[Finding]:
    """Return everything worth knowing, in the order in which a run needs it.

    All probes run side by side, each in a thread that nobody waits for longer than ``LIMIT_SECONDS``: a driver or a
    disk that hangs is a finding, and so is whatever a probe raises.
    """
    return look_at_all(_probes(project))


def look_at_all(probes: Iterable[Look], limit_seconds: float | None = None) -> list[Finding]:
    """Return what probes find side by side, in their order; see :func:`examine`."""
    limit = limit_seconds or LIMIT_SECONDS
    deadline = time.monotonic() + limit
    started = [_Probe(name, otherwise, look) for name, otherwise, look in probes]
    return [finding for probe in started for finding in probe.findings(deadline, limit)]


def _probes(project: Project) -> list[Look]:
    """Return the probes, each with its name, its state where it fails or hangs, and what it examines."""
    return [
        ("Python", "bad", lambda: [_python(project)]),
        ("packages", "bad", lambda: _packages(project)),
        ("git", "bad", lambda: _repository(project)),
        ("project", "bad", lambda: _version(project)),
        ("params.yaml", "bad", lambda: [_params(project)]),
        ("data/", "note", lambda: [_data(project)]),
        ("folders", "bad", lambda: _folders(project)),
        ("disk", "note", lambda: [_disk(project)]),
        ("MLflow store", "bad", lambda: [_tracking(project)]),
        ("Prefect server", "bad", lambda: [_prefect(project)]),
        ("ports", "note", lambda: _ports(project)),
        ("GPU", "note", lambda: [_gpu(project)]),
        *((name, "note", partial(_site, name)) for name in ("proxy", *SITES)),
        ("default data", "note", lambda: [_default_data(project)]),
    ]


class _Probe:
    """A probe at work in a thread that ends with the process, whatever it waits for."""

    def __init__(self, name: str, otherwise: State, look: Callable[[], Iterable[Finding]]) -> None:
        self._name, self._otherwise, self._look = name, otherwise, look
        self._found: list[Finding] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        found: list[Finding] = []
        try:
            for one in self._look():
                found.append(one)  # what was found before something fails stays
        except GraftError as error:
            found.append(Finding(self._name, self._otherwise, error.what, error.fix))
        except Exception as error:
            problem = f"cannot be looked at: {first_line(error)}"
            found.append(Finding(self._name, self._otherwise, problem, "Mend that, and look again"))
        self._found = found

    def findings(self, deadline: float, limit: float) -> list[Finding]:
        """Return what was found, or that there was no answer by ``deadline``, ``limit`` seconds after the start."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._found is not None:
            return self._found
        return [
            Finding(
                self._name,
                self._otherwise,
                f"no answer within {limit:.0f} s",
                "Find out what it waits for, and look again",
            )
        ]


def _python(project: Project) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Finding("Python", "ok", version)
    fix = f"Use Python 3.11 or 3.12: {_install(project, ' PYTHON=python3.11')}"
    return Finding("Python", "bad", version, fix)


def _packages(project: Project) -> Iterator[Finding]:
    locked = _locked_versions(project.root / "requirements.lock")
    for name in PACKAGES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(name, "bad", "not installed", _install(project))
            continue
        if name in locked and version not in locked[name]:
            yield Finding(name, "note", f"{version}, not {' or '.join(locked[name])} as locked", "make setup")
        else:
            yield Finding(name, "ok", version)


def _locked_versions(lock: Path) -> dict[str, list[str]]:
    """Return the versions per package; a universal lock may name one per Python version."""
    versions: dict[str, list[str]] = {}
    if lock.is_file():
        for line in lock.read_text(encoding="utf-8").splitlines():
            name, separator, rest = line.partition("==")
            if separator and not line.startswith((" ", "#")):
                versions.setdefault(name.partition("[")[0], []).append(rest.split()[0])
    return versions


def _repository(project: Project) -> Iterator[Finding]:
    if shutil.which("git") is None:
        yield Finding("git", "bad", "not installed", "Install git: DVC versions data through it")
    else:
        try:
            yield _git(project)
        except GraftError as error:
            yield Finding("git", "bad", error.what, error.fix)
    if (project.root / ".dvc").is_dir():
        yield Finding("DVC", "ok", "initialised")
    else:
        yield Finding("DVC", "bad", "not initialised", dvc_init(project.root))


def _git(project: Project) -> Finding:
    top = repository_top(project.root)
    if top is None:
        require_repository(project)
        fix = "git init && git add . && git commit, for `dvc exp` and diffs"
        return Finding("git", "note", "not a repository", fix)
    commit = try_git(project.root, "rev-parse", "--short", "HEAD", timeout=LIMIT_SECONDS)
    found = f"repository at {commit}" if commit else "no commit yet"
    inside = "" if top.resolve() == project.root.resolve() else f", in {top}, of which this is a part"
    return Finding("git", "ok", f"{found}{inside}")


def _version(project: Project) -> Iterator[Finding]:
    from graft.automation.projects.project_version import project_version, require_own_version

    if version := project_version(project):
        try:
            require_own_version(project)
        except GraftError as error:
            yield Finding("project", "bad", error.what, error.fix)
        else:
            yield Finding("project", "ok", f"of graft {version}")


def _install(project: Project, of_make: str = "", of_pip: str = "graft") -> str:
    """Return the command that installs what graft needs: a checkout has a Makefile, other projects have not."""
    if (project.root / "Makefile").is_file():
        return f"make setup{of_make}"
    return f"pip install --upgrade '{of_pip}'"


def _params(project: Project) -> Finding:
    from graft.core.params import load_params

    run = load_params(project.params_file).train.run
    return Finding("params.yaml", "ok", f"strategies {', '.join(run)}")


def _data(project: Project) -> Finding:
    from graft.data.folder.layout import image_files, read_layout
    from graft.data.folder.versioning import dataset_name

    try:
        layout = read_layout(project.data)
    except GraftError as error:
        fix = "graft run fetches the default photographs, or: graft data import FOLDER"
        return Finding("data/", "note", error.what, fix)
    count = sum(not file.unread for file in image_files(layout))
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
    fix = f"Free some: a run needs up to {DISK_NEEDED_GB} GB. `graft cache prune --to-gb 0` drops features"
    return Finding("disk", "note", f"{free:.1f} GB free", fix)


def _tracking(project: Project) -> Finding:
    uri = project.tracking_uri
    if not uri.startswith("sqlite:///"):
        from graft.registry.store.reachable import require_answer

        require_answer(uri)
        return Finding("MLflow store", "ok", f"{without_credentials(uri)}, from MLFLOW_TRACKING_URI")
    path = Path(uri.removeprefix("sqlite:///"))
    if not path.exists():
        return Finding("MLflow store", "ok", "created by the first run")
    try:
        with contextlib.closing(open_sqlite(path, "rw", timeout=2)) as database:
            (runs,) = database.execute("select count(*) from runs").fetchone()
            (versions,) = database.execute("select count(*) from model_versions").fetchone()
    except sqlite3.Error as error:
        fix = f"Restore {path.name}, or move it away to start anew"
        return Finding("MLflow store", "bad", f"{path.name}: {error}", fix)
    return Finding("MLflow store", "ok", f"{runs} runs, {versions} model versions")


def _prefect(project: Project) -> Finding:
    from graft.automation.prefect_check import check_named_server
    from graft.automation.prefect_server import URL, running_server

    own = running_server(project)
    url = os.environ.get(URL) or (own.url if own else "")
    if url and not (own and own.url == url):
        check_named_server(url)
    found = f"{without_credentials(url)} answers" if url else "started by each run"
    return Finding("Prefect server", "ok", found)


def _ports(project: Project) -> Iterator[Finding]:
    from graft.automation.prefect_server import port_is_free, running_server

    server = running_server(project)
    for name, port, option in (("MLflow port", 5000, "--mlflow-port"), ("Prefect port", 4200, "--prefect-port")):
        if port_is_free(port):
            yield Finding(name, "ok", f"{port} is free")
        elif server and f":{port}/" in server.url:
            yield Finding(name, "ok", f"{port}: this project's server is running")
        else:
            yield Finding(
                name, "note", f"{port} is in use", f"graft ui {option} {port + 1}, if that is not graft's own"
            )


def _gpu(project: Project) -> Finding:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("GPU", "ok", "none; training runs on the CPU")
    query = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=False, timeout=TOOL_SECONDS)
    except subprocess.TimeoutExpired:
        return Finding("GPU", "note", f"nvidia-smi did not answer within {TOOL_SECONDS:.0f} s", "Check the driver")
    names = ", ".join(answer.stdout.split("\n")[:-1])
    if answer.returncode != 0 or not names:
        return Finding("GPU", "note", "nvidia-smi sees none", "Check the driver")
    try:
        metadata.version("nvidia-cudnn-cu12")
    except metadata.PackageNotFoundError:
        fix = _install(project, " GPU=1", "graft[gpu]")
        return Finding("GPU", "note", f"{names}, but TensorFlow is installed without CUDA", fix)
    return Finding("GPU", "ok", names)


def _proxy() -> Finding:
    for url in (SITES["TensorFlow Hub"][0], "http://example.org/"):
        require_proxy(url)
        require_certificates(url)
    return Finding("proxy", "ok", f"{proxies_in_words()}; this machine's own servers are asked without one")


def _site(name: str) -> Iterator[Finding]:
    from graft.core.download.fetch import index_has, is_reachable
    from graft.networks.backbones.known_weights import REGISTRY

    if name == "proxy":
        yield _proxy()
        return
    url, fix = SITES[name]
    answers = is_reachable(url) if url else index_has(REGISTRY["MobileNetV2"].package)
    yield Finding(name, "ok", "answers") if answers else Finding(name, "note", "no answer", fix)


def _default_data(project: Project) -> Finding:
    from graft.data.sources.catalogue import DEFAULT, availability

    state = availability(project, [DEFAULT])[DEFAULT]
    fix = "" if state != "unreachable" else f"graft data use {DEFAULT} --from COPY"
    return Finding("default data", "ok" if not fix else "note", state, fix)
