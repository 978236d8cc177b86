"""Run one retraining, step by step, as `pipelines/retrain.py` does in a Prefect flow.

    retraining = Retraining(project, params)
    with retraining.running():
        retraining.recover()          # what an earlier run left
        retraining.bring_in()         # a command, DVC's remote
        retraining.look()             # deliveries: complete, sound, rightly labelled?
        if retraining.decide():       # anything to do?
            retraining.train()        # data/ grows, one `dvc repro`
            retraining.record()       # a git commit, and the user's folder brought to it
            retraining.judge()        # gate, promotion
    outcome = retraining.outcome

All of it up to the commit happens in a worktree of its own (workspace.py): whatever ends a run leaves a folder, which
the next run deletes, and nothing to take back. From the commit on, what is left to do is noted (outcome.py), and the
next run does it.
"""

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from graft.automation.retraining import data_folder, landing, reasons, workspace
from graft.automation.retraining import fetch_deliveries as sources
from graft.automation.retraining.data_changes import apply_changes
from graft.automation.retraining.finishing import finish, mark_notified, report_late
from graft.automation.retraining.forget import forget_withdrawn
from graft.automation.retraining.intake import INCOMING, Intake
from graft.automation.retraining.judging import judge_deliveries, mark_killed
from graft.automation.retraining.outcome import OpenCommit, Outcome, from_record, read_open, write_open
from graft.automation.retraining.retrain_history import add_outcome
from graft.automation.retraining.workspace import Workspace, grow
from graft.automation.run_pipeline import reproduce, stage_services
from graft.core.credentials import without_credentials
from graft.core.errors import GraftError
from graft.core.lock import project_lock, retraining_lock
from graft.core.params.models import Params
from graft.core.processes import end_marked
from graft.core.project import Project
from graft.data.folder.versioning import dataset_name

MARK = "GRAFT_RETRAINING"  # in the environment of what a run starts: its id


