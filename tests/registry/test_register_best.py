"""The best strategy by validation becomes a version, once, and the challenger."""

import base64
import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModel
from mlflow.exceptions import MlflowException
from recorded import NAMES, copy_of, recorded_params, set_figures, train_and_record
from tiny import CLASSES

from graft.bundle.model import ImageClassifier
from graft.bundle.record import read_settings
from graft.core.errors import GraftError
from graft.core.params.decide_params import DecideParams
from graft.core.params.models import RegisterParams
from graft.core.project import Project
from graft.data.splits.split_tables import read_splits
from graft.evaluation.prediction_table import read_prediction_table
from graft.registry.register import Registered, choose_best, register_best
from graft.registry.resolve import resolve_model
from graft.registry.runs.strategy_runs import DESCRIPTION_TAG, read_run
from graft.registry.store.logged_models import HASH_TAG, delete_model, files_of_version
from graft.registry.store.tracking_store import open_store

pytestmark = pytest.mark.usefixtures("no_outside_settings")
MODEL = "tints"


@pytest.fixture
def project(recorded: Project, tmp_path: Path, no_outside_settings: None) -> Project:
    """Two recorded strategies, of which the second is better on validation and the first on test."""
    copy = copy_of(recorded, tmp_path / "project")
    set_figures(copy, "first", log_loss=0.3, accuracy=0.9, macro_f1=0.5)
    set_figures(copy, "second", log_loss=0.2, accuracy=0.8, macro_f1=0.6)
    for name, loss in (("first", 0.01), ("second", 9.0)):
        path = copy.artifacts("evaluate") / "metrics" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"test": {"log_loss": loss, "accuracy": 1 - loss / 10, "macro_f1": 0.5}}))
    return copy


@pytest.fixture
def client(project: Project) -> MlflowClient:
    return open_store(project)


def register(project: Project, **params: Any) -> Registered:
    return register_best(project, RegisterParams(**params), folders(project))


def set_value(project: Project, name: str, **figures: float) -> None:
    """Only in metrics.json, not in the predictions."""
    path = project.strategy(name) / "metrics.json"
    content = json.loads(path.read_text())
    content["val"].update(figures)
    path.write_text(json.dumps(content))


def folders(project: Project, *names: str) -> dict[str, Path]:
    return {name: project.strategy(name) for name in names or NAMES}


def aliases(client: MlflowClient) -> dict[str, str]:
    found = client.get_registered_model(MODEL).aliases
    return {alias: str(version) for alias, version in found.items()}


def figures_of(model: LoggedModel) -> set[tuple[str, float, str]]:
    """What the model's page in MLflow shows: metric, value, data set."""
    return {(metric.key, metric.value, metric.dataset_name) for metric in model.metrics or []}


def versions(client: MlflowClient) -> list[str]:
    return sorted(str(version.version) for version in client.search_model_versions(f"name = '{MODEL}'"))


@pytest.mark.parametrize(("metric", "best"), [("log_loss", "second"), ("accuracy", "first"), ("macro_f1", "second")])
def test_the_best_by_the_validation_metric_is_chosen(project: Project, metric: str, best: str) -> None:
    values = {"log_loss": 0.2, "accuracy": 0.9, "macro_f1": 0.6}
    assert choose_best(folders(project), metric) == (best, values[metric])


def test_a_better_figure_within_its_error_is_no_better(project: Project) -> None:
    """Equal but for one image of many: the one named first stays."""
    for name in NAMES:
        set_figures(project, name, log_loss=0.25)
    path = project.strategy("second") / "val_predictions.csv"
    table = read_prediction_table(path)
    column = f"p_{table['label'][0]}"
    table.loc[0, column] = 0.99
    table.to_csv(path, index=False)
    set_value(project, "second", log_loss=0.2)
    assert choose_best(folders(project), "log_loss")[0] == "first"
    assert choose_best(folders(project, *NAMES[::-1]), "log_loss")[0] == "second"


def test_what_stage_choose_found_to_promise_most_is_taken_unless_another_is_better_beyond_the_error(
    project: Project,
) -> None:
    def registered() -> str:
        return register(project).strategy

    assert registered() == "second"  # by far the better one
    for name in NAMES:
        set_figures(project, name, log_loss=0.25)
    assert registered() == "first"
    record = project.artifacts("choose") / "choice.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text('{"promising": ["second"]}')
    assert registered() == "second"
    set_figures(project, "first", log_loss=0.1)
    assert registered() == "first"


def test_other_validation_images_cannot_be_compared(project: Project) -> None:
    path = project.strategy("second") / "val_predictions.csv"
    read_prediction_table(path).iloc[1:].to_csv(path, index=False)
    with pytest.raises(GraftError, match="different images"):
        choose_best(folders(project), "log_loss")


def test_a_tie_goes_to_the_one_named_first(project: Project) -> None:
    for name in NAMES:
        set_figures(project, name, log_loss=0.25)
    assert choose_best(folders(project), "log_loss")[0] == "first"
    assert choose_best(folders(project, *NAMES[::-1]), "log_loss")[0] == "second"


