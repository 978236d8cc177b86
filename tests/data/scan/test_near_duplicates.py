"""Near-duplicates: against a search of every pair, and on pictures that are alike in one respect only."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import frame, scene, write_picture, write_series
from PIL import Image
from scipy.sparse.csgraph import connected_components

from graft.core.errors import GraftError
from graft.core.params.models import ValidateParams
from graft.data.folder.layout import read_layout
from graft.data.scan import near_duplicates
from graft.data.scan.manifest import read_manifest
from graft.data.scan.near_duplicates import (
    Limits,
    components,
    find_near_duplicates,
    near_hashes,
    read_near_duplicates,
    write_near_duplicates,
)
from graft.data.scan.scan_images import scan

LIMITS = Limits(4, 0.02)


def near_duplicates_in(root: Path, limits: Limits = LIMITS) -> pd.DataFrame:
    manifest = root.parent / "manifest.parquet"
    scan(read_layout(root), ValidateParams(), manifest)
    return find_near_duplicates(read_manifest(manifest, thumbnails=True), limits)


def grouped(table: pd.DataFrame) -> list[list[str]]:
    return sorted(sorted(rows["path"]) for _, rows in table.groupby("group"))


def every_pair(hashes: np.ndarray, thumbnails: np.ndarray, limits: Limits) -> np.ndarray:
    """The components by comparing every image with every other."""
    alike = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= limits.bits
    difference = thumbnails[:, None, :].astype(float) - thumbnails[None, :, :]
    near = np.sqrt((difference**2).mean(axis=2)) / 255 <= limits.difference
    return connected_components(alike & near, directed=False)[1]


def same_partition(left: np.ndarray, right: np.ndarray) -> bool:
    return len(set(zip(left, right, strict=True))) == len(set(left)) == len(set(right))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    flips=st.integers(0, 3),
    bits=st.integers(0, 8),
    difference=st.floats(0, 0.06),
    portion=st.sampled_from([5, 50, 10_000]),
)
def test_groups_are_those_of_a_search_of_every_pair(
    seed: int, flips: int, bits: int, difference: float, portion: int
) -> None:
    random = np.random.default_rng(seed)
    count = 120
    hashes = random.integers(0, 2**64, 12, dtype=np.uint64)[random.integers(0, 12, count)]
    for _ in range(flips):
        hashes = hashes ^ (np.uint64(1) << random.integers(0, 64, count).astype(np.uint64))
    scenes = random.integers(0, 256, (4, 192)).astype(float)[random.integers(0, 4, count)]
    noise = random.normal(0, random.uniform(0.5, 8), (count, 192)) + random.normal(0, 2, (count, 1))
    thumbnails = np.clip(scenes + noise, 0, 255).astype(np.uint8)
    limits = Limits(bits, difference)
    with pytest.MonkeyPatch.context() as patch:
        # Every way of dividing the work gives the same groups.
        for name in ("_PAIRS", "_COMPARED", "_LINKS", "_SETTLED"):
            patch.setattr(near_duplicates, name, portion)
        found = components(hashes, thumbnails, limits)
    assert same_partition(found, every_pair(hashes, thumbnails, limits))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), bits=st.integers(0, 8), portion=st.sampled_from([5, 50, 10_000]))
def test_every_pair_of_near_hashes_is_found_once(seed: int, bits: int, portion: int) -> None:
    random = np.random.default_rng(seed)
    hashes = np.unique(
        random.integers(0, 2**64, 9, dtype=np.uint64)[random.integers(0, 9, 150)]
        ^ (np.uint64(1) << random.integers(0, 64, 150).astype(np.uint64))
        ^ (np.uint64(1) << random.integers(0, 64, 150).astype(np.uint64))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "_PAIRS", portion)
        pairs = [tuple(sorted(p)) for part in near_hashes(hashes, bits) for p in zip(*part, strict=True)]
    rows, columns = np.nonzero(np.triu(np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= bits, 1))
    assert sorted(pairs) == sorted(zip(rows, columns, strict=True))


def test_frames_of_one_series_are_a_group_and_other_scenes_are_not(tmp_path: Path) -> None:
    write_series(tmp_path / "data" / "cat", "a", 1, 4)
    write_series(tmp_path / "data" / "dog", "b", 2, 3)
    write_picture(scene(3), tmp_path / "data" / "dog" / "alone.png")
    found = near_duplicates_in(tmp_path / "data")
    assert grouped(found) == [[f"cat/a-00{i}.png" for i in range(4)], [f"dog/b-00{i}.png" for i in range(3)]]
    for name, rows in found.groupby("group"):
        assert name == min(rows["sha256"])


def test_a_saved_again_picture_is_a_near_duplicate_and_a_copy_is_too(tmp_path: Path) -> None:
    first = write_picture(scene(5), tmp_path / "data" / "cat" / "first.png")
    (tmp_path / "data" / "cat" / "copy.png").write_bytes(first.read_bytes())
    scene(5).save(tmp_path / "data" / "cat" / "saved.jpg", quality=85)
    write_picture(scene(6), tmp_path / "data" / "cat" / "other.png")
    assert grouped(near_duplicates_in(tmp_path / "data")) == [["cat/copy.png", "cat/first.png", "cat/saved.jpg"]]


def test_a_hash_alone_or_a_thumbnail_alone_is_not_enough() -> None:
    random = np.random.default_rng(0)
    hashes = np.array([7, 7, 7 ^ 0x1F00000], dtype=np.uint64)
    picture = random.integers(0, 256, 192)
    other = (picture + 60) % 256
    thumbnails = np.stack([picture, other, picture]).astype(np.uint8)
    assert len(set(components(hashes, thumbnails, LIMITS))) == 3
    assert len(set(components(hashes[[0, 0, 0]], thumbnails, LIMITS))) == 2
    assert len(set(components(hashes, thumbnails[[0, 0, 0]], LIMITS))) == 2


def test_limits_decide(tmp_path: Path) -> None:
    pixels = np.asarray(frame(1, 0)).astype(np.int16)
    write_picture(frame(1, 0), tmp_path / "data" / "cat" / "a.png")
    brighter = np.clip(pixels + 10, 0, 255).astype(np.uint8)
    write_picture(Image.fromarray(brighter), tmp_path / "data" / "cat" / "b.png")
    assert near_duplicates_in(tmp_path / "data").empty
    assert len(near_duplicates_in(tmp_path / "data", Limits(4, 0.06))) == 2


def test_unreadable_images_have_no_near_duplicates(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "data" / "cat").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "cat" / f"{name}.png").touch()
    assert near_duplicates_in(tmp_path / "data").empty


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random", "one hash", "static film"])
def test_a_hundred_thousand_images_take_seconds(kind: str) -> None:
    random = np.random.default_rng(0)
    count = 100_000 if kind == "random" else 20_000
    if kind == "static film":
        thumbnails = np.clip(random.integers(0, 256, 192) + random.normal(0, 1.5, (count, 192)), 0, 255)
        hashes = np.uint64(99) ^ (np.uint64(1) << random.integers(0, 64, count).astype(np.uint64))
    else:
        thumbnails = random.integers(0, 256, (count, 192))
        hashes = random.integers(0, 2**64, count, dtype=np.uint64)
    if kind == "one hash":
        hashes[:] = 7
    start = time.process_time()
    found = components(hashes, thumbnails.astype(np.uint8), LIMITS)
    assert time.process_time() - start < 60  # CPU seconds: 1, 4 and 1
    assert len(set(found)) == (1 if kind == "static film" else count)


def test_groups_survive_the_way_through_their_file(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"path": ['NA/"a", b.png', "null/cr\rb.png"], "sha256": ["0" * 64, "1" * 64], "label": ["NA", "null"],
         "group": ["0" * 64] * 2}
    )  # fmt: skip
    write_near_duplicates(table, tmp_path / "near.csv")
    pd.testing.assert_frame_equal(read_near_duplicates(tmp_path / "near.csv"), table, check_dtype=False)
    write_near_duplicates(table.iloc[:0], tmp_path / "near.csv")
    assert read_near_duplicates(tmp_path / "near.csv").empty


def test_a_missing_or_foreign_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match=r"no list of near-duplicates at .* Make it with `dvc repro -f validate`"):
        read_near_duplicates(tmp_path / "near.csv")
    (tmp_path / "near.csv").write_text("a,b\n1,2\n")
    with pytest.raises(GraftError, match="has the columns a, b instead of path, sha256, label, group"):
        read_near_duplicates(tmp_path / "near.csv")
