"""Properties of tables that graft writes: every name reads back as it was, in every form."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from graft.deployment.predict.predict_photographs import PredictedBatch
from graft.deployment.predict.prediction_tables import rows_of, write_table

CI = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
# What a file's or a class's name may hold, and a file of a table must not be ended, split or doubled by.
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8) | (
    st.sampled_from(["a,b", 'a"b', "a\nb", "a\rb", "a\r\nb", "-1", "=1+1", "NA", "null", " a ", "\ufeffa", "é", "1e3"])
)
CLASSES = st.lists(NAMES, min_size=2, max_size=4, unique=True)


@pytest.mark.parametrize("form", [".csv", ".json", ".jsonl", ".parquet"])
@settings(CI, max_examples=25)
@given(names=st.lists(NAMES, min_size=1, max_size=4), classes=CLASSES)
@example(names=["a\rb", "c"], classes=["dog\r", "cat"])
def test_names_and_answers_read_back_as_they_were(
    form: str, names: list[str], classes: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("table") / f"table{form}"
    probabilities = np.zeros((len(names), len(classes)), np.float32)
    probabilities[np.arange(len(names)), np.arange(len(names)) % len(classes)] = 1
    problems = ["" if number % 3 else f"no {name}" for number, name in enumerate(names)]
    labels = [None if problem else classes[number % len(classes)] for number, problem in enumerate(problems)]
    batch = PredictedBatch(names, names, problems, probabilities, [label or "" for label in labels])
    write_table([rows_of(batch, classes)], path, classes)
    read = {".csv": as_csv, ".json": as_json, ".jsonl": as_lines, ".parquet": as_parquet}[form](path)
    assert [(row["path"], row["label"] or None, row["problem"] or None) for row in read] == [
        (name, label, problem or None) for name, label, problem in zip(names, labels, problems, strict=True)
    ]


def as_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline=""), strict=True))


def as_json(path: Path) -> list[dict[str, str]]:
    return list(json.loads(path.read_text(encoding="utf-8")))


def as_lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def as_parquet(path: Path) -> list[dict[str, str]]:
    import pyarrow.parquet as pq

    return list(pq.read_table(path).to_pylist())
