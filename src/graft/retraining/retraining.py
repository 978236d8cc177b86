"""One retraining, step by step: what `pipelines/retrain.py` runs as a Prefect flow, and anybody else as it is.

    retraining = Retraining(project, params)
    with retraining.running():
        retraining.recover()          # what an earlier run left
        retraining.bring_in()         # a command, DVC's remote
        retraining.look()             # deliveries: complete, sound, rightly labelled?
        if retraining.decide():       # anything to do?
            retraining.train()        # data/ grows, one `dvc repro`
            retraining.record()       # a git commit
            retraining.judge()        # gate, promotion
    outcome = retraining.outcome

Nothing is changed before :mod:`graft.retraining.journal` has written down how things were. Whatever ends the block
before the commit, be it an exception, a kill or a cut of the power, is taken back: at once where there still is
somebody to do it, else by the next run. From the commit on, the next run finishes what is left.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from graft.data import swap
from graft.data.versioning import dataset_name, run_dvc
from graft.errors import GraftError
from graft.params.models import Params
from graft.pipeline import reproduce
from graft.processes import end_marked
from graft.project import Project
from graft.project_lock import project_lock
from graft.retraining import committing, deliveries, drift, journal, sources
from graft.retraining.checking import Checked, check_delivery, in_short
from graft.retraining.growing import grow
from graft.retraining.journal import Journal, TakenIn
from graft.retraining.judging import judge_challenger, push
from graft.retraining.known import Known, read_known
from graft.retraining.outcome import DeliveryOutcome, Outcome
from graft.retraining.reasons import broken_rules, what_changed

MARK = "GRAFT_RETRAINING"  # in the environment of what a run starts: its id
HISTORY_FILE = "history.jsonl"


class Retraining:
    """See the module's text.

    Args:
        project: to be retrained; under git, with data/ under DVC.
        params: all of them.
        forced: train everything anew, whether or not there is a reason.
        flow_run: Prefect's id of the run, ``""`` outside Prefect.

    Attributes:
        outcome: what came of it so far.
    """

    def __init__(self, project: Project, params: Params, forced: bool = False, flow_run: str = "") -> None:
        self.project, self.params, self.forced, self.flow_run = project, params, forced, flow_run
        self.began = datetime.now(UTC)
        self.run = uuid.uuid4().hex
        self.outcome = Outcome(self.began.isoformat(timespec="seconds"), dataset_name(project))
        self._started = time.monotonic()
        self._journal: Journal | None = None
        self._checked: list[Checked] = []
        self._compared: drift.Compared | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Keeps others out, and takes back what was changed where the block does not end well.

        Raises:
            ProjectBusyError: another command is at work, and ``retrain.overlap`` is ``skip``, or it did not end.
            Exception: whatever the block raised; ``outcome.failure`` says it in a sentence.
        """
        limit = self.params.retrain.timeout_minutes * 60
        patience = limit if self.params.retrain.overlap == "queue" else 0
        with project_lock(self.project, patience, by_retraining=True):
            try:
                yield
            except BaseException as error:
                self.outcome.failure = str(error) or type(error).__name__
                self._take_back()
                raise
            else:
                self._remember_comparison()
            finally:
                self.outcome.seconds = round(time.monotonic() - self._started, 1)
                self._keep_outcome()

    def recover(self) -> Journal | None:
        """Finishes or takes back what an earlier run left, if one was cut off; returns its journal then."""
        project = self.project
        left = journal.read_journal(project)
        if left is None:
            swap.recover(project)
            return None
        ended = end_marked(MARK, left.run)
        began = datetime.fromisoformat(left.at)
        if committing.remove_stale_lock(project, began.timestamp()):
            self.outcome.settled.append("Removed a lock of git's that the run before had left.")
        branch = self.params.retrain.record.branch
        commit = left.commit or committing.commit_of(project, branch, left.run)
        what = f"The run of {left.at[:16].replace('T', ' ')} UTC was cut off"
        if ended:
            what += f" ({ended} processes of it were still at work, and were ended)"
        if not commit:
            journal.take_back(project)
            journal.close_journal(project)
            self.outcome.settled.append(f"{what}: taken back, its deliveries are looked at again.")
            return left
        self.outcome.settled.append(f"{what} after its commit {commit[:10]}: what was missing is done now.")
        committing.settle_index(project, committing.branch_name(project, branch), self._to_commit())
        self._journal = journal.note(project, left, commit=commit)
        self.outcome.reasons.append(left.reason)
        self._after_commit()
        return left

    def bring_in(self) -> None:
        """Runs the user's command, and has DVC bring data/ up to date, as ``retrain.source`` says."""
        source = self.params.retrain.source
        sources.run_command(self.project, source)
        if source.remote != "none":
            self._open_journal()
            sources.fetch_remote(self.project, source)
            journal.keep_fetched(self.project)

    def look(self) -> None:
        """Looks at the deliveries in the inbox, and moves those that are refused into the quarantine.

        Raises:
            GraftError: one is refused, and ``retrain.deliveries.on_bad`` is ``stop``.
        """
        retrain = self.params.retrain
        inbox = deliveries.inbox_folder(self.project, retrain.source.inbox)
        deliveries.remove_old(inbox, retrain.deliveries.keep_days)
        deliveries.wait_until_settled(inbox, retrain.source.settle_seconds)
        found, self.outcome.arriving = deliveries.find_deliveries(inbox, retrain.source.settle_seconds)
        folder = self._fresh_folder("incoming")
        if not found:
            return
        if retrain.source.remote == "update":
            raise GraftError(
                f"The inbox holds {', '.join(one.name for one in found)}, and retrain.source.remote is update: the "
                "next `dvc update` would drop what a delivery adds to data/",
                "Add it where data/ comes from, or set retrain.source.remote to pull or none",
            )
        known = read_known(self.project, self.params.validate_, folder / "known.parquet")
        self._checked = [
            check_delivery(one, folder / str(number), known, self.params.validate_, retrain.deliveries)
            for number, one in enumerate(found)
        ]
        self._doubt_labels(known)
        for checked in self._checked:
            self._settle_without_training(checked, inbox)
        refused = [checked.delivery.name for checked in self._checked if not checked.accepted]
        if refused and retrain.deliveries.on_bad == "stop":
            raise GraftError(
                f"{', '.join(refused)} cannot be taken in, and retrain.deliveries.on_bad is stop",
                f"See {self._quarantine}; what is good waits in the inbox",
            )

    def decide(self) -> bool:
        """Whether there is something to do; ``outcome.reasons`` says why."""
        reasons = self.outcome.reasons
        new = {one.delivery.name: len(one.images) for one in self._with_images()}
        reasons += [f"{count} new images in {name}" for name, count in new.items()]
        if self.forced:
            reasons.append("forced")
        changed = json.loads(run_dvc(self.project, "status", "--json") or "{}")
        if not (self.project.root / "dvc.lock").is_file():
            reasons.append("the pipeline has not run here yet")
        elif changed:
            reasons.append(f"{what_changed(changed)} changed since the last run")
        if self.params.retrain.drift != "off":
            self._compare_predictions()
        if not reasons and self._journal is not None:
            journal.close_journal(self.project)
            self._journal = None
        return bool(reasons)

    def train(self) -> None:
        """Puts the new images into data/ and runs the pipeline.

        Raises:
            GraftError: a stage failed. Where it refused the new images, they are in the quarantine, and ``outcome``
                says so, without an error.
        """
        self._open_journal()
        started = time.time()
        images = [image for checked in self._with_images() for image in checked.images]
        if images:
            grow(self.project, images)
        try:
            reproduce(
                self.project,
                ["--force"] if self.forced else [],
                timeout=self.params.retrain.timeout_minutes * 60,
                environment={MARK: self._opened.run},
            )
        except GraftError:
            broken = broken_rules(self.project, started)
            if not broken or not images:
                raise
            journal.take_back(self.project)
            journal.close_journal(self.project)
            self._journal = None
            for checked in self._with_images():
                self._quarantine_whole(checked, broken)

    def record(self) -> None:
        """Commits data.dvc, dvc.lock, params.yaml and git's own outputs of the pipeline; pushes where told to."""
        if self._journal is None:
            return
        record = self.params.retrain.record
        branch = committing.branch_name(self.project, record.branch)
        message = f"Retrain {self.outcome.dataset}: {'; '.join(self.outcome.reasons)}"
        commit = committing.commit_files(self.project, branch, self._to_commit(), message, self._opened.run)
        self._journal = journal.note(self.project, self._opened, commit=commit)
        self.outcome.commit = commit

    def judge(self) -> None:
        """Puts the deliveries away, and lets the gate decide about the challenger."""
        if self._journal is not None:
            self._after_commit()

    # What the steps are made of.

    @property
    def _opened(self) -> Journal:
        assert self._journal is not None  # each step that needs it follows one that opens it
        return self._journal

    @property
    def _quarantine(self) -> Path:
        return (self.project.root / Path(self.params.retrain.deliveries.quarantine).expanduser()).resolve()

    def _with_images(self) -> list[Checked]:
        return [checked for checked in self._checked if checked.accepted and checked.images]

    def _open_journal(self) -> None:
        taken = [_taken_in(checked) for checked in self._with_images()]
        reason = "; ".join(self.outcome.reasons)
        if self._journal is not None:
            self._journal = journal.note(self.project, self._journal, deliveries=taken, reason=reason)
            return
        self._journal = Journal(self.run, self.outcome.at, self.flow_run, reason, taken)
        journal.open_journal(self.project, self._journal)

    def _doubt_labels(self, known: Known) -> None:
        params = self.params.retrain.deliveries
        if params.labels == "off" or not self._with_images():
            return
        from graft.retraining.label_doubts import delivery_doubts

        doubts = delivery_doubts(self.project, self.params, known, self._with_images())
        for checked in self._with_images():
            sentences = [f"Labels in doubt: {doubt}." for doubt in doubts.get(checked.delivery.name, [])]
            if sentences and params.labels == "quarantine":
                checked.refused += sentences
            else:
                checked.notes += sentences

    def _settle_without_training(self, checked: Checked, inbox: Path) -> None:
        """What is refused goes into the quarantine, and what holds nothing new is put away: nothing depends on it."""
        if not checked.accepted:
            self._quarantine_whole(checked, checked.refused)
        elif not checked.images:
            place = self._quarantine_images(_taken_in(checked), self.began)
            deliveries.put_away(checked.delivery, inbox, self.began)
            self._tell(_taken_in(checked), "nothing new", place, checked.known)

    def _quarantine_whole(self, checked: Checked, reasons: list[str]) -> None:
        checked.refused = reasons
        details = [{"path": one.path, "found": one.why} for one in checked.left_out]
        place = deliveries.quarantine(checked.delivery, self._quarantine, self.began, reasons, details)
        self.outcome.deliveries = [
            one for one in self.outcome.deliveries if one.name != checked.delivery.name
        ]
        self.outcome.deliveries.append(
            DeliveryOutcome(checked.delivery.name, "quarantined", reasons=reasons, place=self._short(place))
        )

    def _quarantine_images(self, taken: TakenIn, at: datetime) -> str:
        """Copies images that were left out of a delivery into the quarantine; says where."""
        if not taken.left_out:
            return ""
        images = [
            (Path(file), where, why) for file, where, why in taken.left_out if file and Path(file).is_file()
        ]
        return self._short(
            deliveries.quarantine_images(taken.name, self._quarantine, at, images, taken.notes)
        )

    def _after_commit(self) -> None:
        """All that follows the commit; may be repeated."""
        now = self._opened
        self.outcome.commit = now.commit
        at = datetime.fromisoformat(now.at)
        inbox = deliveries.inbox_folder(self.project, self.params.retrain.source.inbox)
        known = {checked.delivery.name: checked.known for checked in self._checked}
        for taken in now.deliveries:
            place = self._quarantine_images(taken, at)
            whole = deliveries.Delivery(taken.name, tuple(Path(path) for path in taken.paths))
            deliveries.put_away(whole, inbox, at)
            self._tell(taken, "taken in", place, known.get(taken.name, 0))
        judge_challenger(self.project, self.params, now.commit, self.outcome)
        push(self.project, self.params.retrain, self.outcome)
        journal.close_journal(self.project)
        self._journal = None

    def _compare_predictions(self) -> None:
        found = drift.compare_predictions(self.project, self.params)
        if found is None:
            return
        self._compared = found
        self.outcome.drift = found.words
        if found.drift and self.params.retrain.drift == "retrain":
            self.forced = True
            self.outcome.reasons.append("drift of what the model is asked")

    def _remember_comparison(self) -> None:
        """What a run that failed has compared is compared again: drift may have been its reason."""
        if self._compared is not None:
            drift.remember(self.project, self._compared)

    def _to_commit(self) -> list[Path]:
        files = [Path(name) for name in ("data.dvc", "dvc.lock", "params.yaml")]
        gate = Path("artifacts", "gate")
        others = journal.uncached_outputs(self.project)
        return files + [path for path in others if not path.is_relative_to(gate)]

    def _take_back(self) -> None:
        if self._journal is None or self._journal.commit:
            return
        end_marked(MARK, self._journal.run)
        try:
            journal.take_back(self.project)
            journal.close_journal(self.project)
        except (GraftError, OSError) as error:
            self.outcome.failure += (
                f" What was changed could not be taken back yet ({error}); the next run tries."
            )
        self._journal = None

    def _tell(self, taken: TakenIn, verdict: str, place: str, known: int) -> None:
        self.outcome.deliveries.append(
            DeliveryOutcome(taken.name, verdict, taken.counts, len(taken.left_out), known, taken.notes, place)
        )

    def _keep_outcome(self) -> None:
        path = self.project.retraining / HISTORY_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.outcome.as_record(), ensure_ascii=False) + "\n")

    def _fresh_folder(self, name: str) -> Path:
        folder = self.project.retraining / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _short(self, path: Path) -> str:
        root = self.project.root.resolve()
        return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _taken_in(checked: Checked) -> TakenIn:
    left_out = [[str(one.file or ""), one.path, one.why] for one in checked.left_out]
    notes = list(checked.notes)
    if checked.left_out:
        count = len(checked.left_out)
        images = "image" if count == 1 else "images"
        notes.append(f"{count} {images} left out: {in_short(checked.left_out)}.")
    paths = [str(path) for path in checked.delivery.paths]
    return TakenIn(checked.delivery.name, paths, checked.counts, left_out, notes)
