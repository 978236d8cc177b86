"""`graft cache`: what is kept, whether it is whole, and making it smaller."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from graft.cli.main import app
from graft.core.errors import GraftError
from graft.core.project import Project
from graft.networks.engines.artifact_cache import keep
from graft.networks.features.feature_store import FeatureStore

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(project: Project, monkeypatch: pytest.MonkeyPatch) -> FeatureStore:
    """Three spaces of a project whose working directory this is."""
    shutil.copy(ROOT / "params.yaml", project.root)
    monkeypatch.chdir(project.root)
    monkeypatch.delenv("GRAFT_CACHE", raising=False)
    store = FeatureStore(project.features, 10**9)
    keys = [bytes([number]) * 32 for number in range(40)]
    backbone = {"backbone": "MobileNetV2", "image_size": 96}
    for label in ("features, average, mirrored", "activations at block_12_add, view 3", "activations at block_5_add"):
        store.space({**backbone, "part": label}, label).write(keys, np.ones((40, 1000), np.float32))
    return store


def test_info_names_what_is_kept(store: FeatureStore) -> None:
    result = CliRunner().invoke(app, ["cache", "info"])
    assert result.exit_code == 0
    assert "MobileNetV2 at 96 px" in result.output
    for kept in ("features, average, mirrored", "activations at block_12_add, view 3", "activations at block_5_add "):
        assert kept in result.output
    assert result.output.count(" 40 ") == 3
    assert "0.00 GB of 20 in" in result.output
    assert "beside that" not in result.output
    (store.folder.parent / "made").mkdir()
    keep(store.folder.parent / "made", store.artifact_folder({"export": 1}))
    assert "0.00 GB of 2 beside that" in CliRunner().invoke(app, ["cache", "info"]).output


def test_an_empty_store_is_no_error(store: FeatureStore) -> None:
    shutil.rmtree(store.folder)
    for verb in ("info", "verify", "prune"):
        assert CliRunner().invoke(app, ["cache", verb]).exit_code == 0


def test_verify_finds_and_removes_what_is_damaged(store: FeatureStore) -> None:
    made = store.folder.parent / "made"
    made.mkdir()
    (made / "graph").write_bytes(b"graph")
    kept = store.artifact_folder({"export": 1})
    keep(made, kept)
    output = CliRunner().invoke(app, ["cache", "verify"]).output
    assert output.endswith("All 3 shards and 1 kept networks are whole\n")
    shard = store.shards()[1]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    result = CliRunner().invoke(app, ["cache", "verify"])
    assert isinstance(result.exception, GraftError)
    assert "1 of 3 shards and 0 of 1 kept networks were damaged" in str(result.exception)
    assert not shard.exists()
    (kept / "graph").write_bytes(b"other")
    result = CliRunner().invoke(app, ["cache", "verify"])
    assert "0 of 2 shards and 1 of 1 kept networks were damaged" in str(result.exception)
    assert not kept.exists()
    assert CliRunner().invoke(app, ["cache", "verify"]).exit_code == 0


def test_prune_leaves_what_was_asked_for(store: FeatureStore) -> None:
    size = store.bytes_used() // 3
    assert CliRunner().invoke(app, ["cache", "prune"]).exit_code == 0
    assert store.bytes_used() == 3 * size
    CliRunner().invoke(app, ["cache", "prune", "--to-gb", str(2.5 * size / 1e9)])
    assert store.bytes_used() == 2 * size
    assert CliRunner().invoke(app, ["cache", "prune", "--to-gb", "0"]).exit_code == 0
    assert list(store.folder.iterdir()) == []
