"""Images that came after a model: none of a group of which it has seen an image."""

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from graft.registry.promotion import later_images
from graft.registry.promotion.later_images import new_to

IMAGES = pd.DataFrame(
    {"sha256": list("fedcba"), "label": "a", "path": "", "group": ["g", "g", "h", "h", "alone", "other"]}
)


def new_after(monkeypatch: pytest.MonkeyPatch, seen: list[str] | None, run_id: str = "r") -> list[str]:
    record = None if seen is None else pd.DataFrame({"sha256": seen})
    monkeypatch.setattr(later_images, "read_seen_images", lambda client, run: record)
    registry: Any = SimpleNamespace(client=None)
    version: Any = SimpleNamespace(run_id=run_id)
    return list(new_to(registry, version, IMAGES)["sha256"])


def test_groups_of_which_an_image_was_seen_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert new_after(monkeypatch, ["f", "b"]) == ["a", "c", "d"]
    assert new_after(monkeypatch, []) == list("abcdef")


def test_without_a_record_nothing_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    assert new_after(monkeypatch, None) == []
    assert new_after(monkeypatch, [], run_id="") == []


def test_of_very_many_some_are_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(later_images, "_MOST", 2)
    assert new_after(monkeypatch, []) == ["a", "b"]
