"""The tables of docs/reliability.md are made from the rows that `make hard` leaves."""

from pathlib import Path

import pytest
from rows import Row, add_row, write_tables


def test_the_latest_row_of_each_name_stands_in_its_table(tmp_path: Path) -> None:
    file, document = tmp_path / "rows.jsonl", tmp_path / "page.md"
    document.write_text("# Page\n\n<!-- fuzz: begin -->\nold\n<!-- fuzz: end -->\n\nafter\n")
    add_row(file, "fuzz", Row({"target": "zip", "tried": 10, "left": 1}, is_good=False))
    add_row(file, "fuzz", Row({"target": "a|b", "tried": 12345, "left": 2}, is_good=False))
    add_row(file, "fuzz", Row({"target": "zip", "tried": 20, "left": 0}, is_good=True))
    write_tables(document, file)
    lines = document.read_text().splitlines()
    assert [line.rpartition(" | ")[0] for line in lines if line.startswith("| ")] == [
        "| target | tried | left",
        "| zip | 20 | 0",
        "| **a\\|b** | **12,345** | **2**",
    ]
    assert "old" not in lines
    assert lines[-1] == "after"


def test_rows_of_the_document_that_were_not_run_again_stay(tmp_path: Path) -> None:
    file, document = tmp_path / "rows.jsonl", tmp_path / "page.md"
    document.write_text("<!-- fuzz: begin --><!-- fuzz: end -->")
    add_row(file, "fuzz", Row({"target": "zip", "tried": 10}, is_good=True))
    add_row(file, "fuzz", Row({"target": "a|b", "tried": 11}, is_good=False))
    write_tables(document, file)
    file.unlink()  # of another machine
    for tried in (1_000, 2_000):
        add_row(file, "fuzz", Row({"target": "a|b", "tried": tried}, is_good=True))
    add_row(file, "fuzz", Row({"target": "tar", "tried": 3}, is_good=True))
    write_tables(document, file)
    assert [line.rpartition(" | ")[0] for line in document.read_text().splitlines() if line.startswith("| ")] == [
        "| target | tried",
        "| zip | 10",
        "| a\\|b | 2,000",
        "| tar | 3",
    ]


def test_a_document_without_a_place_for_a_table_is_refused(tmp_path: Path) -> None:
    file, document = tmp_path / "rows.jsonl", tmp_path / "page.md"
    document.write_text("# Page\n")
    add_row(file, "fuzz", Row({"target": "zip"}, is_good=True))
    with pytest.raises(ValueError, match="no place <!-- fuzz: begin -->"):
        write_tables(document, file)