def test_the_first_model_is_challenger_and_nothing_else(project: Project, client: MlflowClient) -> None:
    lock = "stages:\n  split:\n    outs:\n    - {path: artifacts/split/train.csv, md5: bbbb}\n"
    (project.root / "dvc.lock").write_text(lock)
    registered = register(project)
    run = read_run(project.strategy("second"))
    assert registered == Registered(
        model=MODEL,
        version="1",
        aliases=["challenger"],
        strategy="second",
        metric="log_loss",
        value=0.2,
        run_id=run["run_id"],
        images=len(read_prediction_table(project.strategy("second") / "val_predictions.csv")),
        folds=0,
    )
    written = json.loads((project.artifacts("register") / "registered.json").read_text())
    assert written == vars(registered)
    assert aliases(client) == {"challenger": "1"}
    version = client.get_model_version(MODEL, "1")
    assert version.run_id == run["run_id"]
    assert version.tags["strategy"] == "second"
    assert version.tags["val_log_loss"] == "0.2"
    assert version.tags["dvc.data"] == "0123456789abcdef0123456789abcdef.dir"
    assert "dvc.split.train.csv" not in version.tags  # the run has them, one for each file


def test_registering_again_makes_no_second_version(project: Project, client: MlflowClient) -> None:
    assert register(project) == register(project)
    assert versions(client) == ["1"]


def test_the_challenger_moves_and_the_champion_stays(project: Project, client: MlflowClient) -> None:
    register(project)
    client.set_registered_model_alias(MODEL, "champion", "1")
    challenger = register(project, metric="accuracy")
    assert (challenger.strategy, challenger.version, challenger.aliases) == ("first", "2", ["challenger"])
    assert aliases(client) == {"challenger": "2", "champion": "1"}
    # And back: the version of that run is still there.
    again = register(project)
    assert (again.version, again.aliases) == ("1", ["challenger", "champion"])
    assert versions(client) == ["1", "2"]


@pytest.mark.slow
def test_a_strategy_trained_anew_is_a_new_version(project: Project, client: MlflowClient) -> None:
    register(project)
    run_id = train_and_record(project, recorded_params(), "second")
    set_figures(project, "second", log_loss=0.1)
    registered = register(project)
    assert (registered.version, registered.run_id) == ("2", run_id)
    assert aliases(client) == {"challenger": "2"}


@pytest.mark.parametrize("name", ["my lights", "O'Brien's \"best\" model", "größe"])
def test_the_name_of_the_model_can_be_chosen(project: Project, client: MlflowClient, name: str) -> None:
    assert register(project, model_name=name).model == name
    assert register(project, model_name=name).version == "1"
    assert client.get_registered_model(name).aliases


@pytest.mark.parametrize("name", ["a/b", "a:b", " "])
def test_a_name_that_the_registry_does_not_take_is_named(project: Project, name: str) -> None:
    with pytest.raises(GraftError, match=rf"does not take a model named '{name}'.*register.model_name"):
        register(project, model_name=name)


def test_a_run_that_is_not_in_the_store_is_an_error(project: Project, client: MlflowClient) -> None:
    path = project.strategy("second") / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "run_id": "0" * 32}))
    with pytest.raises(GraftError, match=r"run 0{32} of 'second'.*not in MLflow's store sqlite.*dvc repro"):
        register(project)
    with pytest.raises(MlflowException):
        client.get_registered_model(MODEL)


def test_a_model_that_was_pruned_is_logged_anew(project: Project, client: MlflowClient) -> None:
    model = client.get_logged_model(read_run(project.strategy("second"))["model_uri"].removeprefix("models:/"))
    delete_model(client, model.model_id, model.artifact_location)
    version = register(project).version
    found = client.get_model_version(MODEL, version)
    assert found.model_id != model.model_id
    with files_of_version(client, MODEL, version) as (folder, digest):
        assert digest == found.tags[HASH_TAG]
        assert (folder / "MLmodel").is_file()
    assert register(project).version == version


def test_the_challenger_answers_for_bytes_and_for_text(project: Project) -> None:
    register(project)
    model = mlflow.pyfunc.load_model(f"models:/{MODEL}@challenger")
    paths = read_splits(project, ["test"])["test"]["path"][:3]
    data = [(project.data / path).read_bytes() for path in paths]
    expected = ImageClassifier(project.strategy("second") / "model").predict(data)
    for images in (data, [base64.b64encode(one).decode() for one in data]):
        answers = model.predict(pd.DataFrame({"image": images}))
        pd.testing.assert_frame_equal(answers, expected)
    assert set(answers["label"]) <= set(CLASSES)


def test_a_store_that_was_deleted_is_an_error(project: Project) -> None:
    (project.home / "mlflow.db").unlink()
    with pytest.raises(GraftError, match="Train again into this store"):
        register(project)


def test_what_is_decided_is_in_a_version_of_its_own(project: Project, client: MlflowClient) -> None:
    plain = register(project)

    def decided(**wanted: Any) -> Registered:
        return register_best(project, RegisterParams(), folders(project), DecideParams(**wanted))

    first = decided(precision={"red": 0.9}, costs={"red": {"blue": 5.0}})
    assert decided(precision={"red": 0.9}, costs={"red": {"blue": 5.0}}).version == first.version
    assert versions(client) == sorted([plain.version, first.version])
    assert decided().version == plain.version  # as it was trained
    resolved = resolve_model(project, f"models:/{MODEL}/{first.version}")
    found = read_settings(resolved.bundle)["decide"]
    assert (found["precision"], found["costs"]) == ({"red": 0.9}, {"red": {"blue": 5.0}})
    assert found["thresholds"].keys() == {"red"}
    assert ImageClassifier(resolved.bundle).decided == found
    trained, own = (
        client.get_logged_model(client.get_model_version(MODEL, number).source.removeprefix("models:/"))
        for number in (plain.version, first.version)
    )
    assert own.source_run_id == trained.source_run_id == first.run_id
    assert trained.metrics
    assert figures_of(own) == figures_of(trained)
    assert "before anything is decided" in own.tags[DESCRIPTION_TAG]
    with pytest.raises(GraftError, match="names 'purple', which is no class"):
        decided(precision={"purple": 0.9})
