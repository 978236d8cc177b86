"""What a retraining leaves in Prefect: artifacts, the name and state of a run, and messages to a server on loopback."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ruamel.yaml import YAML

from graft.automation.prefect_server import HOST, free_port
from graft.automation.retraining.outcome import DeliveryOutcome, Outcome, details, title
from graft.automation.retraining.prefect_side import (
    emit_events,
    leave_artifacts,
    leave_assets,
    mark_as_crashed,
    name_run,
    send,
)
from graft.core.errors import GraftError
from graft.core.params.retrain_params import NotifyParams

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_api")]

PROMOTED = Outcome(
    "2026-11-25T03:00:00+00:00", "hands", reasons=["12 new images in week-3"], version="4", promoted=True
)
BLOCKS = "custom-webhook/team", "slack-webhook/team"

TAKEN_IN = Outcome(
    "2026-11-25T03:00:00+00:00",
    "My hands",
    reasons=["12 new images in week-3"],
    deliveries=[
        DeliveryOutcome("week-3", "taken in", {"rock": 7, "paper": 5}, left_out=1, known=2),
        DeliveryOutcome("week-4", "quarantined", reasons=["It holds no images."]),
    ],
    model="My hands",
    version="4",
    promoted=True,
)


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted to it, and answers with ``status``."""

    def __init__(self) -> None:
        super().__init__((HOST, 0), Answer)
        self.status = 200
        self.received: list[dict[str, str]] = []


class Answer(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.append(content)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def prefect_api() -> Iterator[None]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def blocks(prefect_api: None, receiver: Receiver) -> None:
    """Both kinds, which need no package that Prefect does not bring, under the name ``team``."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
    from prefect.blocks.webhook import Webhook

    port = receiver.server_address[1]
    CustomWebhookNotificationBlock(
        name="team", url=f"http://{HOST}:{port}/retrained", json_data={"title": "{{subject}}", "message": "{{body}}"}
    ).save("team", overwrite=True)
    # Apprise's own JSON in place of Slack's: the address of Slack is no setting of its plugin's.
    SlackWebhook(url=f"json://{HOST}:{port}/").save("team", overwrite=True)
    Webhook(url=f"http://{HOST}:{port}/").save("plain", overwrite=True)


def notify(block: str) -> NotifyParams:
    return NotifyParams(block=block)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("block", BLOCKS)
def test_title_and_message_have_arrived_when_it_returns(receiver: Receiver, block: str) -> None:
    assert send(PROMOTED, notify(block)) is True
    (content,) = receiver.received
    assert content["title"] == title(PROMOTED) == "graft, hands: version 4 is champion"
    assert content["message"].strip() == details(PROMOTED).strip()
    assert "graft rollback" in content["message"]


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("block", BLOCKS)
def test_a_task_of_a_flow_waits_for_it_too(receiver: Receiver, block: str) -> None:
    from prefect import flow, task

    @task
    def tell() -> int:
        send(PROMOTED, notify(block))
        return len(receiver.received)

    @flow
    def telling() -> int:
        return tell()

    assert telling() == 1


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("block", BLOCKS)
def test_what_is_not_taken_is_an_error(receiver: Receiver, block: str) -> None:
    receiver.status = 500
    with pytest.raises(GraftError, match=rf"'{block}' could not deliver the message: .*[Ee]rror"):
        send(PROMOTED, notify(block))
    assert len(receiver.received) == 1


@pytest.mark.usefixtures("blocks")
def test_nobody_listening_is_an_error() -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    nobody = CustomWebhookNotificationBlock(name="x", url=f"http://{HOST}:{free_port()}/", json_data={})
    nobody.save("nobody", overwrite=True)
    with pytest.raises(GraftError, match="'custom-webhook/nobody' could not deliver the message"):
        send(PROMOTED, notify("custom-webhook/nobody"))


@pytest.mark.usefixtures("blocks")
def test_what_is_no_block_for_messages_is_refused() -> None:
    with pytest.raises(GraftError, match="Prefect has no block 'slack-webhook/nobody'"):
        send(PROMOTED, notify("slack-webhook/nobody"))
    with pytest.raises(GraftError, match="Prefect's block 'webhook/plain' sends no messages"):
        send(PROMOTED, notify("webhook/plain"))


@pytest.mark.usefixtures("blocks")
def test_what_nobody_asked_for_is_not_sent(receiver: Receiver) -> None:
    quiet = Outcome("2026-11-25T03:00:00+00:00", "hands")
    assert send(quiet, notify("custom-webhook/team")) is False
    assert send(quiet, NotifyParams(block="custom-webhook/team", events=["nothing"])) is True
    assert send(PROMOTED, NotifyParams()) is False
    assert len(receiver.received) == 1


def run_of(outcome: Outcome, params: NotifyParams) -> tuple[Any, dict[str, Any]]:
    """A flow run in Prefect's server that left what a retraining leaves, and its artifacts by key."""
    from prefect import flow, runtime
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    @flow(flow_run_name="retrain")
    def retraining() -> str:
        leave_artifacts(outcome, params)
        name_run(str(runtime.flow_run.id), outcome)
        return str(runtime.flow_run.id)

    run = retraining()
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run])))
        return client.read_flow_run(run), {artifact.key: artifact for artifact in found}


