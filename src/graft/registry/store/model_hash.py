"""One hash over all files of a model in MLflow's store, kept in MLflow's database: a tag of its run and version.

Files and database are written by different roads, often on different machines. Who changes a model's files (its
network, the code that travels with it, or the file that tells MLflow which code to run) changes the hash, and would
have to change the database too.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from graft.bundle.record import sha256

if TYPE_CHECKING:
    from mlflow import MlflowClient

HASH_TAG = "model.sha256"
# MLflow writes it beside the others each time it downloads a registered model.
WRITTEN_LATER = frozenset({"registered_model_meta"})


def model_hash(folder: Path) -> str:
    """SHA-256, hexadecimal, over path and content of each file in a folder as ``log_model`` leaves it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in WRITTEN_LATER)
    # Python leaves compiled code beside the code that MLflow loads. Graft itself runs neither.
    lines = [
        f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n"
        for path in files
        if path.parent.name != "__pycache__"
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def model_files(location: str, into: Path) -> Path:
    """The folder of a model's files: where they lie on this disk already, else downloaded into ``into``.

    Args:
        location: where the store keeps them, a path or a URI, as MLflow's LoggedModel.artifact_location names it. A
            ``models:/`` URI will not do: MLflow would write into the model's own folder.
    """
    import mlflow.artifacts
    from mlflow.utils.uri import is_local_uri

    if is_local_uri(location):
        return Path(mlflow.artifacts.download_artifacts(location))
    into.mkdir(parents=True, exist_ok=True)
    return Path(mlflow.artifacts.download_artifacts(location, dst_path=str(into)))


@contextlib.contextmanager
def files_of_version(client: MlflowClient, name: str, version: str) -> Iterator[tuple[Path, str]]:
    """Yield the folder of a registered version's files, fetched for the length of the block, and their hash."""
    location = client.get_model_version_download_uri(name, version)
    with tempfile.TemporaryDirectory() as folder:
        files = model_files(location, Path(folder) / "model")
        yield files, model_hash(files)
