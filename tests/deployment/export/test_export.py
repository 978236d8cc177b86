"""Every format, loaded in a fresh process as its README says, answers for the test split as the model does."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from recorded import copy_of
from tiny import CLASSES, SIZE

from graft.core.errors import GraftError
from graft.core.project import Project
from graft.core.source_digest import with_imports
from graft.data.splits.split_tables import read_splits
from graft.deployment.export import check_export as check
from graft.deployment.export import export_model as module
from graft.deployment.export import onnx, openvino
from graft.deployment.export.bundle_source import ExportSource, prepare_saved_model
from graft.deployment.export.check_export import ExportCheck, require_accuracy, require_agreement
from graft.deployment.export.export_model import Exported, export
from graft.deployment.export.formats import FORMATS
from graft.deployment.predict.inputs import PhotographFiles
from graft.deployment.predict.predict_photographs import predict_photographs
from graft.networks.code_identity import ANSWERING, DECODING
from graft.networks.engines.open_classifier import open_classifier
from graft.registry.resolve import resolve_model

pytestmark = pytest.mark.usefixtures("no_outside_settings")
FLOATS = list(FORMATS)

# Nothing of graft: what the README says, word for word, once for each photograph.
FRESH = """
import os, sys, types
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.modules["graft"] = None
import numpy as np
import tensorflow as tf
litert = types.ModuleType("ai_edge_litert.interpreter")
litert.Interpreter = tf.lite.Interpreter
sys.modules["ai_edge_litert"] = types.ModuleType("ai_edge_litert")
sys.modules["ai_edge_litert.interpreter"] = litert
out, photographs = os.getcwd(), sys.argv[1].split(",")
for folder in sys.argv[2:]:
    os.chdir(os.path.join(out, folder))
    for name in [name for name in sys.modules if name.startswith("preprocessing")]:
        del sys.modules[name]
    sys.path.insert(0, "")
    found = []
    for photograph in photographs:
        names = {}
        exec(open("usage.py").read().replace("photograph.jpg", photograph), names)
        found.append(np.asarray(names["probabilities"]))
    np.save(os.path.join(out, folder + ".npy"), np.concatenate(found))
