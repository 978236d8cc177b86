"""Log a bundle as an MLflow model: with signature, input example, its own code, a list of packages, and a hash of it
all.

The hash is over all files of a model in MLflow's store, and stored in MLflow's database: a tag of its run and version.
Files and database are written in different ways, often on different machines. Who changes a model's files (its
network, the code that travels with it, or the file that tells MLflow which code to run) changes the hash, and would
have to change the database too.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

import graft.bundle
from graft.bundle.model import INPUT_COLUMN, PATH_COLUMN
from graft.bundle.record import sha256
from graft.core.errors import GraftError, first_line
from graft.core.yaml_text import read_yaml

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Name under which the code of graft.bundle travels inside the model.
CODE_PACKAGE = "graft_model"
# What a model needs to answer; MLflow would find these out by loading it in a fresh process, which takes 20 s.
PACKAGES = ("tensorflow", "numpy", "pandas", "pillow")


def log_bundle(bundle: Path, example: Path, name: str, model_id: str | None = None) -> tuple[str, str]:
    """Log the bundle into the active run, if there is one, as a pyfunc model; return its URI and the hash of all files.

    The hash becomes a tag of the run and of the logged model, see :mod:`graft.registry.store.logged_models`.

    Args:
        example: an image file of the data set, logged with the model as its input example.
        name: of the strategy or ensemble, which MLflow's pages list the model by.
        model_id: of a logged model that waits for its files; None makes one.
    """
    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, DataType, Map, Schema

    signature = ModelSignature(
        # Any: encoded bytes, base64 text or rows of pixels; the model refuses what it cannot read, by position.
        # Each of the two may be left out; see graft.bundle.paths for what a path may name.
        inputs=Schema(
            [ColSpec(AnyType(), INPUT_COLUMN, required=False), ColSpec(DataType.string, PATH_COLUMN, required=False)]
        ),
        outputs=Schema(
            [
                ColSpec(DataType.string, "label"),
                ColSpec(DataType.double, "probability"),
                ColSpec(Map(DataType.double), "probabilities"),
            ]
        ),
    )
    text = base64.b64encode(example.read_bytes()).decode("ascii")
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / CODE_PACKAGE
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(graft.bundle.__file__).parent, code, ignore=ignore)
        info = mlflow.pyfunc.log_model(
            name=name,
            loader_module=f"{CODE_PACKAGE}.model",
            data_path=str(bundle),
            code_paths=[str(code)],
            signature=signature,
            input_example=pd.DataFrame({INPUT_COLUMN: [text]}),
            pip_requirements=[f"{package}=={version(package)}" for package in PACKAGES],
            model_id=model_id,
        )
        client = mlflow.MlflowClient()
        location = client.get_logged_model(info.model_id).artifact_location
        digest = model_hash(model_files(location, Path(folder) / "stored"))
    client.set_logged_model_tags(info.model_id, {HASH_TAG: digest})
    if mlflow.active_run() is not None:
        mlflow.set_tag(HASH_TAG, digest)
    return str(info.model_uri), digest


HASH_TAG = "model.sha256"
# MLflow writes it beside the others each time it downloads a registered model.
WRITTEN_LATER = frozenset({"registered_model_meta"})


def model_hash(folder: Path) -> str:
    """Return the SHA-256, hexadecimal, over path and content of each file in a folder as ``log_model`` leaves it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in WRITTEN_LATER)
    # Python leaves compiled code beside the code that MLflow loads. Graft itself runs neither.
    lines = [
        f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n"
        for path in files
        if path.parent.name != "__pycache__"
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def model_files(location: str, into: Path) -> Path:
    """Return the folder of a model's files: where they lie on this disk already, else downloaded into ``into``.

    Args:
        location: where the store keeps them, a path or a URI, as MLflow's LoggedModel.artifact_location names it. A
            ``models:/`` URI will not do: MLflow would write into the model's own folder.
    """
    if folder := local_folder(location):
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, "No such folder", str(folder))
        return folder
    import mlflow.artifacts

    into.mkdir(parents=True, exist_ok=True)
    return Path(mlflow.artifacts.download_artifacts(location, dst_path=str(into)))


def local_folder(location: str) -> Path | None:
    """Return where a model's files lie on this disk, None where a server or a bucket has them."""
    url = urlsplit(location)
    return Path(url2pathname(url.path) if url.scheme else location) if url.scheme in ("", "file") else None


def delete_model(client: MlflowClient, model_id: str, location: str) -> None:
    """Delete a logged model, and its files where they lie on this disk.

    Args:
        location: see :func:`model_files`.

    Raises:
        GraftError: MLflow refuses.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.delete_logged_model(model_id)
    except MlflowException as error:
        raise GraftError(
            f"MLflow does not delete the model {model_id} ({first_line(error)})", "Delete it by hand"
        ) from error
    if folder := local_folder(location):
        shutil.rmtree(folder.parent if folder.parent.name == model_id else folder, ignore_errors=True)


def bundle_path(folder: Path) -> str:
    """Return where the bundle lies in a folder of a model's files, as its MLmodel file says: not to be trusted yet."""
    flavours = read_yaml((folder / "MLmodel").read_bytes(), "MLmodel")["flavors"]
    return str(flavours["python_function"]["data"])


@contextlib.contextmanager
def files_of_version(client: MlflowClient, name: str, version: str) -> Iterator[tuple[Path, str]]:
    """Yield the folder of a registered version's files, fetched for the length of the block, and their hash."""
    location = client.get_model_version_download_uri(name, version)
    with tempfile.TemporaryDirectory() as folder:
        files = model_files(location, Path(folder) / "model")
        yield files, model_hash(files)
