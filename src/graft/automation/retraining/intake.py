"""The deliveries of one run: found, checked, put into the quarantine or away."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from graft.automation.retraining import deliveries
from graft.automation.retraining.checking import CheckedDelivery, check_delivery, in_short
from graft.automation.retraining.data_folder import fresh_folder
from graft.automation.retraining.known_images import ExistingImages, read_existing
from graft.automation.retraining.outcome import DeliveryOutcome, Outcome
from graft.automation.retraining.quarantine import (
    ALONE_AFTER,
    MOST,
    count_failure,
    failures_of,
    forget_failures,
    quarantine,
    quarantine_files,
    unacknowledged,
)
from graft.core.errors import GraftError
from graft.core.files import sha256_of
from graft.core.outside import own_path
from graft.core.params.models import Params
from graft.core.project import Project
from graft.core.wording import counted

if TYPE_CHECKING:
    from graft.automation.retraining.label_doubts import DeliveryLabelCheck

INCOMING = "incoming"  # the folder that the run's deliveries are unpacked into
_EXAMPLES = 3


class Intake:
    """The deliveries in the inbox, and what becomes of each.

    Args:
        began: when the run did; names places in done/ and in the quarantine.
        outcome: gets what became of each delivery.
    """

    def __init__(self, project: Project, params: Params, began: datetime, outcome: Outcome) -> None:
        self.project, self.params, self.began, self.outcome = project, params, began, outcome
        self.inbox = deliveries.inbox_folder(project, params.retrain.source.inbox)
        self.quarantine = (project.root / own_path(params.retrain.deliveries.quarantine)).resolve()
        self.checked: list[CheckedDelivery] = []
        self._labels: DeliveryLabelCheck | None = None
        self.places: dict[str, list[str]] = {}  # of images in data/ before the run, by SHA-256
        self._held: set[str] = set()  # SHA-256 of what data/ holds, as the scan has read it

    @property
    def with_images(self) -> list[CheckedDelivery]:
        """Deliveries that are accepted and bring something new, images or changes of others."""
        return [
            checked
            for checked in self.checked
            if checked.accepted and checked.brings_something and not checked.set_aside
        ]

    def require_acknowledged(self) -> None:
        """Raise GraftError where ``on_bad`` is ``stop`` and nobody has looked at a delivery that was refused."""
        names = unacknowledged(self.quarantine) if self.params.retrain.deliveries.on_bad == "stop" else []
        if names:
            raise GraftError(
                f"{', '.join(names)} cannot be taken in, and retrain.deliveries.on_bad is stop",
                f"See {self._short(self.quarantine)}, then: graft retrain --accept {names[0]} (or remove its folder)",
            )

    def find(self, wait: bool = True) -> list[deliveries.Delivery]:
        """Return the complete deliveries; the others are named in the outcome."""
        settle = self.params.retrain.source.settle_seconds
        if wait:
            deliveries.remove_old(self.inbox, self.params.retrain.deliveries.keep_days)
            deliveries.wait_until_settled(self.inbox, settle)
        found = deliveries.find_deliveries(self.inbox, settle)
        self.outcome.arriving = found.arriving
        self.outcome.deliveries += [DeliveryOutcome(name, "left", reasons=[why]) for name, why in found.left.items()]
        if found.deliveries and self.params.retrain.source.remote == "update":
            raise GraftError(
                f"The inbox holds {', '.join(one.name for one in found.deliveries)}, and retrain.source.remote is "
                "update: the next `dvc update` would drop what a delivery adds to data/",
                "Add it where data/ comes from, or set retrain.source.remote to pull or none",
            )
        return found.deliveries

    def check(self, own: Project, found: Sequence[deliveries.Delivery]) -> None:
        """Check each delivery against data/ of a worktree and the accepted ones before it; nothing is moved."""
        folder = fresh_folder(self.project, INCOMING)
        rules = self.params.validate_
        existing = read_existing(own, rules, folder / "known.parquet")
        self._held = set(existing.labels)
        self.places = existing.places
        for number, one in enumerate(found):
            checked = check_delivery(one, folder / str(number), existing, rules, self.params.retrain.deliveries)
            self._doubt_labels(own, existing, checked)
            if checked.accepted:
                existing.accept(checked.images, checked.changes)
            self.checked.append(checked)
        self._leave_one_that_failed()

    def sort_out(self) -> None:
        """Quarantine what is refused, and put away what holds nothing new.

        Raises:
            GraftError: one is refused, and ``retrain.deliveries.on_bad`` is ``stop``.
        """
        for checked in list(self.checked):
            if not checked.accepted:
                self.refuse(checked, checked.refused)
            elif not checked.brings_something and self._is_held(checked):
                self._put_away(checked, "nothing new")
                self.checked.remove(checked)
        self.require_acknowledged()

    def refuse(self, checked: CheckedDelivery, reasons: list[str]) -> None:
        """Move a delivery into the quarantine."""
        checked.refused = reasons
        stops = self.params.retrain.deliveries.on_bad == "stop"
        place = quarantine(checked.delivery, self.quarantine, self.began, reasons, checked.left_out, stops)
        forget_failures(self.project, [checked])
        self.outcome.deliveries.append(
            DeliveryOutcome(checked.delivery.name, "quarantined", reasons=reasons, place=self._short(place))
        )

    def count_failure(self, error: GraftError) -> None:
        """Count a failure of the pipeline that names no delivery; the third time the deliveries are refused."""
        for checked in count_failure(self.project, self.with_images):
            self.refuse(checked, [f"{MOST} runs in a row have failed with it, the last one so: {error}"])

    def put_away(self) -> None:
        """Put away all deliveries that were taken in: data/ of the new commit has their images."""
        self._held |= {image.sha256 for checked in self.with_images for image in checked.images}
        for checked in self.checked:
            if checked.accepted:
                self._put_away(checked, "taken in" if checked.brings_something else "nothing new")
        forget_failures(self.project, self.checked)

    def preview(self) -> None:
        """Add to the outcome what would become of each delivery."""
        for checked in self.checked:
            verdict = "would be taken in" if checked.brings_something else "nothing new"
            reasons = _changed(checked) + checked.notes + _left_out(checked)
            if not checked.accepted:
                verdict, reasons = "would be quarantined", checked.refused
            self.outcome.deliveries.append(self._delivery_outcome(checked, verdict, reasons))

    def as_taken_in(self) -> list[DeliveryOutcome]:
        """Return what a commit says of the deliveries whose images it holds."""
        return [
            self._delivery_outcome(one, "taken in", _changed(one) + one.notes + _left_out(one))
            for one in self.with_images
        ]

    def _put_away(self, checked: CheckedDelivery, verdict: str) -> None:
        reasons, copies, place = _changed(checked) + checked.notes + _left_out(checked), set[str](), ""
        if checked.left_out:
            where, copies = quarantine_files(
                checked.delivery.name, self.quarantine, self.began, checked.left_out, reasons
            )
            place = self._short(where)
        os.sync()  # both data/ and the quarantine are on the disk before anything leaves the inbox
        proved = self._held | copies | checked.changes.files
        if checked.sha256 <= proved:
            proved |= checked.archives
        stay = deliveries.put_away(checked.delivery, self.inbox, self.began, proved.__contains__)
        if stay:
            more = " and more" if len(stay) > _EXAMPLES else ""
            reasons.append(
                f"Not in data/, so that {counted(len(stay), 'file')} stay in the inbox: "
                f"{', '.join(stay[:_EXAMPLES])}{more}."
            )
        found = self._delivery_outcome(checked, verdict, reasons, place)
        before = [one for one in self.outcome.deliveries if one.name == found.name]
        if verdict == "nothing new" and before:  # taken in by a run that was cut off before it could put it away
            before[0].reasons, before[0].place = reasons, place
        else:
            self.outcome.deliveries.append(found)

    def _is_held(self, checked: CheckedDelivery) -> bool:
        return checked.sha256 <= self._held | {sha256_of(one.file) for one in checked.left_out}

    def _leave_one_that_failed(self) -> None:
        """Leave one delivery alone in this run, the least tried one, where deliveries have failed again and again."""
        failed = {checked.delivery.name: failures_of(self.project, checked) for checked in self.with_images}
        suspects = [name for name, count in failed.items() if count >= ALONE_AFTER]
        if not suspects:
            return
        alone = min(suspects, key=lambda name: (failed[name], name))
        for checked in self.with_images:
            if checked.delivery.name != alone:
                self.checked.remove(checked)
                why = f"Waits for the next run: this one tries {alone} alone, with which others have failed."
                self.outcome.deliveries.append(DeliveryOutcome(checked.delivery.name, "left", reasons=[why]))

    def _doubt_labels(self, own: Project, existing: ExistingImages, checked: CheckedDelivery) -> None:
        params = self.params.retrain.deliveries
        if params.labels == "off" or not checked.images or not checked.accepted:
            return
        if self._labels is None:
            from graft.automation.retraining.label_doubts import DeliveryLabelCheck

            self._labels = DeliveryLabelCheck(own, self.params, existing)
        sentences = [f"Labels in doubt: {doubt}." for doubt in self._labels.doubts(checked)]
        if params.labels == "quarantine":
            checked.refused += sentences
        else:
            checked.notes += sentences

    def _delivery_outcome(
        self, checked: CheckedDelivery, verdict: str, reasons: list[str], place: str = ""
    ) -> DeliveryOutcome:
        count = len(checked.pictures_left_out)
        counts = checked.counts if checked.accepted else {}
        return DeliveryOutcome(checked.delivery.name, verdict, counts, count, checked.known, reasons, place)

    def _short(self, path: Path) -> str:
        root = self.project.root.resolve()
        return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _changed(checked: CheckedDelivery) -> list[str]:
    new = [f"New classes: {', '.join(checked.changes.classes)}."] if checked.changes.classes else []
    words = checked.changes.in_words()
    return [*new, f"{', '.join(words)}.".capitalize()] if words else new


def _left_out(checked: CheckedDelivery) -> list[str]:
    pictures, sentences = checked.pictures_left_out, []
    if pictures:
        sentences.append(f"{counted(len(pictures), 'image')} left out: {in_short(pictures)}.")
    if others := len(checked.left_out) - len(pictures):
        sentences.append(f"{counted(others, 'other file')} left out.")
    return sentences
