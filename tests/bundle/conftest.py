"""A bundle whose network is no network: what is asked of it is not what it computes."""

from pathlib import Path

import pytest

from graft.bundle.record import write_settings


@pytest.fixture
def hollow_bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "saved_model" / "variables").mkdir(parents=True)
    (folder / "saved_model" / "saved_model.pb").write_bytes(b"graph")
    (folder / "saved_model" / "variables" / "data").write_bytes(b"weights")
    write_settings(folder, {"classes": ["a"], "image_size": 8, "max_pixels": 100})
    return folder
