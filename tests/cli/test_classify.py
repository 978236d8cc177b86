"""`graft classify` as typed: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny import channel_classifier
from typer.testing import CliRunner

from graft.cli import main
from graft.core.errors import GraftError
from graft.networks.imagenet import imagenet_network as network


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with photographs in it, and a tiny network in the place of what would be loaded."""
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_text("{}\n")
    (tmp_path / "pets").mkdir()
    for name, colour in (("[b]rose.png", (200, 20, 10)), ("pets/leaf.png", (10, 200, 20))):
        Image.new("RGB", (20, 12), colour).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRAFT_CACHE", raising=False)
    asked: list[tuple[Any, ...]] = []

    def load(name: str, weights: Path | None, cache: Path) -> network.ImageNetClassifier:
        asked.append((name, weights, cache))
        print("Downloading something")  # as Keras does
        return channel_classifier()

    monkeypatch.setattr(network, "load_imagenet_classifier", load)
    monkeypatch.setattr(network, "asked", asked, raising=False)
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main.app, ["classify", *arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


def test_each_photograph_with_its_classes_and_percentages(folder: Path) -> None:
    output = run("[b]rose.png", "pets", "--top", "2")
    rows = [line.split() for line in output.splitlines()]
    at = rows.index(["photograph", "class"])
    # Softmax of the means by 50: red (200, 20, 10) is e^4 to e^0.4 to e^0.2, 54.598 to 1.4918 to 1.2214.
    assert rows[at + 1] == ["[b]rose.png", "red", "95.27%"]
    assert rows[at + 2] == ["green", "[bold]", "2.60%"]
    assert rows[at + 3] == ["pets/leaf.png", "green", "[bold]", "95.27%"]
    assert rows[at + 4] == ["blue", "2.60%"]
    assert "ResNet50, weights: a test" in output
    assert "could not" not in output


def test_options_reach_the_network(folder: Path) -> None:
    run("pets", "--backbone", "VGG16", "--weights", "own.h5")
    assert network.asked == [("VGG16", Path("own.h5"), folder / ".graft/cache")]


def test_a_broken_photograph_is_told_and_ends_with_1(folder: Path) -> None:
    (folder / "empty.jpg").touch()
    output = run("empty.jpg", "[b]rose.png", code=1)
    assert "empty.jpg" in output
    assert "not read: the file is empty" in output
    assert "95.27%" in output
    assert "1 of 2 could not be read." in output


def test_json_is_json_and_nothing_else(folder: Path) -> None:
    (folder / "empty.jpg").touch()
    found = json.loads(run("[b]rose.png", "empty.jpg", "--top", "1", "--json", code=1))
    assert found["backbone"] == "Channels"
    assert found["weights"] == "a test"
    assert found["weights_digest"] == "0" * 64
    rose, empty = found["photographs"]
    assert rose["photograph"] == "[b]rose.png"
    (guess,) = rose["classes"]
    assert (guess["label"], guess["index"]) == ("red", 0)
    assert guess["probability"] == pytest.approx(54.598 / (54.598 + 1.4918 + 1.2214), abs=1e-4)
    assert empty == {"photograph": "empty.jpg", "problem": "the file is empty"}


def test_many_photographs_are_all_there(folder: Path) -> None:
    for number in range(70):
        Image.new("RGB", (9, 9), (0, 0, 90)).save(folder / f"pets/{number:02d}.png")
    found = json.loads(run("pets", "--json"))
    assert [Path(one["photograph"]).stem for one in found["photographs"]] == [
        *(f"{number:02d}" for number in range(70)),
        "leaf",
    ]


def test_a_folder_without_images_is_refused_before_anything_is_loaded(folder: Path) -> None:
    (folder / "nothing").mkdir()
    with pytest.raises(GraftError, match="The folder nothing holds no images"):
        run("nothing")
    assert network.asked == []


@pytest.mark.parametrize("arguments", [(), ("pets", "--top", "0"), ("pets", "--top", "1001")])
def test_arguments_that_make_no_sense_are_refused(folder: Path, arguments: tuple[str, ...]) -> None:
    run(*arguments, code=2)
    assert network.asked == []
