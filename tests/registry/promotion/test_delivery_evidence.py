"""What is answered before training is kept, and weighed: by images that a model has not seen, one bet a group."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from graft.core.errors import GraftError
from graft.core.params import Params
from graft.core.params.gate_params import GateParams
from graft.core.project import Project
from graft.evaluation.betting import winnings
from graft.registry.promotion import ask_first, later_images
from graft.registry.promotion.delivery_evidence import EVIDENCE_FILE, add_evidence, read_evidence, weigh
from graft.registry.promotion.judged_predictions import VersionPredictions
from graft.registry.promotion.line import SHOWN_TAG

GATE = GateParams()
TEST = pd.DataFrame({"sha256": ["t1", "t2"], "label": "a", "group": ["t1", "t2"]})


class Client:
    """Files of runs in a folder, and the tags of versions."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tags = folder, dict[tuple[str, str], str]()

    def list_artifacts(self, run_id: str, path: str) -> list[Any]:
        found = (self.folder / run_id / path).glob("*")
        return [SimpleNamespace(path=str(file.relative_to(self.folder / run_id))) for file in found]

    def download_artifacts(self, run_id: str, path: str, to: str) -> str:
        return shutil.copy(self.folder / run_id / path, to)

    def log_artifact(self, run_id: str, file: str, path: str) -> None:
        (self.folder / run_id / path).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, self.folder / run_id / path)

    def set_model_version_tag(self, model: str, version: str, key: str, value: str) -> None:
        self.tags[version, key] = value


def version(number: str) -> Any:
    return SimpleNamespace(version=number, run_id=f"run{number}", tags={})


