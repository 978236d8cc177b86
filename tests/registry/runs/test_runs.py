"""What a strategy leaves in MLflow."""

import base64
import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image
from recorded import NAMES, copy_of, recorded_params, train_and_record
from tiny import CLASSES, COUNTS, SIZE, clock, tiny_params, write_hub_module

from graft.bundle.model import ImageClassifier
from graft.core.project import Project
from graft.data.splits.split_tables import read_splits
from graft.evaluation.evaluate import evaluate_bundle, write_evaluation
from graft.registry.runs.strategy_runs import confusion_table, flatten, read_run, record_evaluation, training_run
from graft.registry.store.tracking_store import experiment_id, open_store

pytestmark = pytest.mark.usefixtures("no_outside_settings")


@pytest.fixture
def client(recorded: Project) -> MlflowClient:
    return open_store(recorded)


@pytest.fixture
def run(recorded: Project, client: MlflowClient) -> mlflow.entities.Run:
    return client.get_run(read_run(recorded.strategy("first"))["run_id"])


def files_of(client: MlflowClient, run_id: str, folder: str = "") -> set[str]:
    return {entry.path for entry in client.list_artifacts(run_id, folder or None)}


def test_there_is_a_run_per_strategy_in_the_experiment_of_the_data_set(recorded: Project, client: MlflowClient) -> None:
    experiment = client.get_experiment_by_name("tints")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name for run in runs} == set(NAMES)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert experiment.artifact_location == (recorded.mlflow_artifacts / "tints").as_uri()


def test_parameters_are_those_that_were_used(run: mlflow.entities.Run) -> None:
    params = run.data.params
    assert params["learning_rate"] == "0.01"
    assert params["augment.flip"] == "none"
    assert params["image_size"] == "16"  # the shared one, filled in
    assert params["seed"] == "7"
    # Convolution 3*3*3*4, batch norm 4*4, dense 4*3+3: of which moving statistics (8) are not trained.
    assert (params["parameters_total"], params["parameters_trained"]) == ("139", "131")


def test_metrics_are_there_for_every_batch_and_epoch(
    recorded: Project, client: MlflowClient, run: mlflow.entities.Run
) -> None:
    steps = pd.read_csv(recorded.strategy("first") / "steps.csv")
    epochs = pd.read_csv(recorded.strategy("first") / "epochs.csv")
    of_batches = client.get_metric_history(run.info.run_id, "batch_loss")
    assert [entry.step for entry in of_batches] == list(range(len(steps))) == list(range(6))
    assert [entry.value for entry in of_batches] == pytest.approx(steps["loss"].tolist(), rel=1e-4)
    assert {"curves/steps.csv", "curves/epochs.csv"} == files_of(client, run.info.run_id, "curves")
    for metric in ("loss", "val_log_loss", "val_accuracy", "learning_rate"):
        history = client.get_metric_history(run.info.run_id, metric)
        assert [entry.step for entry in history] == [0, 1]
        assert [entry.value for entry in history] == pytest.approx(epochs[metric].tolist(), rel=1e-4)


def test_the_best_figures_on_validation_are_those_of_the_files(recorded: Project, run: mlflow.entities.Run) -> None:
    figures = json.loads((recorded.strategy("first") / "metrics.json").read_text())["val"]
    for name, value in figures.items():
        assert run.data.metrics[f"val_best_{name}"] == pytest.approx(value)


def test_the_time_of_each_step_is_there(run: mlflow.entities.Run) -> None:
    timings = {name: value for name, value in run.data.metrics.items() if name.startswith("seconds_")}
    assert {"seconds_decode_train", "seconds_decode_val", "seconds_fit", "seconds_export", "seconds_mlflow_log"} <= set(
        timings
    )
    assert timings["seconds_fit"] > 0


def test_tags_tell_where_it_came_from(run: mlflow.entities.Run) -> None:
    tags = run.data.tags
    assert tags["strategy"] == "first"
    assert tags["dataset"] == "tints"
    assert tags["dvc.data"] == "0123456789abcdef0123456789abcdef.dir"
    assert tags["weights.source"] == "random"
    assert len(tags["weights.digest"]) == 64
    assert tags["best_epoch"] in ("1", "2")


