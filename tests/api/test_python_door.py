"""`import graft`: every example in the docstrings, run in order on a project of its own, and what the results show."""

import contextlib
import doctest
import inspect
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from outside_settings import OUTSIDE_SETTINGS
from photographs import scene

import graft
from graft.core.errors import GraftError
from graft.core.project import Project

# In the order of the work: each example goes on where the one before it ended.
ORDER = (
    *("open_project", "import_images", "inspect", "validate", "split", "train", "evaluate", "compare"),
    *("load", "predict", "export", "promote"),
)
PER_CLASS = 40

pytestmark = pytest.mark.slow


def write_photographs(folder: Path) -> None:
    for colour, label in ((0, "rose"), (1, "daisy")):
        (folder / label).mkdir(parents=True)
        for number in range(PER_CLASS):
            scene(colour, 1000 * colour + number).save(folder / label / f"{number:02}.png")


def make_tiny(project: Project) -> None:
    """Settings with which a training takes seconds and downloads nothing."""
    from ruamel.yaml import YAML

    yaml = YAML()
    params = yaml.load(project.params_file)
    train = params["train"]
    train["image_size"], train["run"], train["validation"] = 32, ["frozen"], "split"
    train["backbone"] = {"source": "keras", "name": "MobileNet", "weights": "none"}
    train["strategies"]["frozen"] = {"kind": "frozen", "solver": "sgd", "epochs": 5, "patience": 5}
    train["strategies"]["other"] = {**train["strategies"]["frozen"], "seed": 11}
    params["ensemble"]["ensembles"] = {"both": {"of": ["frozen", "other"], "weights": "equal"}}
    yaml.dump(params, project.params_file)


def run_example(name: str, names: dict[str, Any]) -> list[str]:
    """Run the example of a function in ``names``; return what did not come out as written."""
    text = inspect.getdoc(getattr(graft, name)) or ""
    examples = doctest.DocTestParser().get_examples(text)
    assert examples, f"graft.{name} has no example"
    wrong = []
    for example in examples:
        if not example.want:
            exec(example.source, names)
            continue
        value = eval(example.source, names)
        if not doctest.OutputChecker().check_output(example.want, f"{value!r}\n", 0):
            wrong.append(f"{name}: {example.source.strip()} is {value!r}, not {example.want.strip()}")
    return wrong


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """All examples, run: the names that they leave, and ``wrong``."""
    folder = tmp_path_factory.mktemp("notebook")
    write_photographs(folder / "photographs")
    before = dict(os.environ), tempfile.tempdir, sys.excepthook
    for variable in OUTSIDE_SETTINGS:
        os.environ.pop(variable, None)
    names: dict[str, Any] = {"wrong": []}
    with contextlib.chdir(folder):
        for name in ORDER:
            names["wrong"] += run_example(name, names)
            if name == "open_project":
                make_tiny(names["project"])
        yield names
    os.environ.clear()
    os.environ.update(before[0])
    tempfile.tempdir, sys.excepthook = before[1:]


def test_there_is_an_example_for_everything_that_is_offered() -> None:
    assert sorted(ORDER) == graft.__all__
    assert set(graft.__all__) <= set(dir(graft))
    for name in graft.__all__:
        text = inspect.getdoc(getattr(graft, name)) or ""
        assert "Returns:" in text and "Raises:" in text and "Example:" in text, name


def test_the_examples_come_out_as_written(worked: dict[str, Any]) -> None:
    assert worked["wrong"] == []


def test_results_show_themselves(worked: dict[str, Any]) -> None:
    assert "<iframe" in worked["found"]._repr_html_()
    assert worked["found"].label_errors.empty
    shown = worked["training"]._repr_html_()
    assert "data:image/png" in shown
    assert "data:image/png" in worked["results"]._repr_html_()
    assert "is champion" in worked["promotion"]._repr_html_()