def images(hashes: str, label: str = "a") -> pd.DataFrame:
    return pd.DataFrame({"sha256": list(hashes), "path": "", "label": label, "group": list(hashes)})


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Champion 1 and challengers 2 and 3: what each has seen, and how sure it is of 'a'."""
    seen = {"run1": "xy", "run2": "xyp", "run3": "xypq"}
    asked: list[tuple[str, str]] = []
    client: Any = Client(tmp_path)
    registry = SimpleNamespace(client=client, model="hands")

    def ask_version(project: Any, registry: Any, of: Any, table: pd.DataFrame, *more: Any) -> Any:
        hashes = list(table["sha256"])
        asked.append((of.version, "".join(hashes)))
        sure = {"1": 0.4, "2": 0.6, "3": 0.8}[of.version]
        return VersionPredictions("d", ["a", "b"], hashes, np.tile([[sure, 1 - sure]], (len(hashes), 1)), 1.0), 1

    def latest(registry: Any, before: str | None, count: int, besides: str) -> list[Any]:
        assert (count, besides) == (2, "1")
        return [version("3"), version("2")]

    monkeypatch.setattr(
        later_images, "read_seen_images", lambda client, run: pd.DataFrame({"sha256": list(seen[run])}, dtype=str)
    )
    monkeypatch.setattr(ask_first, "ask_version", ask_version)
    monkeypatch.setattr(ask_first, "latest_judged", latest)
    monkeypatch.setattr(ask_first, "fetch_verdict", lambda client, of: None)
    params: Any = SimpleNamespace(gate=GATE, evaluate=SimpleNamespace(batch_size=8))

    def look(later: pd.DataFrame) -> Any:
        return ask_first.ask_first(Project(tmp_path), params, registry, version("1"), None, later, TEST, None)[1]  # type: ignore[arg-type]

    return SimpleNamespace(client=client, asked=asked, look=look, seen=seen)


def test_no_image_judges_a_model_that_was_trained_on_it_and_rows_are_only_added(world: Any) -> None:
    found = world.look(images("xypq"))
    assert world.asked == [("1", "pq"), ("3", ""), ("2", "q")]
    first = read_evidence(world.client, "run1")
    assert first["sha256"].tolist() == ["p", "q"]
    assert first["challenger"].tolist() == ["", "2"]
    assert first["predicted"].tolist() == ["b", "b"]
    assert first["log_loss"].to_numpy() == pytest.approx(-np.log([0.4, 0.4]))
    assert first["challenger_log_loss"].to_numpy() == pytest.approx([np.nan, -np.log(0.6)], nan_ok=True)
    assert (found.images, found.champion, found.challengers, found.alone) == (1, 0.0, 1.0, 2)

    found = world.look(images("xypqrs"))
    second = read_evidence(world.client, "run1")
    pd.testing.assert_frame_equal(second.head(2), first)
    assert second["sha256"].tolist() == list("pqrs")
    assert second["challenger"].tolist() == ["", "2", "3", "3"]
    assert (found.images, found.alone) == (3, 4)
    world.look(images("xypqrs"))
    pd.testing.assert_frame_equal(read_evidence(world.client, "run1"), second)


def test_what_is_shown_is_told_of_the_champion_and_one_that_cannot_be_asked_is_passed_over(
    world: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    really = ask_first.ask_version

    def ask_version(project: Any, registry: Any, of: Any, *more: Any) -> Any:
        if of.version == "3":
            raise GraftError("it does not load", "")
        return really(project, registry, of, *more)

    monkeypatch.setattr(ask_first, "ask_version", ask_version)
    found = world.look(images("xyABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    assert "Version 3 was not asked about the images that came after it: it does not load" in capsys.readouterr().err
    assert found.is_stuck
    told = world.client.tags["1", SHOWN_TAG]
    assert told.startswith("Of 26 images that came later the champion has 0.0% right, challengers 100.0%: evidence ")
    assert told.endswith("to 1 that it is worse; which shows it: the champion is stuck.")


def record(rows: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    """Return rows of time, image, the champion's answer and the challenger's; the latter "" for none."""
    return pd.DataFrame(
        [
            {
                "at": at,
                "sha256": image,
                "group": "as it was",
                "label": "a",
                "predicted": champion,
                "log_loss": 0.1,
                "challenger": "2" if challenger else "",
                "challenger_predicted": challenger,
                "challenger_log_loss": 0.1,
            }
            for at, image, champion, challenger in rows
        ]
    )


def test_a_group_is_one_bet_that_later_images_of_it_do_not_settle_anew() -> None:
    rows = [("1", "p", "b", "a"), ("1", "q", "a", "a"), ("2", "r", "b", "a"), ("2", "s", "b", "")]
    later = images("pqrs").assign(group=["g", "g", "h", "g"])
    found = weigh(record(rows), later, 0.9, GATE)
    assert found.better == winnings(np.array([0.5, 1.0]))
    assert (found.images, found.alone) == (3, 3)
    assert found.broken == winnings(np.array([0.9 - 0.5, 0.9]))
    alone = weigh(record(rows[:2]), later, 0.9, GATE)
    assert alone.better == winnings(np.array([0.5]))


def test_test_images_and_withdrawn_ones_count_no_more_and_corrected_ones_as_they_are() -> None:
    rows = [("1", "p", "b", "a"), ("1", "q", "b", "a"), ("1", "r", "a", "a")]
    assert weigh(record(rows), images("r"), None, GATE).images == 1
    corrected = weigh(record(rows), images("pq", "b"), None, GATE)
    assert (corrected.champion, corrected.challengers) == (1.0, 0.0)
    nothing = weigh(record(rows[:0] or rows).head(0), images("pq"), 0.9, GATE)
    assert (nothing.better, nothing.broken, nothing.sentences()) == (1.0, 1.0, [])


def test_a_champion_below_its_promise_is_said_to_be_worse_than_was_said() -> None:
    letters = "".join(chr(0x400 + number) for number in range(200))
    rows = [("1", image, "b" if number % 4 == 0 else "a", "") for number, image in enumerate(letters)]
    found = weigh(record(rows), images(letters), 0.95, GATE)
    assert found.is_broken
    assert not found.is_stuck
    (said,) = found.sentences()
    assert said == found.shown()
    assert said.startswith(
        "The champion is worse than it was said to be: of 200 images that came later it has 75.0% ri"
    )
    assert weigh(record(rows), images(letters), 0.75, GATE).shown() == ""


def test_without_a_run_there_is_no_evidence(tmp_path: Path) -> None:
    client: Any = Client(tmp_path)
    assert not len(read_evidence(client, ""))
    assert not len(add_evidence(client, "", read_evidence(client, ""), record([("1", "p", "a", "")]).head(0)))
    assert not (tmp_path / EVIDENCE_FILE).exists()
    assert Params.model_fields["gate"].get_default(call_default_factory=True).challengers_asked == 2
