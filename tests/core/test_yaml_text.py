"""Documents that are none: one sentence with the place, whatever the library raises."""

from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.core.yaml_text import read_mapping, read_yaml


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: 1\nb: gr\xfcn\n", "here line 2 is not text in UTF-8. Save the file as UTF-8."),
        ("a: 1\n".encode("utf-16"), "here line 1 is not text in UTF-8"),
        ("a: [1\n", "here line 2 is not valid YAML"),
        ("a: 2026-02-30\n", "here is not valid YAML: day is out of range"),
        ("[" * 9000 + "]" * 9000, "here is not valid YAML: it is nested too deep"),
        ("- " * 9000 + "a", "here is not valid YAML: it is nested too deep"),
        ("[\n" * 40_000, "here is not valid YAML: it is nested too deep"),
        ("a: \x01", "here is not valid YAML"),
        ("a: !!int x\n", "here is not valid YAML: invalid literal"),
        ("a: !!python/object:os.system {}\n", "here line 1 is not valid YAML"),
    ],
)
def test_fuzz_what_is_no_document_is_refused_by_name(content: str | bytes, words: str) -> None:
    with pytest.raises(GraftError) as refused:
        read_yaml(content, "here")
    assert words in str(refused.value)


def test_a_mapping_that_is_empty_or_none_is_refused_and_a_missing_file_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    assert read_mapping(path, "") == {}
    for text, found in (("", "holds nothing"), ("- a\n", "holds a list")):
        path.write_text(text)
        with pytest.raises(GraftError, match=rf"dvc.lock {found} where .*Restore it"):
            read_mapping(path, "Restore it")
