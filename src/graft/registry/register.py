"""Register the best strategy or ensemble by validation as challenger."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.bundle.decisions import DECIDE
from graft.bundle.record import FILES, read_checked, read_settings, write_settings
from graft.core.errors import GraftError, first_line
from graft.core.files import new_folder, read_object, write_file
from graft.core.model_folders import in_order_of_promise, read_figures
from graft.core.paired import Difference, difference, log_losses
from graft.core.params.decide_params import DecideParams
from graft.core.params.models import RegisterParams
from graft.core.project import Project
from graft.data.splits.image_groups import read_groups
from graft.data.splits.split_tables import read_splits
from graft.evaluation.metrics import HIGHER_IS_BETTER
from graft.evaluation.prediction_table import read_prediction_table
from graft.registry.aliases import CHALLENGER, registered_name
from graft.registry.runs.logged_metrics import log_metrics
from graft.registry.runs.strategy_runs import DESCRIPTION_TAG, read_run
from graft.registry.store.logged_models import HASH_TAG, log_bundle
from graft.registry.store.provenance import provenance_tags
from graft.registry.store.tracking_store import open_store

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient

DECIDED_TAG = "decided"  # of a version: what stands under ``decide`` in its model.json


@dataclass(frozen=True)
class Registered:
    """The version that was registered.

    Attributes:
        model, version: name and version in MLflow's registry.
        aliases: those that point at the version now.
        strategy: the one, or the ensemble, that was chosen, by ``metric`` on validation, at ``value``.
        images, folds: that were validated, and in how many folds of train and val; 0 folds where val is.
        run_id: its MLflow run.
    """

    model: str
    version: str
    aliases: list[str]
    strategy: str
    metric: str
    value: float
    run_id: str
    images: int
    folds: int


def choose_best(folders: Mapping[str, Path], metric: str, groups: Path | None = None) -> tuple[str, float]:
    """Return the strategy or ensemble that is best by a validation metric, and its value.

    The first named is taken unless another is better by more than the standard error of the difference, over the same
    images: a few dozen of them would else choose by luck. What stands first is the cheapest (``frozen``), or what
    promises most, see :func:`graft.core.model_folders.in_order_of_promise`. By macro_f1, which is no mean over images,
    any difference counts.

    Test figures are not read here, so that no test image ever chooses a model. An ensemble's weights may have been
    fitted on validation; its figures there then are those of weights fitted without the image, so that they may be
    compared with its members'.

    Args:
        folders: of outputs, by name, in order of preference.
        metric: accuracy, macro_f1 or log_loss.
        groups: the table of images that belong together; None: each is a group by itself.
    """
    values = {}
    for name, folder in folders.items():
        values[name] = float(read_figures(folder)["val"][metric])
    sign = -1 if HIGHER_IS_BETTER[metric] else 1
    best, *others = folders
    for name in others:
        is_better = sign * values[name] < sign * values[best]
        if is_better and (metric == "macro_f1" or _compared(folders[name], folders[best], metric, groups).is_sure):
            best = name
    return best, values[best]


def _compared(one: Path, other: Path, metric: str, groups: Path | None) -> Difference:
    """Return how much better the predictions in one folder are than those in another."""
    import numpy as np

    images, losses = _losses(one, metric)
    others, other_losses = _losses(other, metric)
    if images != others:
        raise GraftError(
            f"The strategies in {one} and {other} were validated on different images",
            "Train them again on the same split: dvc repro",
        )
    names = read_groups(groups, images) if groups else np.asarray(images)
    return difference(losses, other_losses, names)


def _losses(folder: Path, metric: str) -> tuple[list[str], np.ndarray]:
    """Return the validation images' SHA-256, and each one's log loss in nats, or for accuracy 1 where it is wrong."""
    import numpy as np

    table = read_prediction_table(folder / "val_predictions.csv")
    columns = [name for name in table.columns if name not in ("sha256", "label")]
    probabilities = table[columns].to_numpy(np.float64)
    right = np.array([columns.index(f"p_{label}") for label in table["label"]])
    is_wrong = (probabilities.argmax(axis=1) != right).astype(np.float64)
    return list(table["sha256"]), is_wrong if metric == "accuracy" else log_losses(probabilities, right)


def registered_record(project: Project) -> dict[str, Any]:
    """Return the record of the last register stage: the fields of :class:`Registered`; empty before the first."""
    return read_object(project.artifacts("register") / "registered.json")


def register_best(
    project: Project, params: RegisterParams, folders: Mapping[str, Path], decide: DecideParams | None = None
) -> Registered:
    """Register the best model as ``challenger``, with what is decided of its probabilities.

    The champion is not touched, not even where there is none yet: only :mod:`graft.registry.promotion` changes it. A
    run that is registered already keeps its version: repeating the stage makes no second one.

    Args:
        params: how the best is chosen, and the name it is registered under.
        folders: of strategies and ensembles by name, see :mod:`graft.core.model_folders`.
        decide: what is wanted of its answers; where that is anything, the version is a copy of the run's model with it.

    Raises:
        GraftError: the run or model of the best is no longer in MLflow's store, or the registry does not take the
            model's name.
    """
    from mlflow.exceptions import MlflowException

    client = open_store(project)
    ordered = in_order_of_promise(project, folders)
    strategy, value = choose_best(ordered, params.metric, project.training_groups)
    run = read_run(folders[strategy])
    model = registered_name(project, params)
    try:
        client.get_run(run["run_id"])
    except (MlflowException, OSError):
        raise GraftError(
            f"The run {run['run_id']} of '{strategy}' is not in MLflow's store {project.tracking_uri}",
            "Train again into this store: dvc repro --force --downstream train",
        ) from None
    try:
        client.get_registered_model(model)
    except MlflowException:
        _create(client, model)

    versions = client.search_model_versions(f"run_id = '{run['run_id']}'")
    decided = _decisions(folders[strategy] / "model", decide)
    described = json.dumps(decided, sort_keys=True)
    known = [one for one in versions if one.name == model and one.tags.get(DECIDED_TAG, "{}") == described]
    if known:
        version = known[0].version
    else:
        tags = {
            "strategy": strategy,
            f"val_{params.metric}": f"{value:.6g}",
            HASH_TAG: run["model_sha256"],
            # Hashes of single files are with the run: they would bury what a person looks for in the registry.
            **{name: tag for name, tag in provenance_tags(project).items() if name.count(".") < 2},
        }
        uri = run["model_uri"]
        if decided or not _has_files(uri):  # pruned, where DVC brought back an earlier training
            uri, tags[HASH_TAG] = _log_decided(project, client, folders[strategy], decided, run)
        if decided:
            tags[DECIDED_TAG] = described
        # A tracking server that is not this machine's takes a version only of the model that is named beside it.
        model_id = uri.removeprefix("models:/")
        created = client.create_model_version(model, uri, run["run_id"], tags=tags, model_id=model_id)
        version = created.version
    version = str(version)
    client.set_registered_model_alias(model, CHALLENGER, version)
    aliases = client.get_registered_model(model).aliases
    mine = sorted(alias for alias, target in aliases.items() if str(target) == version)
    images = len(read_prediction_table(folders[strategy] / "val_predictions.csv"))
    folds = read_figures(folders[strategy]).get("folds", {}).get("folds", 0)
    registered = Registered(model, version, mine, strategy, params.metric, value, run["run_id"], images, folds)
    # Where DVC's own users look for it; see artifacts in dvc.yaml.
    with new_folder(project.artifacts("register") / "model", replace=True) as copy:
        _copy_decided(folders[strategy] / "model", decided, copy)
    write_file(project.artifacts("register") / "registered.json", json.dumps(asdict(registered), indent=1))
    return registered


def _has_files(model_uri: str) -> bool:
    """Return whether MLflow's store has the files of a logged model."""
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    try:
        return bool(mlflow.artifacts.list_artifacts(model_uri))
    except (MlflowException, OSError):
        return False


