"""Write a retraining into Prefect: artifacts, the message, and the state of a run that was killed."""

import re
from typing import Any
from urllib.parse import quote

from graft.automation.retraining.outcome import Outcome, details, headline, title
from graft.core.errors import GraftError, first_line
from graft.core.params.retrain_params import NotifyParams


def leave_artifacts(outcome: Outcome, params: NotifyParams) -> None:
    """Create a table of deliveries, the message, and a link to MLflow in Prefect; to be called in a flow or task."""
    from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

    name = _key(outcome)
    emit_events(outcome)
    create_markdown_artifact(details(outcome), key=f"retrain-{name}", description=title(outcome))
    if outcome.deliveries:
        create_table_artifact(
            deliveries_table(outcome), key=f"deliveries-{name}", description="What became of each delivery"
        )
    if outcome.version and params.mlflow_url:
        create_link_artifact(
            f"{params.mlflow_url.rstrip('/')}/#/models/{quote(outcome.model)}/versions/{outcome.version}",
            link_text=f"version {outcome.version} in MLflow",
            key=f"model-{name}",
            description="The challenger that was judged",
        )


def emit_events(outcome: Outcome) -> None:
    """Emit an event for each thing that happened, such as ``graft.promoted``, that Prefect's automations can act on.

    Their resource is ``graft.dataset.<data set>``. Where nothing happened, none is emitted.
    """
    from prefect.events import emit_event

    names: list[str] = [name for name in outcome.events if name != "nothing"]
    if outcome.drift.startswith("Drift"):  # see graft.deployment.monitor.drift_page.in_words
        names.append("drift")
    resource = {"prefect.resource.id": f"graft.dataset.{_key(outcome)}", "prefect.resource.name": outcome.dataset}
    payload = {"title": title(outcome), "version": outcome.version, "commit": outcome.commit, "drift": outcome.drift}
    for name in names:
        emit_event(f"graft.{name}", resource=resource, payload=payload)


def leave_assets(outcome: Outcome) -> None:
    """Record the data set and the model as assets of Prefect's, the model as made from the data; to be called in a
    flow or task.
    """
    from prefect.assets import Asset, materialize

    data, model = (Asset(key=f"graft://{_key(outcome)}/{name}") for name in ("data", "model"))

    def leave(asset: Asset, facts: dict[str, Any], *made_from: Asset) -> None:
        @materialize(asset, asset_deps=list(made_from), name=asset.key.rpartition("/")[2])
        def made() -> None:
            asset.add_metadata(facts)

        made()

    if outcome.commit:
        new = sum(one.images for one in outcome.deliveries)
        leave(data, {"commit": outcome.commit, "new images": new, "why": "; ".join(outcome.reasons)})
    if outcome.version:
        of = outcome.figures.get("challenger", {})
        facts = {"version": outcome.version, "strategy": outcome.strategy, "champion": outcome.promoted, **of}
        leave(model, facts, data)


def _key(outcome: Outcome) -> str:
    return re.sub(r"[^a-z0-9]+", "-", outcome.dataset.lower()).strip("-")


def deliveries_table(outcome: Outcome) -> list[dict[str, Any]]:
    """Return a row for each delivery."""
    return [
        {
            "delivery": one.name,
            "verdict": one.verdict,
            "new images": one.images,
            "left out": one.left_out,
            "there already": one.known,
            "why": " ".join(one.reasons),
        }
        for one in outcome.deliveries
    ]


def send(outcome: Outcome, params: NotifyParams) -> bool:
    """Send the message through Prefect's notification block, where one is named and somebody wants to know.

    Returns:
        Whether it was sent.

    Raises:
        GraftError: there is no such block, or it could not deliver.
    """
    if not params.block or not set(outcome.events) & set(params.events):
        return False
    from prefect.blocks.core import Block

    fix = "Make it in Prefect's pages under Blocks, and name it under retrain.notify.block as type/name"
    try:
        block = Block.load(params.block)
    except Exception as error:
        raise GraftError(f"Prefect has no block '{params.block}': {first_line(error)}", fix) from None
    if not hasattr(block, "notify"):
        raise GraftError(f"Prefect's block '{params.block}' sends no messages", fix)
    try:
        with block.raise_on_failure():
            block.notify(details(outcome), subject=title(outcome))
    except Exception as error:
        raise GraftError(
            f"Prefect's block '{params.block}' could not deliver the message: {first_line(error)}",
            "Check its settings in Prefect's pages",
        ) from None
    return True


def name_run(flow_run: str, outcome: Outcome) -> None:
    """Rename a run after what came of it, so that a list of runs is a history."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run, name=headline(outcome))


def mark_as_crashed(flow_run: str) -> None:
    """Mark a run whose process was killed as crashed; else Prefect's pages show it as running for ever."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Crashed

    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(flow_run).state
        except ObjectNotFound:
            return  # of another server, or removed since
        if state is not None and not state.is_final():
            client.set_flow_run_state(flow_run, Crashed(message="Its process was killed"), force=True)