def test_data_sets_are_inputs_with_dvcs_hash(recorded: Project, run: mlflow.entities.Run) -> None:
    inputs = {entry.tags[0].value: entry.dataset for entry in run.inputs.dataset_inputs}
    assert set(inputs) == {"train", "val"}
    assert {split: entry.name for split, entry in inputs.items()} == {"train": "tints-train", "val": "tints-val"}
    assert {entry.digest for entry in inputs.values()} == {"0123456789abcdef0123456789abcdef.dir"}
    for split, entry in inputs.items():
        assert json.loads(entry.profile)["num_rows"] == len(CLASSES) * COUNTS[split]
        assert str(recorded.split_table(split)) in entry.source


def test_pictures_are_real_images(client: MlflowClient, run: mlflow.entities.Run, tmp_path: Path) -> None:
    for picture in ("learning_curves.png", "val/confusion.png"):
        path = client.download_artifacts(run.info.run_id, picture, str(tmp_path))
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert np.asarray(image.convert("L")).std() > 5


def test_the_matrix_is_there_as_data(client: MlflowClient, run: mlflow.entities.Run, tmp_path: Path) -> None:
    path = client.download_artifacts(run.info.run_id, "val/confusion.json", str(tmp_path))
    table = json.loads(Path(path).read_text())
    assert table["classes"] == CLASSES
    assert np.sum(table["counts"]) == len(CLASSES) * COUNTS["val"]
    np.testing.assert_allclose(np.sum(table["shares"], axis=1), 1, atol=1e-5)


def test_the_model_carries_signature_example_packages_and_its_code(recorded: Project) -> None:
    uri = read_run(recorded.strategy("first"))["model_uri"]
    info = mlflow.models.get_model_info(uri)
    assert info.signature.inputs.input_names() == ["image", "path"]
    assert info.signature.outputs.input_names() == ["label", "probability", "probabilities"]
    folder = Path(mlflow.artifacts.download_artifacts(uri))
    example = json.loads((folder / "input_example.json").read_text())
    assert example["columns"] == ["image"]
    first = recorded.data / read_splits(recorded, ["val"])["val"]["path"].iloc[0]
    assert base64.b64decode(example["data"][0][0]) == first.read_bytes()
    requirements = (folder / "requirements.txt").read_text()
    assert all(f"{package}==" in requirements for package in ("tensorflow", "pillow", "numpy", "pandas"))
    code = {path.name for path in (folder / "code" / "graft_model").iterdir()}
    assert {"__init__.py", "images.py", "model.py"} <= code


def test_the_model_of_the_run_answers_as_the_bundle_does(recorded: Project) -> None:
    model = mlflow.pyfunc.load_model(read_run(recorded.strategy("first"))["model_uri"])
    data = [(recorded.data / path).read_bytes() for path in read_splits(recorded, ["test"])["test"]["path"][:4]]
    expected = ImageClassifier(recorded.strategy("first") / "model").predict(data)
    texts = [base64.b64encode(one).decode() for one in data]
    for images in (data, texts):
        answers = model.predict(pd.DataFrame({"image": images}))
        pd.testing.assert_frame_equal(answers, expected)