class Retraining:
    """One retraining; see the module's text.

    Args:
        project: to be retrained; under git, with data/ under DVC.
        forced: train everything anew, whether or not there is a reason.
        flow_run: Prefect's id of the run, ``""`` outside Prefect.

    Attributes:
        outcome: what came of it so far.
    """

    def __init__(self, project: Project, params: Params, forced: bool = False, flow_run: str = "") -> None:
        self.project, self.params, self.forced = project, params, forced
        self.began = datetime.now(UTC)
        self.outcome = Outcome(self.began.isoformat(timespec="seconds"), dataset_name(project))
        self._run = flow_run or str(uuid.uuid4())
        self._limit = params.retrain.timeout_minutes * 60
        self._started = time.monotonic()
        self._intake = Intake(project, params, self.began, self.outcome)
        self._space: Workspace | None = None
        self._before: dict[str, str] = {}
        self._reasons: list[str] = []  # all but the deliveries
        self._open: OpenCommit | None = None
        self._compared: reasons.Compared | None = None
        self._recovered = False

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Keep other retrainings out, and leave nothing but what was recorded, however the block ends.

        Raises:
            ProjectBusyError: another command is at work, and ``retrain.overlap`` is ``skip``, or it did not end.
            Exception: whatever the block raised; ``outcome.failure`` says it in a sentence.
        """
        patience = self._limit if self.params.retrain.overlap == "queue" else 0
        with workspace.alone(self.project, patience, 2 * self._limit):
            with project_lock(self.project, patience):
                pass  # whoever runs the pipeline here is waited for: the worktree begins as this folder is
            os.environ[MARK] = self._run  # all that is started from here on carries it
            try:
                yield
            except BaseException as error:
                self.outcome.failure = without_credentials(str(error)) or type(error).__name__
                end_marked(MARK, self._run)
                raise
            else:
                # What a run that failed has compared is compared again: drift may have been its reason.
                self.outcome.settled += reasons.remember(self.project, self._compared)
            finally:
                del os.environ[MARK]
                workspace.remove_workspaces(self.project)
                shutil.rmtree(self.project.retraining / INCOMING, ignore_errors=True)
                self.outcome.seconds = round(time.monotonic() - self._started, 1)
                add_outcome(self.project, self.outcome)

    def recover(self) -> list[str]:
        """Remove what runs that were cut off have left, and do what is open after commits; return those runs."""
        runs, settled = workspace.left_behind(self.project), self.outcome.settled
        ended = sum(end_marked(MARK, run) for run in runs)
        workspace.remove_workspaces(self.project)
        found = [one for one in read_open(self.project) if landing.is_recorded(self.project, one)]
        if ended:
            settled.append(f"{ended} processes of a run that was cut off were still at work, and were ended.")
        for run in runs:
            after = next((f" after its commit {one.commit[:10]}" for one in found if one.run == run), "")
            what = "what was missing is done now" if after else "nothing of it is left, its deliveries wait"
            settled.append(f"A run was cut off{after}: {what}.")
            with contextlib.suppress(Exception):  # it is for people's eyes alone
                mark_killed(self.project, run)
        for number, one in enumerate(found):
            if one.run in runs:
                earlier = from_record(one.outcome)
                self.outcome.reasons += earlier.reasons
                self.outcome.deliveries += earlier.deliveries
            elif "tell" in one.todo:
                report_late(one, self.outcome)
            if len(one.todo) > 1:
                self.outcome.commit = one.commit
            found[number] = finish(self.project, self.params, one, self.outcome)
            write_open(self.project, found)
        write_open(self.project, found)
        settled += forget_withdrawn(self.project, self.params)  # a run that was cut off may not have come to it
        self._recovered = True
        return runs

    def bring_in(self) -> None:
        """Run the user's command, and have DVC bring data/ up to date, as ``retrain.source`` says."""
        source = self.params.retrain.source
        sources.run_command(self.project, source)
        if source.remote == "update":
            space = self._filled()
            sources.update(self.project, space.own, source)
        elif source.remote == "pull":
            if not self.is_here:
                return  # the worktree fetches
            sources.fetch(self.project, source)
            with project_lock(self.project, self._limit):
                data_folder.bring_up_to_date(self.project)

    def look(self) -> None:
        """Check the deliveries in the inbox, and move those that are refused into the quarantine.

        Raises:
            GraftError: one is refused, and ``retrain.deliveries.on_bad`` is ``stop``, now or since an earlier run.
        """
        self._intake.require_acknowledged()
        if found := self._intake.find():
            self._intake.check(self._filled().own, found)
            self._intake.sort_out()

    def decide(self) -> bool:
        """Return whether there is something to do; ``outcome.reasons`` says why."""
        self._find_reasons()
        if self.params.retrain.drift != "off":
            self._compare_predictions()
        self.outcome.reasons += self._all_reasons
        return bool(self._all_reasons)

    def preview(self) -> None:
        """Add to the outcome what a run would do now. Nothing is moved, trained or recorded."""
        with retraining_lock(self.project):
            try:
                self.outcome.settled += [f"Still open: {one}" for one in read_open(self.project)]
                if found := self._intake.find(wait=False):
                    self._intake.check(self._filled().own, found)
                    self._intake.preview()
                self._find_reasons()
                self.outcome.reasons = self._all_reasons
            finally:
                workspace.remove_workspaces(self.project, self._run)

    def train(self) -> None:
        """Put the new images into data/ of the worktree and run the pipeline there.

        Raises:
            GraftError: a stage failed. Where it refused new images, they are in the quarantine, and the others were
                trained on.
        """
        started = time.time()
        try:
            self._run_pipeline()
        except GraftError as error:
            if not self._intake.with_images:
                raise
            if not reasons.broken_rules(self._filled().own, started):
                self._intake.count_failure(error)
                raise
            self._keep_those_that_fit()
            if self._all_reasons:
                self._run_pipeline()
            else:
                self._space = None

    def record(self) -> None:
        """Commit what changed, bring the user's folder to it, and put the deliveries away."""
        if self._space is None:
            return
        project, space = self.project, self._space
        self.outcome.reasons = self._all_reasons
        with project_lock(project, self._limit):
            subject = f"Retrain {self.outcome.dataset}: {'; '.join(self.outcome.reasons)}"
            message = f"{subject}\n\nGraft-Run: {self._run}\n"
            parent, commit = landing.commit_changes(space, message)
            before = {name: self._before.get(name, "") for name in landing.changed_by(space.own, parent, commit)}
            if workspace.checked_out(project) == space.branch:
                landing.require_same_data(project, self._before)
            so_far = replace(self.outcome, deliveries=self._intake.as_taken_in(), commit=commit)
            one = OpenCommit(self._run, self.outcome.at, space.branch, commit, before, so_far.as_record())
            os.sync()  # what the commit names is on the disk before anything relies on it
            write_open(project, [*read_open(project), one])
            tip = space.tip if parent == space.base else parent
            landing.move_branch(project, space.branch, commit, tip)
            self.outcome.commit = commit if commit != tip else ""
            self.outcome.settled += landing.check_out(project, one) if before else []
        self._open = replace(one, todo=("judge", "push", "tell"))
        write_open(project, [self._open])  # what was open before it is done by what follows
        self.outcome.open.clear()
        if parent != space.base:
            self._space = None  # a colleague's commit below this one: its files are not in this worktree
        self._intake.put_away()

    def judge(self) -> None:
        """Let the gate decide about the challenger, and push where params say so; what fails stays open."""
        if self._open is not None:
            self._open = finish(self.project, self.params, self._open, self.outcome, self._space)
            write_open(self.project, [self._open])
        self.outcome.settled += forget_withdrawn(self.project, self.params)

    def notified(self) -> None:
        """Record that a person was notified of what came of this run."""
        if self._recovered:  # else it does not say what earlier runs should have said
            mark_notified(self.project)

    @property
    def is_here(self) -> bool:
        """Return whether the branch that is recorded on is checked out, so that a run begins with the user's folder."""
        return workspace.checked_out(self.project) == self._branch

    # What the steps are made of.

    @property
    def _branch(self) -> str:
        return workspace.branch_name(self.project, self.params.retrain.record.branch)

    @property
    def _all_reasons(self) -> list[str]:
        return [f"{one.in_words} in {one.delivery.name}" for one in self._intake.with_images] + self._reasons

    def _filled(self) -> Workspace:
        """Return the run's worktree, which is made where it is missing."""
        if self._space is None:
            source = self.params.retrain.source
            with project_lock(self.project, self._limit):
                self._space = workspace.open_workspace(
                    self.project, self._branch, self._run, [self._intake.inbox, self._intake.quarantine]
                )
                self._before = landing.hashes_in_worktree(self._space)
                if source.remote == "pull" and not self._space.is_snapshot:
                    sources.fetch(self._space.own, source)
                workspace.fill(self._space)
        return self._space

    def _find_reasons(self) -> None:
        if self.forced:
            self._reasons.append("forced")
        if self._space is None and not self.is_here:
            self._filled()
        if reason := reasons.found_by_dvc(self._space.own if self._space else self.project):
            self._reasons.append(reason)

    def _run_pipeline(self, *stages: str) -> None:
        own = self._filled().own
        images = [image for checked in self._intake.with_images for image in checked.images]
        if images:
            grow(own, images)
        for checked in self._intake.with_images:
            if checked.changes:
                apply_changes(own, checked.changes, self._intake.places)
        # The code that DVC hashes in the worktree is the code that runs.
        paths = [str(own.root / "src"), str(own.root), os.environ.get("PYTHONPATH", "")]
        environment = {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
        with stage_services(own, environment) as of_stages:
            run = partial(reproduce, own, timeout=self._limit, environment=of_stages)
            if images and not stages:
                judge_deliveries(own, self.params, self.outcome, lambda: run(["split"]))
            run(["--force", *stages] if self.forced else list(stages))

    def _keep_those_that_fit(self) -> None:
        """Ask the pipeline's checks about one delivery after the other, each with data/ and those that fit before it.

        Raises:
            GraftError: data/ breaks rules without any delivery.
        """
        tried = self._intake.with_images
        for checked in tried:
            checked.set_aside = True
        if wrong := self._refused_by_checks():
            raise GraftError(f"data/ breaks rules of its own: {' '.join(wrong)}", "Mend data/; the deliveries wait")
        for checked in tried:
            checked.set_aside = False
            try:
                wrong = self._refused_by_checks()
            except GraftError as error:
                self._intake.count_failure(error)
                raise
            if wrong:
                self._intake.refuse(checked, wrong)
        self._space = None

    def _refused_by_checks(self) -> list[str]:
        """Run the pipeline up to its checks in a fresh worktree; return what they refuse."""
        self._space = None
        own, started = self._filled().own, time.time()
        try:
            self._run_pipeline("split")
        except GraftError:
            broken = reasons.broken_rules(own, started)
            if not broken:
                raise
            return broken
        return []

    def _compare_predictions(self) -> None:
        found = reasons.compare_predictions(self.project, self.params)
        if found is None:
            return
        self._compared = found
        self.outcome.drift = found.words
        if found.drift and self.params.retrain.drift == "retrain":
            self.forced = True
            self._reasons.append("drift of what the model is asked")
