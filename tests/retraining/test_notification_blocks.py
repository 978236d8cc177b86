"""The message of a retraining through notification blocks of Prefect's, to a server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from graft.errors import GraftError
from graft.params.retrain import NotifyParams
from graft.prefect_server import HOST, free_port
from graft.retraining.outcome import Outcome, message, title
from graft.retraining.prefect_side import send

PROMOTED = Outcome(
    "2026-11-25T03:00:00+00:00", "hands", reasons=["12 new images in week-3"], version="4", promoted=True
)
BLOCKS = "custom-webhook/team", "slack-webhook/team"


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
        name="team",
        url=f"http://{HOST}:{port}/retrained",
        json_data={"title": "{{subject}}", "message": "{{body}}"},
    ).save("team", overwrite=True)
    # Apprise's own JSON in place of Slack's: the address of Slack is no setting of its plugin's.
    SlackWebhook(url=f"json://{HOST}:{port}/").save("team", overwrite=True)
    Webhook(url=f"http://{HOST}:{port}/").save("plain", overwrite=True)


def notify(block: str) -> NotifyParams:
    return NotifyParams(block=block)


@pytest.mark.slow
@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("block", BLOCKS)
def test_title_and_message_have_arrived_when_it_returns(receiver: Receiver, block: str) -> None:
    assert send(PROMOTED, notify(block)) is True
    (content,) = receiver.received
    assert content["title"] == title(PROMOTED) == "graft, hands: version 4 is champion"
    assert content["message"].strip() == message(PROMOTED).strip()
    assert "graft rollback" in content["message"]


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("block", BLOCKS)
def test_what_is_not_taken_is_an_error(receiver: Receiver, block: str) -> None:
    receiver.status = 500
    with pytest.raises(GraftError, match=rf"'{block}' could not deliver the message: .*[Ee]rror"):
        send(PROMOTED, notify(block))
    assert len(receiver.received) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("blocks")
def test_nobody_listening_is_an_error() -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    nobody = CustomWebhookNotificationBlock(name="x", url=f"http://{HOST}:{free_port()}/", json_data={})
    nobody.save("nobody", overwrite=True)
    with pytest.raises(GraftError, match="'custom-webhook/nobody' could not deliver the message"):
        send(PROMOTED, notify("custom-webhook/nobody"))


@pytest.mark.slow
@pytest.mark.usefixtures("blocks")
def test_what_is_no_block_for_messages_is_refused() -> None:
    with pytest.raises(GraftError, match="Prefect has no block 'slack-webhook/nobody'"):
        send(PROMOTED, notify("slack-webhook/nobody"))
    with pytest.raises(GraftError, match="Prefect's block 'webhook/plain' sends no messages"):
        send(PROMOTED, notify("webhook/plain"))


@pytest.mark.slow
@pytest.mark.usefixtures("blocks")
def test_what_nobody_asked_for_is_not_sent(receiver: Receiver) -> None:
    quiet = Outcome("2026-11-25T03:00:00+00:00", "hands")
    assert send(quiet, notify("custom-webhook/team")) is False
    assert send(quiet, NotifyParams(block="custom-webhook/team", events=["nothing"])) is True
    assert send(PROMOTED, NotifyParams()) is False
    assert len(receiver.received) == 1