def test_figures_of_the_test_split_are_added_to_the_run(recorded: Project, tmp_path: Path) -> None:
    from graft.evaluation.evaluate import TestImages as Images

    project = copy_of(recorded, tmp_path / "project")
    client = open_store(project)
    folder = project.strategy("first")
    images = Images(project)
    found = evaluate_bundle("first", folder, images, 8, clock())
    write_evaluation("first", found, images)
    evaluation = found.evaluation
    record_evaluation(project, "first", folder)
    run = client.get_run(read_run(project.strategy("first"))["run_id"])
    for name, value in evaluation.headline().items():
        assert run.data.metrics[f"test_{name}"] == pytest.approx(value, rel=1e-5)
    ends = [run.data.metrics[f"test_accuracy_{end}"] for end in ("low", "high")]
    assert ends[0] < run.data.metrics["test_accuracy"] <= ends[1]
    assert (run.data.metrics["test_images"], run.data.metrics["test_groups"]) == (len(images.table), len(images.table))
    assert run.data.metrics["test_red_recall"] == pytest.approx(evaluation.per_class["red"]["recall"], rel=1e-5)
    inputs = {entry.tags[0].value: entry.dataset for entry in run.inputs.dataset_inputs}
    assert (set(inputs), inputs["test"].name) == ({"train", "val", "test"}, "tints-test")
    # The page of the model tells the same, and on which data set; figures of the first epoch are not on it.
    model = client.get_logged_model(read_run(folder)["model_uri"].removeprefix("models:/"))
    on_model = {metric.key: metric for metric in model.metrics}
    for name, value in evaluation.headline().items():
        assert on_model[f"test_{name}"].value == pytest.approx(value, rel=1e-5)
        assert on_model[f"test_{name}"].dataset_name == "tints-test"
        assert on_model[f"test_{name}"].dataset_digest == inputs["test"].digest
    assert model.name == "first"
    assert f"{evaluation.accuracy:.1%} [" in model.tags["mlflow.note.content"]
    assert run.info.status == "FINISHED"
    assert {"test/confusion.json", "test/confusion.png"} <= files_of(client, run.info.run_id, "test")
    path = client.download_artifacts(run.info.run_id, "test/confusion.json", str(tmp_path))
    table = json.loads(Path(path).read_text())
    assert (table["classes"], table["counts"]) == (CLASSES, evaluation.confusion.tolist())


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_a_training_that_fails_marks_its_run(recorded: Project, tmp_path: Path, error: BaseException) -> None:
    project = copy_of(recorded, tmp_path / "project")
    with pytest.raises(type(error)), training_run(project, recorded_params().train, "first", clock()) as run_id:
        raise error
    assert open_store(project).get_run(run_id).info.status == "FAILED"
    assert mlflow.active_run() is None


