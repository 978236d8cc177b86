"""A bundle that was changed is refused before any of it is loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from graft.bundle.model import ImageClassifier
from graft.bundle.record import ChangedModelError, read_checked, read_settings, write_settings


def test_what_was_written_is_taken(hollow_bundle: Path) -> None:
    settings = read_checked(hollow_bundle)
    assert settings == read_settings(hollow_bundle)
    assert settings["files"].keys() == {"saved_model/saved_model.pb", "saved_model/variables/data"}


def test_a_bundle_may_be_moved_and_written_again(hollow_bundle: Path, tmp_path: Path) -> None:
    moved = shutil.move(hollow_bundle, tmp_path / "elsewhere")
    settings = read_checked(moved)
    del settings["files"]
    write_settings(moved, settings)
    read_checked(moved)


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "bit": (lambda b: flip_a_bit(b / "saved_model/variables/data"), "variables/data is not as it was written"),
    "cut": (lambda b: (b / "saved_model/saved_model.pb").write_bytes(b"gra"), "saved_model.pb is not as it was"),
    "missing": (lambda b: (b / "saved_model/saved_model.pb").unlink(), "saved_model.pb is missing"),
    "added": (lambda b: (b / "saved_model/other").write_bytes(b""), "saved_model/other does not belong there"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_named_and_nothing_is_loaded(hollow_bundle: Path, change: str) -> None:
    alter, words = CHANGES[change]
    alter(hollow_bundle)

    def never(folder: Path) -> None:
        raise AssertionError("loaded")

    with pytest.raises(ChangedModelError, match=words):
        ImageClassifier(hollow_bundle, never)


def test_a_bundle_without_a_record_is_refused(hollow_bundle: Path) -> None:
    settings = read_settings(hollow_bundle)
    del settings["files"]
    (hollow_bundle / "model.json").write_text(json.dumps(settings))
    with pytest.raises(ChangedModelError, match="no record of the model's files: an older graft wrote it"):
        ImageClassifier(hollow_bundle)
