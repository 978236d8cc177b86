"""The section ``retrain`` of params.yaml: what a retraining brings in, when it acts, and whom it tells."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from graft.core.download.redirects import require_https
from graft.core.errors import GraftError
from graft.core.params.sections import Count, CountOrNone, Section, Share

Event = Literal["promoted", "refused", "quarantined", "failed", "stuck", "nothing"]


def _may_be_asked(value: str) -> str:
    """Return the path of a file, or an address that graft may ask."""
    if "://" in value:
        try:
            require_https(value)
        except GraftError as error:
            raise ValueError(f"{error.what}: graft asks https, or http on this machine") from None
    return value


class DeliverySourceParams(Section):
    """Where new images come from.

    Attributes:
        inbox: folder, below the project or absolute; each entry in it is a delivery: a folder or archive of class
            folders.
        settle_seconds: a delivery is left alone until nothing in it has changed for so long.
        remote: ``none``; ``update`` (``dvc update data.dvc``, for data that was brought in with ``dvc import``; then
            no inbox beside it); or ``pull`` (the images of data.dvc are fetched, where data.dvc comes with git).
        command: run by the shell in the project before the inbox is looked at; ``""`` for none.
        timeout_seconds: of the command, and of DVC's transfers.
        retries: of either, after 10, 20, 40 ... seconds.
    """

    inbox: str = "inbox"
    settle_seconds: CountOrNone = 30
    remote: Literal["none", "update", "pull"] = "none"
    command: str = ""
    timeout_seconds: Count = 3600
    retries: CountOrNone = 3


class DeliveryParams(Section):
    """What a delivery must be like.

    Attributes:
        on_bad: of a delivery that is refused: ``continue`` with the others, or ``stop`` all runs until a person has
            acknowledged it (`graft retrain --accept NAME`) or removed its folder from the quarantine.
        max_bad_share: of its images; above, the whole delivery is refused, below, they alone are left out.
        labels: what happens where the labels of a whole class of a delivery are in doubt, see
            :mod:`graft.automation.retraining.label_doubts`: ``quarantine`` the delivery, ``warn`` or ``off``.
        max_doubtful_share: of the images of a class in a delivery.
        quarantine: folder for what is refused, with the reasons; graft removes nothing there unless ``prune`` says so.
        keep_days: deliveries that were taken in stay in ``done/`` of the inbox for so long; data/ has their images.
    """

    on_bad: Literal["continue", "stop"] = "continue"
    max_bad_share: Share = 0.2
    labels: Literal["quarantine", "warn", "off"] = "quarantine"
    max_doubtful_share: Share = 0.3
    quarantine: str = "quarantine"
    keep_days: CountOrNone = 30


class RecordParams(Section):
    """What git keeps.

    Attributes:
        branch: that data.dvc, dvc.lock and params.yaml are committed to; ``current`` is the one checked out. On
            another one, a run begins at its tip, and nothing in the user's folder moves.
        push: name of a git remote that the branch is pushed to; ``""`` for none.
        push_data: whether ``dvc push`` follows, so that other machines have what data.dvc names.
    """

    branch: str = "current"
    push: str = ""
    push_data: bool = False


class NotifyParams(Section):
    """Who is notified, and of what.

    Attributes:
        block: a notification block of Prefect's, as ``slack-webhook/team``; ``""`` for none.
        events: those that a person is notified of.
        mlflow_url: of MLflow's pages, for links; ``""`` for none.
        stuck_weeks: without a promotion, after which that is a message of its own, once a week; 0 for none.
    """

    block: str = ""
    events: list[Event] = Field(default=["promoted", "refused", "quarantined", "failed", "stuck"])
    mlflow_url: str = ""
    stuck_weeks: CountOrNone = 8


class RetrainParams(Section):
    """A retraining.

    Attributes:
        source: where new images come from.
        deliveries: what they must be like.
        drift: whether logged predictions are compared with the training images, see ``monitor``: ``report`` says
            what was found, ``retrain`` also trains anew, ``off``.
        promote: ``auto``: what passes the gate becomes champion; ``never``: it stays challenger.
        overlap: what a run does while another one is at work: ``skip``, or ``queue``.
        timeout_minutes: of the pipeline, of each model that the gate asks, and of waiting in the queue.
        record: what git keeps.
        notify: who is notified.
        heartbeat: a file that each run without a failure writes, or an address (https, or http on this machine) that
            it asks; ``""`` for none.
    """

    source: DeliverySourceParams = DeliverySourceParams()
    deliveries: DeliveryParams = DeliveryParams()
    drift: Literal["off", "report", "retrain"] = "report"
    promote: Literal["auto", "never"] = "auto"
    overlap: Literal["skip", "queue"] = "skip"
    timeout_minutes: Annotated[float, Field(gt=0)] = 720
    record: RecordParams = RecordParams()
    notify: NotifyParams = NotifyParams()
    heartbeat: Annotated[str, AfterValidator(_may_be_asked)] = ""
