"""The feature store: what was written is what is read, or it is computed again; never anything else."""

import errno
import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.networks.features.feature_store import DESCRIPTION_FILE, FeatureStore, Space

WIDTH = 6
PLENTY = 10**9


def keys(start: int, stop: int) -> list[bytes]:
    return [hashlib.sha256(str(number).encode()).digest() for number in range(start, stop)]


def rows(start: int, stop: int) -> np.ndarray:
    return (np.arange(start, stop)[:, None] + np.arange(WIDTH) / 10).astype(np.float32)


def open_space(folder: Path, limit: int = PLENTY, **description: Any) -> Space:
    return FeatureStore(folder, limit).space({"weights": "abc", **description})


def read(space: Space, start: int, stop: int) -> tuple[np.ndarray, list[int]]:
    out = np.full((stop - start, WIDTH), np.nan, np.float32)
    return out, space.read(keys(start, stop), out).tolist()


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A store with the rows 0 to 8 in one space, in two shards."""
    space = open_space(tmp_path / "store")
    space.write(keys(0, 5), rows(0, 5))
    space.write(keys(5, 8), rows(5, 8))
    return tmp_path / "store"


def shard_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*/*.arrow") if not path.name.startswith("."))


def test_what_was_written_is_read_and_the_rest_is_missing(filled: Path) -> None:
    found, missing = read(open_space(filled), 3, 10)
    np.testing.assert_array_equal(found[:5], rows(3, 8))
    assert np.isnan(found[5:]).all()
    assert missing == [5, 6]


def test_no_keys_are_asked_for_and_none_are_missing(filled: Path) -> None:
    assert read(open_space(filled), 3, 3)[1] == []


def test_a_space_knows_what_it_has_just_written(tmp_path: Path) -> None:
    space = open_space(tmp_path)
    assert read(space, 0, 2)[1] == [0, 1]
    space.write(keys(0, 2), rows(0, 2))
    assert keys(1, 2)[0] in space
    np.testing.assert_array_equal(read(space, 0, 2)[0], rows(0, 2))


def test_rows_of_any_shape_and_of_half_precision(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).normal(size=(3, 2, 2, 5)).astype(np.float16)
    space = open_space(tmp_path)
    space.write(keys(0, 3), maps)
    out = np.zeros((3, 2, 2, 5), np.float32)
    assert not len(open_space(tmp_path).read(keys(0, 3), out))
    np.testing.assert_array_equal(out, maps.astype(np.float32))


def test_half_precision_takes_half_the_room_and_is_a_space_of_its_own(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=(50, 1000)).astype(np.float32)
    sizes = []
    for precision in ("float32", "float16"):
        space = FeatureStore(tmp_path, PLENTY, precision).space({"weights": "abc"})
        assert len(space) == 0
        kept = space.as_stored(numbers)
        space.write(keys(0, 50), kept)
        out = np.zeros_like(numbers)
        assert not len(space.read(keys(0, 50), out))
        np.testing.assert_array_equal(out, kept.astype(np.float32))
        np.testing.assert_allclose(out, numbers, rtol=0 if precision == "float32" else 5e-4, atol=1e-7)
        sizes.append(sum(path.stat().st_size for path in space.folder.glob("*.arrow")))
    assert sizes[1] < 0.55 * sizes[0]


def test_numbers_too_large_for_half_precision_are_kept_whole(tmp_path: Path) -> None:
    space = FeatureStore(tmp_path, PLENTY, "float16").space({})
    large = np.array([[1e5, 1.0]], np.float32)
    assert space.as_stored(large).dtype == np.float32
    space.write(keys(0, 1), space.as_stored(large))
    out = np.zeros_like(large)
    space.read(keys(0, 1), out)
    np.testing.assert_array_equal(out, large)


def test_many_shards_are_not_so_many_open_files(tmp_path: Path) -> None:
    space = open_space(tmp_path)
    for number in range(30):
        space.write(keys(number, number + 1), rows(number, number + 1))
    again = open_space(tmp_path)
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        pytest.skip("open maps are known on Linux alone")
    assert read(again, 0, 30)[1] == []
    assert str(tmp_path) not in maps.read_text()


def test_the_disk_is_not_looked_at_for_every_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    prune = FeatureStore.prune
    monkeypatch.setattr(
        FeatureStore, "prune", lambda self, *args, **options: looks.append(1) or prune(self, *args, **options)
    )
    space = open_space(tmp_path)
    for number in range(20):
        space.write(keys(number, number + 1), rows(number, number + 1))
    assert len(looks) == 1
    # Near the limit it is, so that the limit holds.
    limit = 25 * shard_files(tmp_path)[0].stat().st_size
    other = FeatureStore(tmp_path, limit).space({"other": True})
    for number in range(20):
        other.write(keys(number, number + 1), rows(number, number + 1))
        assert FeatureStore(tmp_path, limit).bytes_used() <= limit


def test_another_description_is_another_space(filled: Path) -> None:
    assert read(open_space(filled, weights="abd"), 0, 2)[1] == [0, 1]
    assert read(open_space(filled, cut="block_5_add"), 0, 2)[1] == [0, 1]
    assert read(open_space(filled), 0, 2)[1] == []
    text = next(filled.glob(f"*/{DESCRIPTION_FILE}")).read_text()
    assert '"weights": "abc"' in text


# --- damage ---------------------------------------------------------------------------------------------------


def test_a_shard_cut_off_at_any_byte_is_noticed_and_written_again(filled: Path) -> None:
    path = max(shard_files(filled), key=lambda p: p.stat().st_size)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        space = open_space(filled)
        found, missing = read(space, 0, 8)
        served = [index for index in range(8) if index not in missing]
        np.testing.assert_array_equal(found[served], rows(0, 8)[served])
        assert missing
        assert not path.exists()
    space.write([keys(0, 8)[i] for i in missing], rows(0, 8)[missing])
    np.testing.assert_array_equal(read(open_space(filled), 0, 8)[0], rows(0, 8))


def test_a_flipped_bit_anywhere_is_never_served(filled: Path) -> None:
    path = shard_files(filled)[0]
    whole = path.read_bytes()
    for position in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[position] ^= 4
        path.write_bytes(damaged)
        found, missing = read(open_space(filled), 0, 8)
        served = [index for index in range(8) if index not in missing]
        np.testing.assert_array_equal(found[served], rows(0, 8)[served])
        path.write_bytes(whole)


def test_rows_of_another_width_are_not_served(filled: Path) -> None:
    out = np.zeros((2, WIDTH + 1), np.float32)
    assert open_space(filled).read(keys(0, 2), out).tolist() == [0, 1]


def test_a_store_deleted_under_way_loses_nothing_but_what_is_computed_again(filled: Path) -> None:
    import shutil

    space = open_space(filled)
    shutil.rmtree(filled)
    found, missing = read(space, 0, 8)  # still mapped, on systems that allow it
    served = [index for index in range(8) if index not in missing]
    np.testing.assert_array_equal(found[served], rows(0, 8)[served])
    assert space.write(keys(8, 9), rows(8, 9))
    assert read(open_space(filled), 0, 9)[1] == list(range(8))


def test_a_full_disk_is_said_and_leaves_nothing_half_written(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    space = open_space(filled)
    before = sorted(filled.rglob("*"))
    monkeypatch.setattr(os, "fsync", full)
    assert not space.write(keys(8, 12), rows(8, 12))
    assert "No space left" in capsys.readouterr().out
    assert sorted(filled.rglob("*")) == before
    assert read(open_space(filled), 0, 12)[1] == [8, 9, 10, 11]


WRITER = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from test_feature_store import keys, open_space, rows
space = open_space(Path(sys.argv[1]))
print("ready", flush=True)
for start in range(0, 100_000, 50):
    space.write(keys(start, start + 50), rows(start, start + 50))
"""


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_whole_rows_only(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for _ in range(6):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(Path(__file__).parent)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            while not shard_files(tmp_path):
                pass
            try:
                process.wait(float(random.uniform(0, 0.2)))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        found, missing = read(open_space(tmp_path), 0, 2000)
        served = sorted(set(range(2000)) - set(missing))
        assert served
        np.testing.assert_array_equal(found[served], rows(0, 2000)[served])


def write_all(folder: Path, offset: int) -> None:
    space = open_space(folder)
    for start in range(offset, offset + 200, 20):
        space.write(keys(start, start + 20), rows(start, start + 20))


@pytest.mark.slow
def test_two_writers_do_not_need_to_know_of_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        pool.starmap(write_all, [(tmp_path, 0), (tmp_path, 100)])  # half of the rows are written twice
    found, missing = read(open_space(tmp_path), 0, 300)
    assert missing == []
    np.testing.assert_array_equal(found, rows(0, 300))


# --- the limit ------------------------------------------------------------------------------------------------


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    for number in range(4):
        open_space(tmp_path, number=number).write(keys(0, 5), rows(0, 5))
    files = {number: next(open_space(tmp_path, number=number).folder.glob("*.arrow")) for number in range(4)}
    for number, path in files.items():
        os.utime(path, (1000 + number, 1000 + number))
    read(open_space(tmp_path, number=0), 0, 5)  # used now, so that it is the youngest
    size = files[0].stat().st_size
    store = FeatureStore(tmp_path, 2 * size)
    assert store.prune() == 2 * size
    assert [number for number, path in files.items() if path.exists()] == [0, 3]
    assert not files[1].parent.exists()
    assert store.bytes_used() == 2 * size


def test_a_space_stops_at_the_limit_and_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = open_space(tmp_path)
    space.write(keys(0, 5), rows(0, 5))
    limit = 3 * shard_files(tmp_path)[0].stat().st_size
    space = open_space(tmp_path, limit)
    kept = [space.write(keys(start, start + 5), rows(start, start + 5)) for start in range(5, 40, 5)]
    assert kept[0]
    assert not kept[-1]
    assert FeatureStore(tmp_path, limit).bytes_used() <= limit
    assert capsys.readouterr().out.count("are not kept") == 1
    assert read(space, 0, 10)[1] == []
    assert not open_space(tmp_path, limit=0, other=True).write(keys(0, 1), rows(0, 1))


def test_a_shard_that_another_process_pruned_does_not_come_back_empty(filled: Path) -> None:
    space = open_space(filled)
    assert FeatureStore(filled, PLENTY).prune(0)
    read(space, 0, 8)
    assert shard_files(filled) == []


def test_a_space_goes_with_what_a_killed_writer_left(filled: Path) -> None:
    store = FeatureStore(filled, PLENTY)
    for folder in store.space_folders():
        partial = folder / f".shard-{'0' * 32}.partial"
        partial.write_bytes(b"half")
        os.utime(partial, (0, 0))
    store.prune(0)
    assert store.space_folders() == []
