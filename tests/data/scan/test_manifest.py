"""Reading a manifest."""

from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.data.scan.manifest import read_class_folders, read_manifest


@pytest.mark.parametrize("read", [read_manifest, read_class_folders])
def test_a_missing_or_damaged_manifest_says_what_to_run(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(GraftError, match=r"There is no manifest at .*dvc repro validate"):
        read(tmp_path / "manifest.parquet")
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(GraftError, match=r"not a whole one.*dvc repro -f validate"):
        read(tmp_path / "manifest.parquet")