def test_message_table_and_link_are_left() -> None:
    _, artifacts = run_of(TAKEN_IN, NotifyParams(mlflow_url="http://127.0.0.1:5000/"))
    assert set(artifacts) == {"retrain-my-hands", "deliveries-my-hands", "model-my-hands"}
    assert "- Why: 12 new images in week-3" in artifacts["retrain-my-hands"].data
    assert artifacts["retrain-my-hands"].description == "graft, My hands: version 4 is champion"
    assert "http://127.0.0.1:5000/#/models/My%20hands/versions/4" in artifacts["model-my-hands"].data
    rows = json.loads(artifacts["deliveries-my-hands"].data)
    assert [(row["delivery"], row["new images"], row["left out"], row["why"]) for row in rows] == [
        ("week-3", 12, 1, ""),
        ("week-4", 0, 0, "It holds no images."),
    ]


def test_without_deliveries_and_page_the_message_is_left_alone() -> None:
    nothing = Outcome("2026-11-25T03:00:00+00:00", "My hands")
    run, artifacts = run_of(nothing, NotifyParams())
    assert set(artifacts) == {"retrain-my-hands"}
    assert run.name == "nothing to do"


def test_events_name_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    emitted: list[tuple[str, str, str]] = []

    def emit(event: str, resource: dict[str, str], payload: dict[str, str]) -> None:
        emitted.append((event, resource["prefect.resource.id"], payload["version"]))

    monkeypatch.setattr("prefect.events.emit_event", emit)
    emit_events(replace(TAKEN_IN, drift="Drift in classes: 40 of 60 recent images."))
    emit_events(Outcome("2026-11-25T03:00:00+00:00", "hands", drift="No drift in 8 checks"))
    names = ["graft.promoted", "graft.quarantined", "graft.drift"]
    assert emitted == [(name, "graft.dataset.my-hands", "4") for name in names]


def test_the_model_is_an_asset_made_from_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect import flow

    emitted: list[tuple[str, list[str], dict[str, Any]]] = []

    def emit(event: str, resource: dict[str, str], **more: Any) -> None:
        if event == "prefect.asset.materialization.succeeded":
            related = [one["prefect.resource.id"] for one in more["related"]]
            made_from = [one for one in related if one.startswith("graft:")]
            emitted.append((resource["prefect.resource.id"], made_from, more["payload"]))

    monkeypatch.setattr("prefect.events.emit_event", emit)

    @flow
    def leaving() -> None:
        leave_assets(replace(TAKEN_IN, commit="c" * 40, figures={"challenger": {"accuracy": 0.9}}))

    leaving()
    data, model = emitted
    assert data[:2] == ("graft://my-hands/data", [])
    assert data[2]["new images"] == 12
    assert model[:2] == ("graft://my-hands/model", ["graft://my-hands/data"])
    assert (model[2]["version"], model[2]["accuracy"]) == ("4", 0.9)


def test_the_automations_of_the_docs_are_some() -> None:
    from prefect.events.schemas.automations import AutomationCore

    page = (Path(__file__).parents[3] / "docs/retraining.md").read_text(encoding="utf-8")
    block = page.split("```yaml\nautomations:")[1].split("```")[0]
    found = YAML(typ="safe").load(f"automations:{block}")["automations"]
    expected = [set(AutomationCore.model_validate(one).trigger.expect) for one in found]
    assert expected == [{"graft.drift"}, {"graft.failed", "graft.refused", "graft.stuck"}]


def test_a_run_is_called_after_what_came_of_it() -> None:
    run, _ = run_of(TAKEN_IN, NotifyParams())
    assert run.name == "version 4 is champion"


def test_a_run_whose_process_was_killed_is_over() -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.states import Running

    @flow
    def killed() -> None: ...

    with get_client(sync_client=True) as client:
        run = client.create_flow_run(killed, state=Running())
        mark_as_crashed(str(run.id))
        state = client.read_flow_run(run.id).state
    assert state is not None and state.is_crashed()
    mark_as_crashed("11111111-1111-4111-8111-111111111111")  # of another server: nothing happens


def test_a_run_that_has_ended_keeps_its_state() -> None:
    run, _ = run_of(TAKEN_IN, NotifyParams())
    mark_as_crashed(str(run.id))
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run.id).state
    assert state is not None and state.is_completed()


def test_l11_a_note_that_cannot_be_written_sends_no_second_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written outside of the task, which Prefect repeats."""
    from pipelines import retrain

    side, task, sent = "graft.automation.retraining.prefect_side", retrain.tell, []
    monkeypatch.setattr(f"{side}.send", lambda outcome, params: sent.append(outcome))
    for name in ("leave_artifacts", "name_run"):
        monkeypatch.setattr(f"{side}.{name}", lambda *arguments: None)

    def tell(retraining: Any, return_state: bool) -> Any:
        task.fn(retraining)
        return SimpleNamespace(is_failed=lambda: False)

    def told() -> None:
        raise GraftError("The disk is full")

    monkeypatch.setattr(retrain, "tell", tell)
    params = SimpleNamespace(retrain=SimpleNamespace(notify=NotifyParams()))
    with pytest.raises(GraftError, match="The disk is full"):
        retrain._notify(SimpleNamespace(outcome=TAKEN_IN, params=params, notified=told))  # type: ignore[arg-type]
    assert sent == [TAKEN_IN]