def test_a_confusion_matrix_counts_the_images(worked: dict[str, Any]) -> None:
    images, results = worked["images"], worked["results"]
    of_test = images[images["split"] == "test"]["label"].value_counts()
    assert results.confusion("frozen").sum(axis=1).to_dict() == of_test.to_dict()
    assert int(worked["training"].confusion.to_numpy().sum()) == (images["split"] == "val").sum()
    mistakes = results.mistakes("frozen")
    assert len(mistakes) == round((1 - results.figures.loc["frozen", "accuracy"]) * len(results.predictions("frozen")))


def test_mistakes_are_shown_as_photographs(worked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    results = worked["results"]
    all_of_them = results.predictions("frozen")
    swapped = all_of_them.assign(predicted=all_of_them["label"].map({"daisy": "rose", "rose": "daisy"}))
    monkeypatch.setattr(type(results), "predictions", lambda self, name: swapped)
    assert len(results.mistakes("frozen")) == len(all_of_them)
    assert results._repr_html_().count("<figure") == min(24, len(all_of_them))


def test_predictions_name_what_cannot_be_read(worked: dict[str, Any]) -> None:
    Path("broken.jpg").write_bytes(b"no photograph")
    table = graft.predict(worked["project"], [Path("broken.jpg"), "photographs/rose/00.png"], "frozen")
    assert list(table["label"].isna()) == [True, False]
    assert table.loc[0, "problem"]
    assert isinstance(table, pd.DataFrame)


def test_an_ensemble_is_made_and_compared(worked: dict[str, Any]) -> None:
    project = worked["project"]
    other = graft.train(project, "other")
    assert other._repr_html_().count("data:image/png") == 2  # confusion matrix and learning curves
    made = graft.train(project, "both")
    assert made.history is None
    assert made._repr_html_().count("data:image/png") == 1
    graft.evaluate(project, "both")
    table = graft.compare(project)
    assert list(table.index) == ["frozen", "both"]  # the other is trained, not evaluated
    assert list(table["answer"]).count("best on validation") == 1
    assert list(table["difference"]).count(0.0) >= 1


def test_models_of_other_test_photographs_are_not_compared(worked: dict[str, Any]) -> None:
    project = worked["project"]
    path = project.artifacts("evaluate") / "predictions" / "both.csv"
    whole = path.read_text()
    head, *rows = whole.splitlines()
    path.write_text("\n".join([head, *(f"{number:064x}{row[64:]}" for number, row in enumerate(rows))]) + "\n")
    with pytest.raises(GraftError, match="on other test photographs"):
        graft.compare(project)
    path.write_text(whole)


def test_a_project_is_opened_again_from_within(worked: dict[str, Any]) -> None:
    project = worked["project"]
    again = graft.open_project(project.data / "rose")
    assert again.root == project.root


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda project: graft.train(project, "frozn"), "Did you mean 'frozen'"),
        (lambda project: graft.evaluate(project, "scratch"), "'scratch' is not trained"),
        (lambda project: graft.export(project, "out", "onx", "frozen"), "Did you mean 'onnx'"),
        (lambda project: graft.predict(project, "nothing.jpg", "frozen"), "There is no nothing.jpg"),
        (lambda project: graft.import_images(project, "photographs"), "is not empty"),
        (lambda project: graft.load(project, "unknown"), "There is no model in unknown"),
        (lambda project: graft.promote(project), "is champion already"),
        (lambda project: graft.open_project("photographs"), "No graft project"),
    ],
)
def test_errors_say_what_to_do(worked: dict[str, Any], call: Any, says: str) -> None:
    with pytest.raises(GraftError, match=says):
        call(worked["project"])


def test_nothing_is_trained_in_a_new_project(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((Path(__file__).parents[2] / "params.yaml").read_text())
    for call in (graft.evaluate, graft.compare, graft.promote):
        with pytest.raises(GraftError, match="No model is trained yet"), contextlib.redirect_stdout(io.StringIO()):
            call(Project(tmp_path))


def test_importing_graft_imports_nothing_of_weight() -> None:
    code = "import sys; before = set(sys.modules); import graft; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    others = {name.split(".")[0] for name in done.stdout.split()} - {"graft"}
    assert others <= sys.stdlib_module_names
    assert "graft.api" not in done.stdout.split()


def test_a_name_that_is_not_offered_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        graft.trian  # noqa: B018