def _decisions(bundle: Path, decide: DecideParams | None) -> dict[str, Any]:
    """Return what stands under ``decide`` in the registered model.json; empty where nothing is wanted."""
    from graft.bundle.decisions import Known
    from graft.bundle.decisions import decide as decide_from

    if decide is None or not decide.wanted:
        return {}
    classes = read_settings(bundle)["classes"]
    decide.require_classes(classes)
    known = Known.read(bundle)
    if known is None:
        raise GraftError(
            f"{bundle} has no predictions for images that it was not fitted to, from which decisions follow",
            "Train it again: dvc repro --force --downstream train",
        )
    return decide_from(known, classes, decide.wanted)


def _log_decided(
    project: Project, client: MlflowClient, made: Path, decided: Mapping[str, Any], run: Mapping[str, Any]
) -> tuple[str, str]:
    """Log a copy of a strategy's or ensemble's bundle in which the decisions stand; return its URI and hash.

    Its page in MLflow has the figures of the model as it was trained, and says so.
    """
    from mlflow.entities import Metric
    from mlflow.exceptions import MlflowException

    example, run_id = project.data / read_splits(project, ["val"])["val"]["path"].iloc[0], run["run_id"]
    try:
        trained = client.get_logged_model(run["model_uri"].removeprefix("models:/"))
        words, metrics = trained.tags.get(DESCRIPTION_TAG, ""), trained.metrics or []
    except MlflowException:  # pruned
        words, metrics = "", []
    if decided:
        words = f"{words} Figures are of its answers before anything is decided (params.yaml, decide).".strip()
    experiment = client.get_run(run_id).info.experiment_id
    tags = {DESCRIPTION_TAG: words} if words else {}
    model_id = client.create_logged_model(experiment, made.name, source_run_id=run_id, tags=tags).model_id
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model"
        _copy_decided(made / "model", decided, copy)
        logged = log_bundle(copy, example, made.name, model_id)
    copies = [
        Metric(
            one.key,
            one.value,
            one.timestamp,
            one.step,
            model_id=model_id,
            dataset_name=one.dataset_name,
            dataset_digest=one.dataset_digest,
        )
        for one in metrics
    ]
    log_metrics(client, run_id, copies)
    return logged


def _copy_decided(bundle: Path, decided: Mapping[str, Any], target: Path) -> None:
    """Copy a bundle into a new or empty folder, with the decisions in its settings where there are any."""
    settings = {name: value for name, value in read_checked(bundle).items() if name != FILES}
    shutil.copytree(bundle, target, dirs_exist_ok=True)
    if decided:
        write_settings(target, {**settings, DECIDE: decided})


def _create(client: MlflowClient, model: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model)
    except MlflowException as error:
        raise GraftError(
            f"MLflow's registry does not take a model named '{model}' ({first_line(error)})",
            "Name another under register.model_name in params.yaml",
        ) from error
