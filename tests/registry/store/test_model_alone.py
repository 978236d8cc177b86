"""The logged model where graft is not: its own code answers, and no code from elsewhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from graft.bundle.model import ImageClassifier
from graft.core.project import Project
from graft.data.splits.split_tables import read_splits
from graft.registry.runs.strategy_runs import read_run
from graft.registry.store.logged_models import model_hash

CODE = """
import json, sys
sys.modules["graft"] = None  # any import of it fails
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
answers = model.predict(pd.DataFrame({"path": sys.argv[3:]}))
print(sys.modules["graft_model"].__file__)
print(json.dumps(answers["probability"].tolist()))
"""


@pytest.mark.slow
def test_it_answers_where_graft_cannot_be_imported(recorded: Project, tmp_path: Path) -> None:
    # What lies in the working directory comes first on Python's path, and would be run in the model's place.
    (tmp_path / "graft_model").mkdir()
    (tmp_path / "graft_model" / "__init__.py").write_text("raise SystemExit('code from outside the model')")
    record = read_run(recorded.strategy("first"))
    paths = [str(recorded.data / path) for path in read_splits(recorded, ["test"])["test"]["path"][:3]]
    done = subprocess.run(
        [sys.executable, "-c", CODE, recorded.tracking_uri, record["model_uri"], *paths],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GRAFT_MODEL_PATHS": str(recorded.data)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    where, answers = done.stdout.splitlines()[-2:]
    assert Path(where).is_relative_to(recorded.mlflow_artifacts)
    expected = ImageClassifier(recorded.strategy("first") / "model").predict(list(map(Path, paths)))
    assert json.loads(answers) == pytest.approx(expected["probability"].tolist(), abs=1e-6)


def test_the_hash_is_of_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "code").mkdir(parents=True)
    (folder / "MLmodel").write_text("a")
    (folder / "code" / "x.py").write_text("b")
    first = model_hash(folder)
    (folder / "registered_model_meta").write_text("MLflow writes it at a download")
    (folder / "code" / "__pycache__").mkdir()
    (folder / "code" / "__pycache__" / "x.pyc").write_text("so does Python")
    assert model_hash(folder) == first
    (folder / "code" / "x.py").rename(folder / "code" / "y.py")
    assert model_hash(folder) != first
    (folder / "code" / "y.py").rename(folder / "code" / "x.py")
    assert model_hash(folder) == first
    (folder / "MLmodel").write_text("c")
    assert model_hash(folder) != first
