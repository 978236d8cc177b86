"""Tables come back as they were written, whatever names are in them."""

from pathlib import Path

import pandas as pd
import pytest

from graft.core.errors import GraftError
from graft.core.text_tables import read_text_table

NAMES = ["001", "NA", "null", "nan", "a\rb", "line\nbreak", 'a,b "c"', " ", "", "犬", "1e5"]


def read(path: Path, columns: list[str] | None = None, text: list[str] | None = None) -> pd.DataFrame:
    return read_text_table(path, "a table", "Make it", columns, text)


def test_names_are_neither_numbers_nor_gaps_nor_ends_of_lines(tmp_path: Path) -> None:
    """A class with a carriage return in its name tore the rows of evaluations and ensembles apart."""
    table = pd.DataFrame({"sha256": [f"{i:03}" for i in range(len(NAMES))], "label": NAMES})
    for name in NAMES[:8]:
        table[f"p_{name}"] = 0.25
    table.to_csv(tmp_path / "t.csv", index=False, lineterminator="\n")
    found = read(tmp_path / "t.csv", text=["sha256", "label"])
    pd.testing.assert_frame_equal(found, table, check_dtype=False)
    assert set(map(str, found.dtypes[2:])) == {"float64"}
    assert read(tmp_path / "t.csv")["label"].tolist() == NAMES


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, "There is no table at .*Make it"),
        (b"", "cannot be read as a table"),
        (b"\xff\xfe", "cannot be read as a table"),
        (b"a,b\n1,2,3\n4,5,6,7\n", "cannot be read as a table"),
        (b"a,c\n1,2\n", "has the columns a, c instead of a, b"),
    ],
)
def test_what_is_no_such_table_is_one_sentence(tmp_path: Path, content: bytes | None, match: str) -> None:
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(GraftError, match=match):
        read(tmp_path / "t.csv", ["a", "b"])
