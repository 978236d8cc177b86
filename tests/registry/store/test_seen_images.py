"""Which images a model has seen, kept with its run."""

import pandas as pd
import pytest
from mlflow import MlflowClient
from recorded import NAMES

from graft.core.project import Project
from graft.data.splits.split_tables import read_splits
from graft.registry.runs.strategy_runs import read_run
from graft.registry.store.seen_images import IMAGES_FILE, images_of, log_seen_images, read_seen_images, seen_by_members
from graft.registry.store.tracking_store import open_store

pytestmark = pytest.mark.usefixtures("no_outside_settings")


@pytest.fixture
def client(recorded: Project) -> MlflowClient:
    return open_store(recorded)


def digests(seen: pd.DataFrame | None, split: str) -> set[str]:
    assert seen is not None
    return set(seen.loc[seen["split"] == split, "sha256"])


def test_training_keeps_the_images_of_train_and_val_and_no_others(recorded: Project, client: MlflowClient) -> None:
    seen = read_seen_images(client, read_run(recorded.strategy("first"))["run_id"])
    tables = read_splits(recorded, ["train", "val", "test"])
    for split in ("train", "val"):
        assert digests(seen, split) == set(tables[split]["sha256"])
    assert not digests(seen, "train") & set(tables["test"]["sha256"])
    assert digests(seen, "test") == set()


def test_a_run_without_the_record_is_told_from_one_that_saw_nothing(recorded: Project, client: MlflowClient) -> None:
    experiment = client.get_experiment_by_name("tints")
    run_id = client.create_run(experiment.experiment_id).info.run_id
    try:
        assert read_seen_images(client, run_id) is None
        assert seen_by_members(client, [read_run(recorded.strategy("first"))["run_id"], run_id]) is None
        nothing = images_of({"train": pd.DataFrame({"sha256": []}, dtype=str)})
        log_seen_images(client, run_id, nothing)
        seen = read_seen_images(client, run_id)
        assert seen is not None
        assert len(seen) == 0
        assert IMAGES_FILE == "data/images.parquet"
    finally:
        client.delete_run(run_id)


def test_an_ensemble_has_seen_what_its_members_have_each_image_once(recorded: Project, client: MlflowClient) -> None:
    runs = [read_run(recorded.strategy(name))["run_id"] for name in NAMES]
    seen = seen_by_members(client, runs)
    own = read_seen_images(client, runs[0])
    assert own is not None
    assert seen is not None
    assert len(seen) == len(own)
    for split in ("train", "val"):
        assert digests(seen, split) == digests(own, split)
