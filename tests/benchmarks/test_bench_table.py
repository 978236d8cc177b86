"""The table of all benchmarks: what is met and missed, and its place in a document."""

from pathlib import Path

import pytest

from benchmarks.table import BEGIN, END, Row, as_json, as_markdown, as_text, from_json, write_between_markers

ROWS = [
    Row.at_least("extraction", "2.0 s", "Keras", "5.0 s", 2.5, 2.2),
    Row.at_most("new | images", "0.5 s", "all", "10.0 s", 5.0, 3, "%"),
    Row.failed("pipeline", "no photographs"),
]


def test_targets_are_met_missed_or_not_measured() -> None:
    assert [row.met for row in ROWS] == ["met", "MISSED", "FAILED"]
    assert Row.at_least("x", "", "", "", 8.0, 8).is_met
    assert Row.at_most("x", "", "", "", 1.0, 1).is_met
    assert not Row.at_least("x", "", "", "", float("nan"), 8).is_met
    assert not Row.at_most("x", "", "", "", float("nan"), 8).is_met


def test_rows_survive_the_way_between_processes() -> None:
    assert from_json(as_json(ROWS)) == ROWS


def test_text_has_its_columns_one_below_the_other() -> None:
    lines = as_text(ROWS).splitlines()
    assert len(lines) == 4
    assert len({line.index(cell) for line, cell in zip(lines, ["against", "Keras", "all"], strict=False)}) == 1
    assert lines[2].endswith("MISSED")


def test_markdown_names_the_machine_and_shows_what_was_missed() -> None:
    text = as_markdown(ROWS, {"CPU": "two cores", "memory": "4 GB"}, "2026-01-02")
    assert text.startswith("Measured 2026-01-02 on: CPU two cores; memory 4 GB.\n")
    assert "| extraction | 2.0 s | Keras | 5.0 s | 2.50 x | >= 2.2 x | met |" in text
    assert r"| new \| images | 0.5 s | all | 10.0 s | 5.00 % | <= 3 % | **MISSED** |" in text
    assert "| **FAILED** |" in text


def test_what_stands_between_the_markers_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nAfter.\n", encoding="utf-8")
    for text in ("first", "second"):
        write_between_markers(document, text)
        assert document.read_text() == f"# Title\n\n{BEGIN}\n\n{text}\n\n{END}\n\nAfter.\n"


@pytest.mark.parametrize("text", ["nothing", f"{BEGIN}", f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_document_without_a_place_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    document = tmp_path / "performance.md"
    document.write_text(text)
    with pytest.raises(ValueError, match="should hold"):
        write_between_markers(document, "table")
    assert document.read_text() == text
