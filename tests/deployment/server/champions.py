"""Versions of the model `tints`, and which of them is champion."""

from pathlib import Path

from graft.core.project import Project

CLASSES = ["red", "green", "blue"]


def register(project: Project, bundle: Path) -> str:
    """Logs a bundle and makes it a version of the model ``tints``; returns the version."""
    import mlflow
    from mlflow.exceptions import MlflowException

    from graft.registry.store.logged_models import HASH_TAG, log_bundle
    from graft.registry.store.tracking_store import experiment_id, open_store

    client = open_store(project)
    example = next(project.data.rglob("*.png"))
    with mlflow.start_run(experiment_id=experiment_id(project, client, "tints"), log_system_metrics=False) as run:
        uri, digest = log_bundle(bundle, example, "small")
    try:
        client.create_registered_model("tints")
    except MlflowException:
        assert client.get_registered_model("tints")
    version = client.create_model_version(
        "tints", uri, run.info.run_id, tags={"strategy": bundle.name, HASH_TAG: digest}
    )
    return str(version.version)


def move_champion(project: Project, version: str) -> None:
    from graft.registry.store.tracking_store import open_store

    open_store(project).set_registered_model_alias("tints", "champion", version)