"""


def make(project: Project, out: Path, formats: list[str], int8: bool = False, lost: float = 1.0) -> list[Exported]:
    model = resolve_model(project, str(project.strategy("first")))
    return list(export(project, model, formats, int8, lost, out, replace=False))


@pytest.fixture(scope="module")
def exported(recorded: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    out = tmp_path_factory.mktemp("exported")
    made = [*make(recorded, out, FLOATS), *make(recorded, out, ["tflite"], int8=True)]
    return {one.name: one for one in made}


def photographs(folder: Path) -> list[Path]:
    """Files in which there is something to get wrong: size, orientation, transparency, 16 bits."""
    random, found = np.random.default_rng(0), []
    for number in range(2):
        colours = random.integers(0, 256, (12 * (number + 1), 16, 3), np.uint8)
        large = Image.fromarray(colours).resize((1600, 1200), Image.Resampling.NEAREST)
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 1 if number else 6
        found.append(folder / f"large-{number}.jpg")
        large.save(found[-1], quality=90, exif=exif)
    found.append(folder / "clear.png")
    Image.fromarray(random.integers(0, 256, (40, 30, 4), np.uint8), "RGBA").save(found[-1])
    found.append(folder / "deep.png")
    Image.fromarray(random.integers(0, 65536, (40, 30)).astype(np.uint16)).save(found[-1])
    return found


@pytest.mark.slow
def test_c11_each_answers_in_a_fresh_process_as_graft_does(
    recorded: Project, exported: dict[str, Exported], tmp_path: Path
) -> None:
    out = exported["hub"].folder.parent
    files = [*photographs(tmp_path), *map(recorded.data.joinpath, read_splits(recorded, ["test"])["test"]["path"])]
    for one in exported.values():
        (code,) = re.findall(r"```python\n(.*?)```", (one.folder / "README.md").read_text(), re.DOTALL)
        (one.folder / "usage.py").write_text(code)
    command = [sys.executable, "-c", FRESH, ",".join(map(str, files)), *exported]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    model = open_classifier(recorded.strategy("first") / "model")
    answered = list(predict_photographs(model, PhotographFiles(lambda: iter(files)).read()))
    assert not any(problem for some in answered for problem in some.problems)
    expected = np.concatenate([some.probabilities for some in answered])
    assert np.ptp(expected, axis=0).max() > 0.02  # it does tell images apart
    for name in FLOATS:
        np.testing.assert_allclose(np.load(out / f"{name}.npy"), expected, atol=check.TOLERANCE, err_msg=name)
    # Of photographs such as its ranges were set on.
    difference = np.abs(np.load(out / "tflite-int8.npy") - expected)[-len(read_splits(recorded, ["test"])["test"]) :]
    assert 0 < difference.max() < 0.2  # 8 bits of a network whose certainty training has just sharpened


def test_c11_all_code_that_decodes_is_exported_and_names_features(tmp_path: Path) -> None:
    for name, imported in {"a": "b, c", "b": "c", "c": "a", "d": ""}.items():
        lines = [f"from .{other} import x" for other in imported.split(", ") if other]
        (tmp_path / f"{name}.py").write_text("\n".join(["import io", *lines]))
    assert [path.stem for path in with_imports(tmp_path / "a.py")] == ["a", "b", "c"]
    assert {"images", "depth"} <= {path.stem for path in DECODING}
    assert set(DECODING) <= set(ANSWERING)


def test_what_is_reported_is_what_lies_there(exported: dict[str, Exported]) -> None:
    assert list(exported) == [*FLOATS, "tflite-int8"]
    for one in exported.values():
        assert one.folder.name == one.name
        assert (one.folder / "labels.txt").read_text().splitlines() == CLASSES
        about = json.loads((one.folder / "graft.json").read_text())
        assert about["labels"] == CLASSES
        assert about["image_size"] == SIZE
        assert f"{SIZE} x {SIZE} pixels, bilinear with antialiasing" in about["preprocessing"]
        assert about["input_range"] == ([0, 1] if one.name == "hub" else [0, 255])
        assert about["input_kind"] == ("uint8" if one.name == "tflite-int8" else "float32")
        assert about["checked"]["images"] == one.checked.images == 12
        assert about["temperature"] > 0
        assert 0 < one.checked.milliseconds < 10_000
        assert one.bytes > 1000
    assert not list(exported["hub"].folder.parent.glob(".*"))


def test_labels_travel_inside_the_files_that_can_hold_them(exported: dict[str, Exported]) -> None:
    import zipfile

    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported["onnx"].folder / onnx.FILE))
    properties = session.get_modelmeta().custom_metadata_map
    assert json.loads(properties["labels"]) == CLASSES
    assert json.loads(properties["graft"])["image_size"] == SIZE
    assert [given.shape for given in session.get_inputs()] == [["N", SIZE, SIZE, 3]]
    for name in ("tflite", "tflite-int8"):
        with zipfile.ZipFile(exported[name].folder / "model.tflite") as archive:
            assert archive.read("labels.txt").decode().split() == CLASSES
            assert json.loads(archive.read("graft.json"))["labels"] == CLASSES
    assert " ".join(CLASSES) in (exported["openvino"].folder / "model.xml").read_text()


@pytest.mark.slow
def test_the_hub_module_is_one_and_can_be_trained(exported: dict[str, Exported]) -> None:
    code = f"""
import os, warnings
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
warnings.simplefilter("ignore")
import numpy as np, tensorflow_hub as hub, tf_keras
folder = {str(exported["hub"].folder)!r}
module = hub.load(folder)
assert module.regularization_losses == []
assert 0 < len(module.trainable_variables) <= len(module.variables)
images = np.random.default_rng(0).random((6, {SIZE}, {SIZE}, 3)).astype("float32")
np.testing.assert_allclose(module(images, training=True), module(images), atol=1e-6)
layer = hub.KerasLayer(folder, trainable=True)
model = tf_keras.Sequential([layer])
model.compile("sgd", "sparse_categorical_crossentropy")
np.testing.assert_allclose(model.predict(images, verbose=0), module(images), atol=1e-6)
assert len(layer.trainable_weights) == len(module.trainable_variables)
before = [weight.numpy() for weight in layer.trainable_weights]
model.fit(images, np.zeros(6), verbose=0)
changed = [not np.array_equal(old, new.numpy()) for old, new in zip(before, layer.trainable_weights)]
assert all(changed), changed
frozen = tf_keras.Sequential([hub.KerasLayer(folder, trainable=False)])
frozen.build((None, {SIZE}, {SIZE}, 3))
assert frozen.trainable_weights == []
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_is_there_stays_unless_it_may_be_replaced(recorded: Project, tmp_path: Path) -> None:
    (tmp_path / "openvino").mkdir()
    (tmp_path / "openvino" / "mine").write_text("")
    with pytest.raises(GraftError, match=r"openvino is there already.*--replace"):
        make(recorded, tmp_path, ["openvino"])
    assert [path.name for path in tmp_path.rglob("*")] == ["openvino", "mine"]
    model = resolve_model(recorded, str(recorded.strategy("first")))
    list(export(recorded, model, ["openvino"], False, 1.0, tmp_path, replace=True))
    assert {path.name for path in (tmp_path / "openvino").iterdir()} == {
        *("model.xml", "model.bin", "labels.txt", "graft.json", "README.md", "preprocessing")
    }


