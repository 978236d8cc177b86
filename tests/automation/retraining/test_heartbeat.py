"""The heartbeat, and the message that nothing was promoted for weeks."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from graft.automation.retraining import heartbeat
from graft.automation.retraining.heartbeat import beat, is_stuck
from graft.automation.retraining.outcome import Outcome, details, headline
from graft.automation.retraining.retrain_history import add_outcome
from graft.core.params.retrain_params import NotifyParams, RetrainParams
from graft.core.project import Project
from graft.registry.promotion.line import ChampionEntry, Line

NOW = datetime(2026, 11, 29, 3, tzinfo=UTC)
DONE = Outcome(NOW.isoformat(), "hands", promoted=True, version="4")


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404 if "gone" in self.path else 200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    found = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{found.server_address[1]}", asked=asked)
    found.shutdown()
    found.server_close()


def test_a_file_is_written_or_an_address_asked(project: Project, server: SimpleNamespace) -> None:
    assert beat(project, "state/alive.json", DONE) == ""
    said = json.loads((project.root / "state/alive.json").read_text())
    assert said == {"at": DONE.at, "dataset": "hands", "outcome": "version 4 is champion"}
    assert beat(project, f"{server.url}/ping/secret", DONE) == ""
    assert server.asked == ["/ping/secret"]


def test_a_heartbeat_that_is_not_taken_is_said_without_its_secret(project: Project, server: SimpleNamespace) -> None:
    assert beat(project, f"{server.url}/gone/secret", DONE) == "the heartbeat was not taken: 127.0.0.1 answers 404"
    found = beat(project, "http://127.0.0.1:9/secret", DONE)
    assert found.startswith("no heartbeat at 127.0.0.1: ")
    assert "secret" not in found
    project.root.joinpath("a file").touch()
    assert beat(project, "a file/alive.json", DONE).startswith("no heartbeat at a file/alive.json")


@pytest.mark.parametrize("target", ["http://example.org/ping", "ftp://127.0.0.1/x"])
def test_an_address_is_of_https_or_of_this_machine(target: str) -> None:
    with pytest.raises(ValidationError, match="asks https, or http on this machine"):
        RetrainParams(heartbeat=target)


def judged(weeks_ago: float, *rules: str, **more: Any) -> Outcome:
    at = (NOW - timedelta(weeks=weeks_ago)).isoformat()
    refused = [f"{rule}: observed (needed: more). Remedy" for rule in rules]
    return Outcome(at, "hands", version="5", refused=refused, **more)


@pytest.fixture
def champion_since(monkeypatch: pytest.MonkeyPatch) -> Any:
    def since(weeks_ago: float, shown: str = "") -> None:
        at = (NOW - timedelta(weeks=weeks_ago)).isoformat()
        line = Line("hands", {"champion": "1"}, (ChampionEntry("promoted", "1", None, at, "me"),))
        monkeypatch.setattr(heartbeat, "read_champions", lambda project, params: (line, shown))

    return since


def params(weeks: int = 8) -> Any:
    return SimpleNamespace(register_=None, retrain=RetrainParams(notify=NotifyParams(stuck_weeks=weeks)))


def test_nothing_promoted_for_weeks_is_a_message_once_a_week(project: Project, champion_since: Any) -> None:
    add_outcome(project, Outcome((NOW - timedelta(weeks=10)).isoformat(), "hands"))
    for weeks in (7.5, 5, 3):
        add_outcome(project, judged(weeks, "not_worse", *(["class_recall"] if weeks == 3 else [])))
    champion_since(7.9)
    assert is_stuck(project, params(), NOW) == ""
    champion_since(8.1)
    said = "Nothing was promoted for 8 weeks: of 3 judged since, the gate refused by not_worse 3 times, class_recall."
    assert is_stuck(project, params(), NOW) == said
    assert is_stuck(project, params(0), NOW) == ""
    outcome = Outcome(NOW.isoformat(), "hands", stuck=said)
    assert (outcome.events, headline(outcome)) == (["stuck"], "the champion needs a look")
    assert f"- {said}" in details(outcome)
    add_outcome(project, outcome)
    assert is_stuck(project, params(), NOW + timedelta(days=6)) == ""
    assert is_stuck(project, params(), NOW + timedelta(days=8)).startswith("Nothing was promoted for 9 weeks")


def test_what_deliveries_have_shown_of_the_champion_is_a_message_at_once(project: Project, champion_since: Any) -> None:
    add_outcome(project, judged(1, "not_worse"))
    champion_since(2, "The champion is stuck.")
    assert is_stuck(project, params(), NOW) == "", "no run has said so: the registry is not asked"
    add_outcome(project, judged(0.5, "not_worse", shown="The champion is stuck."))
    assert is_stuck(project, params(), NOW) == "The champion is stuck."
    champion_since(0.1)
    assert is_stuck(project, params(), NOW) == "", "another is champion since"
    add_outcome(project, judged(0.1, "not_worse", shown="The champion is stuck."))
    champion_since(0.2, "The champion is stuck.")
    outcome = Outcome(NOW.isoformat(), "hands", stuck=is_stuck(project, params(), NOW))
    assert (outcome.events, headline(outcome)) == (["stuck"], "the champion needs a look")
    add_outcome(project, outcome)
    assert is_stuck(project, params(), NOW + timedelta(days=6)) == "", "once a week"


def test_without_challengers_or_with_ones_that_passed_it_says_so(project: Project, champion_since: Any) -> None:
    champion_since(20)
    assert is_stuck(project, params(), NOW) == "", "nothing is retrained here"
    add_outcome(project, Outcome((NOW - timedelta(weeks=21)).isoformat(), "hands"))
    assert is_stuck(project, params(), NOW) == "Nothing was promoted for 20 weeks: nothing was trained since."
    add_outcome(project, judged(0.5))
    assert is_stuck(project, params(), NOW).endswith("1 challenger passed, and none was promoted: graft promote.")
