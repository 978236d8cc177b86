"""Text from outside becomes a path only through one check."""

from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.core.outside import path_below, require_sha256

GOOD = "0123456789abcdef" * 4


@pytest.mark.parametrize("text", ["", "/etc", "../" * 20, GOOD[:-1], GOOD + "0", GOOD.upper(), GOOD + "\n", None, 3])
def test_a2_only_a_hash_is_a_hash(text: object) -> None:
    assert require_sha256(GOOD, "the tag") == GOOD
    with pytest.raises(GraftError, match="the tag"):
        require_sha256(text, "the tag")


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../up", "a/../../up", "a//b", "a/", "./a", "a\\..\\b", "a\0b", "a\nb", "link/a"]
)
def test_a3_no_name_leads_out_of_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(GraftError, match=r"classes\.txt"):
        path_below(folder, name, "classes.txt")


@pytest.mark.parametrize("name", ["a", "a/b.jpg", "...", "a b/ü.png", "-x", "C#/1.jpg"])
def test_names_that_stay_below(tmp_path: Path, name: str) -> None:
    assert path_below(tmp_path, name, "classes.txt") == tmp_path / name