def test_labels_stay_apart_in_openvino_which_allows_no_spaces(recorded: Project, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        saved_model, size = prepare_saved_model(recorded.strategy("first") / "model", Path(temporary) / "m")
        openvino.write(ExportSource(saved_model, size, ["a b", "a_b", "a b_"], {}), tmp_path)
    assert "a_b a_b_ a_b__" in (tmp_path / "model.xml").read_text()


def test_a_class_with_a_line_break_is_refused(
    recorded: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels.txt has a line for each class."""
    monkeypatch.setattr(module, "read_checked", lambda bundle: {"classes": ["red\nish", "green"]})
    with pytest.raises(GraftError, match="holds a line break"):
        make(recorded, tmp_path / "out", ["openvino"])
    assert not (tmp_path / "out").exists()


def test_an_export_that_answers_otherwise_is_refused(
    recorded: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = module.load_exported

    def off(folder: Path, name: str) -> object:
        run = original(folder, name)
        return lambda images: run(images[..., ::-1])  # blue for red

    monkeypatch.setattr(module, "load_exported", off)
    with pytest.raises(GraftError, match=r"as openvino does not answer as the model does.*is not written"):
        make(recorded, tmp_path / "out", ["openvino"])
    assert list((tmp_path / "out").iterdir()) == []


def test_a_converter_that_fails_is_one_sentence(
    recorded: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: object, folder: Path) -> None:
        raise RuntimeError("no such operation: Odd\nand a page more")

    monkeypatch.setattr(onnx, "write", refuse)
    with pytest.raises(GraftError, match="cannot be exported as onnx: no such operation: Odd. Choose another"):
        make(recorded, tmp_path / "out", ["onnx"])
    assert list((tmp_path / "out").iterdir()) == []


def test_photographs_of_other_things_are_refused(recorded: Project, tmp_path: Path) -> None:
    project = copy_of(recorded, tmp_path / "project")
    path = project.split_table("val")
    path.write_text(path.read_text().replace("red", "pink"))
    with pytest.raises(GraftError, match="the label 'pink', which the model does not know"):
        make(project, tmp_path / "out", ["openvino"])


def test_a_changed_model_is_not_exported(recorded: Project, tmp_path: Path) -> None:
    project = copy_of(recorded, tmp_path / "project")
    graph = project.strategy("first") / "model" / "saved_model" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes() + b"\0")
    with pytest.raises(GraftError, match="saved_model.pb is not as it was written"):
        make(project, tmp_path / "out", ["saved_model"])


def figures(**changes: float) -> ExportCheck:
    same = {"images": 200, "largest_difference": 1e-5, "same_label": 1.0, "accuracy": 0.98}
    return ExportCheck(**{**same, "accuracy_of_model": 0.985, "milliseconds": 1.0, **changes})  # type: ignore[arg-type]


def test_limits_are_where_they_are_said_to_be() -> None:
    require_agreement("onnx", figures(largest_difference=1e-4))
    for difference in (1.1e-4, float("nan")):
        with pytest.raises(GraftError, match="off by"):
            require_agreement("onnx", figures(largest_difference=difference))
    require_accuracy("tflite-int8", figures(), 0.006)
    require_accuracy("tflite-int8", figures(accuracy=1.0), 0.0)
    with pytest.raises(GraftError, match=r"loses 0.50% of accuracy on 200 .* 98.00% instead of 98.50%"):
        require_accuracy("tflite-int8", figures(), 0.004)


def test_the_test_split_is_never_looked_at(recorded: Project, tmp_path: Path) -> None:
    project = copy_of(recorded, tmp_path / "project")
    for path in read_splits(project, ["test"])["test"]["path"]:
        (project.data / path).unlink()
    make(project, tmp_path / "out", ["openvino"])
