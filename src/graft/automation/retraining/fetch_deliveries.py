"""Fetch what is new before the inbox is looked at: by a command of the user's, or from DVC's remote."""

import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from graft.core.errors import GraftError
from graft.core.files import write_file
from graft.core.params.retrain_params import DeliverySourceParams
from graft.core.processes import run_to_end
from graft.core.progress import console
from graft.core.project import Project
from graft.data.folder.versioning import run_dvc

FIRST_WAIT_SECONDS = 10.0
_LINES_KEPT = 3


def run_command(project: Project, params: DeliverySourceParams, wait: Callable[[float], None] = time.sleep) -> None:
    """Run the command that puts deliveries into the inbox, where there is one.

    Raises:
        GraftError: it failed, or took too long, each time.
    """
    if params.command:
        _repeated(lambda: _shell(project, params), params.retries, wait)


def fetch(project: Project, params: DeliverySourceParams, wait: Callable[[float], None] = time.sleep) -> None:
    """Fetch the images that data.dvc names into DVC's cache; data/ and data.dvc stay as they are.

    Raises:
        GraftError: DVC failed, or took too long, each time.
    """
    _repeated(lambda: run_dvc(project, "fetch", "data.dvc", timeout=params.timeout_seconds), params.retries, wait)


def update(
    project: Project, own: Project, params: DeliverySourceParams, wait: Callable[[float], None] = time.sleep
) -> None:
    """Bring data/ of a worktree up to date, with DVC, with where `dvc import` took it from.

    Args:
        project: the user's; the way in data.dvc to a repository on this machine begins there.

    Raises:
        GraftError: DVC failed, or took too long, each time.
    """
    pointer = own.root / "data.dvc"
    here, there = "", ""
    for line in pointer.read_text(encoding="utf-8").splitlines():
        address = line.strip().removeprefix("url:").strip()
        if line.strip().startswith("url:") and (project.root / address).is_dir():
            here, there = address, str((project.root / address).resolve())

    def once() -> None:
        _replace(pointer, here, there)
        try:
            run_dvc(own, "update", "data.dvc", timeout=params.timeout_seconds)
        finally:
            _replace(pointer, there, here)

    _repeated(once, params.retries, wait)


def _replace(file: Path, old: str, new: str) -> None:
    """Replace the address of a repository, which DVC puts on a line of its own where it is long."""
    text = file.read_text(encoding="utf-8")
    changed = re.sub(rf"url:\s+{re.escape(old)}\n", lambda _: f"url: {new}\n", text) if old else text
    if changed != text:
        write_file(file, changed)


def _shell(project: Project, params: DeliverySourceParams) -> None:
    # Not subprocess.run: it ends the shell alone at a timeout, and then waits for what the shell had started.
    # Into a file: what it leaves at work in the background may hold its output open for ever.
    with tempfile.TemporaryFile() as output:
        to_file = {"stdout": output, "stderr": subprocess.STDOUT}
        try:
            code = run_to_end(params.command, params.timeout_seconds, shell=True, cwd=project.root, **to_file)
        except subprocess.TimeoutExpired:
            raise GraftError(
                f"retrain.source.command had not ended after {params.timeout_seconds} s, and was ended",
                "Raise retrain.source.timeout_seconds, or look at what held it up",
            ) from None
        output.seek(0)
        lines = output.read().decode(errors="replace").strip().splitlines()
    if code:
        last = " / ".join(lines[-_LINES_KEPT:]) or "it printed nothing"
        raise GraftError(f"retrain.source.command ended with {code}: {last}", "Run it by hand in the project")


def _repeated(action: Callable[[], object], retries: int, wait: Callable[[float], None]) -> None:
    for attempt in range(retries + 1):
        try:
            action()
            return
        except GraftError as error:
            if attempt == retries:
                raise
            seconds = FIRST_WAIT_SECONDS * 2**attempt
            console.print(f"{error} Again in {seconds:.0f} s.", soft_wrap=True, markup=False)
            wait(seconds)
