"""A folder of photographs with what lies among them, and a classifier for them."""

from pathlib import Path

import pytest
from brightest_channel import Brightest, coloured


@pytest.fixture
def brightest() -> Brightest:
    return Brightest()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Folders of photographs, with what lies among them."""
    folder = tmp_path / "photos"
    for name, channel in (("b/2.png", 2), ("a/1.png", 0), ("a/10.PNG", 1), ("c/d/3.png", 1)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(coloured(channel))
    (folder / "a" / "broken.jpg").write_bytes(coloured(0)[:40])
    (folder / "a" / "notes.txt").write_text("not meant")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.png").write_bytes(coloured(0))
    return folder