def test_a_run_whose_parameters_cannot_be_logged_is_not_left_running(
    recorded: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_of(recorded, tmp_path / "project")

    def refuse(params: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(mlflow, "log_params", refuse)
    with pytest.raises(OSError, match="disk full"), training_run(project, recorded_params().train, "first", clock()):
        raise AssertionError("not reached")
    assert mlflow.active_run() is None
    client = open_store(project)
    experiment = experiment_id(project, client, "tints")
    assert [run.info.status for run in client.search_runs([experiment])].count("FAILED") == 1


def test_nested_settings_become_one_level() -> None:
    nested = {"epochs": 3, "augment": {"flip": "none", "deep": {"er": 1}}, "filters": [4, 8]}
    assert flatten(nested) == {"epochs": 3, "augment.flip": "none", "augment.deep.er": 1, "filters": [4, 8]}


def test_c7_the_page_of_a_model_has_the_figures_of_the_epoch_that_was_chosen(
    recorded: Project, client: MlflowClient, run: mlflow.entities.Run
) -> None:
    epochs = pd.read_csv(recorded.strategy("first") / "epochs.csv")
    best = int(run.data.tags["best_epoch"]) - 1
    record = read_run(recorded.strategy("first"))
    (model,) = client.search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'"
    )
    assert model.model_id == record["model_uri"].removeprefix("models:/")
    of_epoch = {metric.key: metric for metric in model.metrics if metric.key in epochs.columns}
    assert of_epoch
    assert set(of_epoch) == {name for name in epochs.columns if name.startswith("val_")}
    for name, metric in of_epoch.items():
        assert (metric.step, metric.value) == (best, pytest.approx(epochs[name][best], rel=1e-4))
        assert (metric.dataset_name, metric.dataset_digest) == ("tints-val", "0123456789abcdef0123456789abcdef.dir")
    figures = json.loads((recorded.strategy("first") / "metrics.json").read_text())["val"]
    others = {metric.key: metric.value for metric in model.metrics if metric.key not in epochs.columns}
    assert others == {
        "temperature": pytest.approx(run.data.metrics["temperature"]),
        **{f"val_best_{name}": pytest.approx(value) for name, value in figures.items()},
    }


def test_c1_a_matrix_of_many_classes_is_its_pairs() -> None:
    counts = np.zeros((1000, 1000), int)
    counts[np.arange(1000), np.arange(1000)] = 3
    counts[7, 9] = 1
    table = confusion_table(counts, [str(number) for number in range(1000)])
    assert len(json.dumps(table)) < 100_000
    assert sum(count for _, _, count, _ in table["pairs"]) == counts.sum()
    assert (7, 9, 1, 0.25) in table["pairs"]


def test_c1_a_thousand_classes_are_a_table_and_few_metrics(recorded: Project, tmp_path: Path) -> None:
    project = copy_of(recorded, tmp_path / "project")
    client = open_store(project)
    classes = [f"class {number}" for number in range(1000)]
    folder = project.artifacts("evaluate")
    for kind in ("figures", "per_class", "confusion", "predictions"):
        (folder / kind).mkdir(parents=True)
    figures = {"accuracy": 0.5, "macro_f1": 0.4, "log_loss": 2.0, "images": 1000.0}
    figures |= {"accuracy_low": 0.4, "accuracy_high": 0.6}
    (folder / "figures" / "first.json").write_text(json.dumps(figures))
    rows = {"class": classes, "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 1}
    pd.DataFrame(rows).to_csv(folder / "per_class" / "first.csv", index=False)
    pairs = pd.DataFrame({"actual": classes, "predicted": classes[1:] + classes[:1]})
    pairs.to_csv(folder / "confusion" / "first.csv", index=False)
    digests = read_splits(project, ["test"])["test"]["sha256"]
    stated = {"label": "red", "predicted": "red", "p_green": 0.25, "p_red": 0.75}
    pd.DataFrame({"sha256": digests, **stated}).to_csv(folder / "predictions" / "first.csv", index=False)
    record_evaluation(project, "first", project.strategy("first"))
    run = client.get_run(read_run(project.strategy("first"))["run_id"])
    tested = {name for name in run.data.metrics if name.startswith("test_")}
    assert tested == {f"test_{name}" for name in figures}
    path = client.download_artifacts(run.info.run_id, "test/per_class.csv", str(tmp_path))
    assert len(pd.read_csv(path)) == 1000


def test_shares_of_a_class_without_images_are_zero() -> None:
    assert confusion_table(np.array([[1, 1], [0, 0]]), ["a", "b"]) == {
        "classes": ["a", "b"],
        "counts": [[1, 1], [0, 0]],
        "shares": [[0.5, 0.5], [0.0, 0.0]],
    }


def test_a_solved_head_tells_its_penalties_and_what_it_was_out_of_fold(recorded: Project, tmp_path: Path) -> None:
    project = copy_of(recorded, tmp_path / "project")
    module = write_hub_module(tmp_path / "module", SIZE)
    backbone = {"source": "hub", "name": str(module)}
    params = tiny_params(run=["solved"], backbone=backbone, strategies={"solved": {"kind": "frozen"}})
    client = open_store(project)
    run = client.get_run(train_and_record(project, params, "solved"))
    assert (run.data.params["solver"], run.data.params["folds"]) == ("exact", "5")
    assert "epochs" not in run.data.params
    figures = json.loads((project.strategy("solved") / "metrics.json").read_text())["out_of_fold"]
    for name, value in figures.items():
        assert run.data.metrics[f"out_of_fold_best_{name}"] == pytest.approx(value)
    penalties = [point.value for point in client.get_metric_history(run.info.run_id, "penalty")]
    assert len(penalties) > 2
    assert penalties == sorted(penalties, reverse=True)
    assert len(client.get_metric_history(run.info.run_id, "out_of_fold_log_loss")) == len(penalties)
    assert "learning_curves.png" in files_of(client, run.info.run_id)
