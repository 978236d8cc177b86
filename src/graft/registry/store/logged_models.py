"""A bundle as an MLflow model: with signature, input example, its own code and an explicit list of packages."""

from __future__ import annotations

import base64
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import graft.bundle
from graft.bundle.model import INPUT_COLUMN, PATH_COLUMN
from graft.registry.store.model_hash import HASH_TAG, model_files, model_hash

# Name under which the code of graft.bundle travels inside the model.
CODE_PACKAGE = "graft_model"
# What a model needs to answer; MLflow would find these out by loading it in a fresh process, which takes 20 s.
PACKAGES = ("tensorflow", "numpy", "pandas", "pillow")


def log_bundle(bundle: Path, example: Path) -> tuple[str, str]:
    """Logs the bundle into the active run as a pyfunc model; returns its URI and the hash of all its files.

    The hash becomes a tag of the run and of the logged model, see :mod:`graft.registry.store.model_hash`.

    Args:
        example: an image file of the data set, kept with the model as its input example.
    """
    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, DataType, Map, Schema

    signature = ModelSignature(
        # Any: encoded bytes, base64 text or rows of pixels; the model refuses what it cannot read, by position.
        # Each of the two may be left out; see graft.bundle.paths for what a path may name.
        inputs=Schema(
            [
                ColSpec(AnyType(), INPUT_COLUMN, required=False),
                ColSpec(DataType.string, PATH_COLUMN, required=False),
            ]
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
            name="model",
            loader_module=f"{CODE_PACKAGE}.model",
            data_path=str(bundle),
            code_paths=[str(code)],
            signature=signature,
            input_example=pd.DataFrame({INPUT_COLUMN: [text]}),
            pip_requirements=[f"{package}=={version(package)}" for package in PACKAGES],
        )
        client = mlflow.MlflowClient()
        location = client.get_logged_model(info.model_id).artifact_location
        digest = model_hash(model_files(location, Path(folder) / "stored"))
    client.set_logged_model_tags(info.model_id, {HASH_TAG: digest})
    mlflow.set_tag(HASH_TAG, digest)
    return str(info.model_uri), digest
