"""A copy of the feature store that machines share: what one computed the others fetch, and it never stops a run."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from services import BUCKET, object_store

from graft.core.errors import GraftError
from graft.core.params.train_params import StoreParams
from graft.networks.features import shared_store
from graft.networks.features.feature_store import FeatureStore, Space
from graft.networks.features.shards import shards_of

GB = 10**9
KEYS = [bytes([number]) * 32 for number in range(6)]
ROWS = np.arange(24, dtype=np.float32).reshape(6, 4)


def space(folder: Path, address: str, limit: int = GB) -> Space:
    return FeatureStore(folder, limit, shared=address).space({"network": "tiny"}, "tiny")


def read(found: Space) -> list[int]:
    out = np.zeros_like(ROWS)
    missing = list(found.read(KEYS, out))
    for index in set(range(6)) - set(missing):
        np.testing.assert_array_equal(out[index], ROWS[index])
    return missing


@pytest.fixture(params=["file", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "file":
        yield f"file://{tmp_path / 'shared'}"
        return
    s3fs = pytest.importorskip("s3fs", reason="needs the package s3fs")
    # Both are of the process, and other tests' servers have other ports under the same address.
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(shared_store.SharedStore, "_away", set())
    with object_store() as server:
        for name, value in server.settings.items():
            monkeypatch.setenv(name, value)
        yield f"s3://{BUCKET}/features"


def test_what_one_machine_computed_another_fetches_and_hands_on(tmp_path: Path, address: str) -> None:
    one = space(tmp_path / "one", address)
    assert one.write(KEYS[:4], ROWS[:4])
    other = space(tmp_path / "other", address)
    assert read(other) == [4, 5]
    assert (other.folder / "space.json").is_file()
    assert other.write(KEYS[4:], ROWS[4:])
    assert read(space(tmp_path / "one", address)) == []
    assert [path.name for path in shards_of(one.folder)] == [path.name for path in shards_of(other.folder)]


def test_what_was_computed_before_it_was_set_is_handed_over(tmp_path: Path) -> None:
    address = f"file://{tmp_path / 'shared'}"
    assert space(tmp_path / "one", "").write(KEYS, ROWS)
    space(tmp_path / "one", address)
    assert read(space(tmp_path / "other", address)) == []


def test_what_does_not_fit_stays_there(tmp_path: Path) -> None:
    address = f"file://{tmp_path / 'shared'}"
    space(tmp_path / "one", address).write(KEYS, ROWS)
    assert read(space(tmp_path / "other", address, limit=10)) == list(range(6))


def test_what_is_no_shard_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"file://{tmp_path / 'shared'}"
    one = space(tmp_path / "one", address)
    one.write(KEYS, ROWS)
    there = tmp_path / "shared" / one.folder.name
    (there / f"{'0' * 32}.arrow").write_bytes(b"torn")
    (there / "..evil.arrow").write_bytes(b"not a name of a shard")
    other = space(tmp_path / "other", address)
    assert read(other) == []
    assert len(shards_of(other.folder)) == 1
    assert "a shard is passed over" in capsys.readouterr().out.replace("\n", " ")


def test_a_place_that_does_not_answer_costs_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_store.SharedStore, "_away", set())
    (tmp_path / "file").touch()
    address = f"file://{tmp_path / 'file' / 'below'}"
    found = space(tmp_path / "one", address)
    assert found.write(KEYS, ROWS)
    assert read(space(tmp_path / "one", address)) == []
    assert capsys.readouterr().out.replace("\n", " ").count("is left out of this run") == 1


def test_an_address_of_no_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match=r"train.store.shared is nowhere://x, which cannot be opened"):
        space(tmp_path / "one", "nowhere://x")
    with pytest.raises(ValueError, match="is no address, such as s3://BUCKET/features"):
        StoreParams.model_validate({"shared": "features"})
