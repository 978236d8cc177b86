"""Real bytes: where a registry answers, fetched once into the checkout's cache; and the copies beside it."""

import hashlib
import json
from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.core.params.models import SplitParams, ValidateParams
from graft.core.project import Project, find_project
from graft.data.folder import versioning
from graft.data.folder.layout import read_layout
from graft.data.scan.manifest import read_manifest
from graft.data.scan.scan_images import scan
from graft.data.sources.catalogue import availability, find_entry, use
from graft.data.splits.split_images import make_split

DIGITS = {
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}


def dvc_hash(folder: Path) -> str:
    """The hash that DVC gives a folder: of a list of its files' hashes, ordered by name."""
    files = [
        {"md5": hashlib.md5(path.read_bytes()).hexdigest(), "relpath": path.relative_to(folder).as_posix()}
        for path in folder.rglob("*")
        if path.is_file()
    ]
    listed = json.dumps(sorted(files, key=lambda file: file["relpath"]), sort_keys=True)
    return f"{hashlib.md5(listed.encode()).hexdigest()}.dir"


@pytest.fixture
def brought_in(project, monkeypatch):
    """Brings a data set in from whichever source answers; hashing is done here, as DVC takes a minute for some."""

    def add(project: Project, *arguments: str) -> None:
        pointer = versioning.pointer_file(project)
        pointer.write_text(f"outs:\n- md5: {dvc_hash(project.data)}\n  path: data\n")

    monkeypatch.setattr(versioning, "run_dvc", add)
    monkeypatch.setenv("GRAFT_CACHE", str(find_project(Path(__file__).parent).cache))

    def bring(name):
        if availability(project, [name])[name] == "unreachable":
            pytest.skip(f"no source of {name} answers here")
        try:
            imported = use(project, name)
        except GraftError as error:
            if "cannot be fetched" in error.what:
                pytest.skip(f"no source of {name} could be fetched: {error.what}")
            raise
        assert versioning.tracked_hash(project) == find_entry(name).dvc_hash
        return imported.counts

    return bring


def test_the_hash_of_these_tests_is_dvcs(brought_in):
    brought_in("traffic_lights")  # whose hash DVC itself gave: see test_catalogue


@pytest.mark.slow
def test_mnist(brought_in):
    counts = brought_in("mnist")
    assert {split: list(classes.values()) for split, classes in counts.items()} == DIGITS


@pytest.mark.slow
def test_fashion_mnist(brought_in):
    counts = brought_in("fashion_mnist")
    assert {split: set(classes.values()) for split, classes in counts.items()} == {"train": {6000}, "test": {1000}}


@pytest.mark.slow
def test_cifar10(brought_in):
    counts = brought_in("cifar10")
    assert {split: set(classes.values()) for split, classes in counts.items()} == {"train": {5000}, "test": {1000}}


@pytest.mark.slow
def test_solar_cells(brought_in):
    assert brought_in("solar_cells") == {
        "train": {"defective": 628, "functional": 1340},
        "test": {"defective": 193, "functional": 463},
    }


def test_dogs_and_cats_from_a_smaller_copy(project, shared, quick_dvc):
    imported = use(project, "dogs_vs_cats", shared("data/dogs_vs_cats.zip"))
    assert imported.counts == {"": {"cat": 700, "dog": 699}}
    assert "It is a part of dogs_vs_cats: 1,399 of 25,000 images" in imported.notes


def test_sign_language_digits_as_in_the_published_protocol(project, shared, quick_dvc, tmp_path):
    imported = use(project, "sign_language_digits", shared("data/sign_language_digits.zip"))
    scan(read_layout(project.data), ValidateParams(), tmp_path / "manifest.parquet")
    split = make_split(read_manifest(tmp_path / "manifest.parquet"), SplitParams(**imported.split_settings))
    assert split.summary["images"] == {"train": 1712, "val": 300, "test": 50}
