"""The outcome of a retraining, the message that notifies a person, and what is still open after the commit.

The last is noted in ``.graft/state/retrain/open.json``. The file holds no absolute path: a project may be moved between
two runs.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from graft.core.errors import GraftError
from graft.core.files import write_file
from graft.core.params.retrain_params import Event
from graft.core.project import Project
from graft.registry.promotion.line import MAX_REASON

_NAMED = 4  # deliveries in the reason of a promotion


@dataclass
class DeliveryOutcome:
    """The outcome of a delivery.

    Attributes:
        name: of it.
        verdict: ``taken in``, ``quarantined``, ``nothing new``, or ``left`` in the inbox as it is.
        counts: new images by class.
        left_out: pictures that were not taken.
        known: images that data/ held already.
        reasons: why it was refused, why images were left out, and what else a person should know; a sentence each.
        place: where in the quarantine it, or what was left out of it, lies; ``""`` for nowhere.
    """

    name: str
    verdict: str
    counts: dict[str, int] = field(default_factory=dict)
    left_out: int = 0
    known: int = 0
    reasons: list[str] = field(default_factory=list)
    place: str = ""

    @property
    def images(self) -> int:
        """Number of images that are new in data/."""
        return sum(self.counts.values())


@dataclass
class Outcome:
    """The outcome of one run.

    Attributes:
        at: when it began, UTC, ISO 8601.
        dataset: the project's.
        reasons: why there was something to do; empty where there was not.
        settled: what was done about an earlier run that had been cut off; a sentence each.
        deliveries: those of the inbox.
        arriving: names of those that were not complete.
        drift: what the comparison of logged predictions with the training images said, ``""`` where none was made.
        commit: that recorded it, ``""`` where nothing was recorded.
        model: the name that its models are registered under, ``""`` where none was judged.
        version, strategy: of the challenger, ``""`` where none was judged.
        figures: of the challenger and the champion on today's test images: accuracy, macro_f1, log_loss.
        refused: rules of the gate that the challenger broke, each with what was found and what to do.
        judged_first: what the champion and challengers before it were right on of images that came later, in sentences.
        shown: what of that is shown of the champion that was judged against, ``""`` for nothing.
        promoted: whether the challenger became champion.
        champion: the version in production at the end, ``""`` for none.
        stuck: that nothing was promoted for weeks, and why, or that the champion is shown to be stuck or worse than was
            said; ``""`` where that is not so.
        failure: why the run stopped, ``""`` where it did not.
        open: what follows the commit and could not be done; the next run tries again. A sentence each.
        late: events of an earlier run about which nobody could be notified.
        seconds: that it took.
    """

    at: str
    dataset: str
    reasons: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    deliveries: list[DeliveryOutcome] = field(default_factory=list)
    arriving: list[str] = field(default_factory=list)
    drift: str = ""
    commit: str = ""
    model: str = ""
    version: str = ""
    strategy: str = ""
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    judged_first: str = ""
    shown: str = ""
    promoted: bool = False
    champion: str = ""
    stuck: str = ""
    failure: str = ""
    open: list[str] = field(default_factory=list)
    late: list[Event] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def events(self) -> list[Event]:
        """Events to notify about, the most urgent first."""
        found: list[Event] = []
        if self.failure or self.open:
            found.append("failed")
        if self.promoted:
            found.append("promoted")
        if self.refused:
            found.append("refused")
        if any(one.verdict == "quarantined" or (one.left_out and one.place) for one in self.deliveries):
            found.append("quarantined")
        if self.stuck:
            found.append("stuck")
        found += [event for event in self.late if event not in found]
        return found or ["nothing"]

    def as_record(self) -> dict[str, Any]:
        """Return the outcome JSON-ready."""
        return {**asdict(self), "events": self.events}


def from_record(record: dict[str, Any]) -> Outcome:
    """Return an outcome from :meth:`Outcome.as_record`; what another version of graft wrote is passed over.

    Raises:
        TypeError: it is no such record.
    """

    def known(kind: type[Outcome | DeliveryOutcome], values: dict[str, Any]) -> dict[str, Any]:
        names = {one.name for one in fields(kind)}
        return {name: value for name, value in values.items() if name in names}

    deliveries = [DeliveryOutcome(**known(DeliveryOutcome, one)) for one in record.get("deliveries", [])]
    return Outcome(**{**known(Outcome, record), "deliveries": deliveries})


def title(outcome: Outcome) -> str:
    """Return one line that says what matters most, and of which data set."""
    return f"graft, {outcome.dataset}: {headline(outcome)}"


def headline(outcome: Outcome) -> str:
    """Return what matters most, in a few words."""
    return {
        "failed": "retraining failed" if outcome.failure else "recorded, and not finished",
        "promoted": f"version {outcome.version} is champion",
        "refused": f"version {outcome.version} did not pass the gate",
        "quarantined": "a delivery needs a look",
        "stuck": "the champion needs a look",
        "nothing": "nothing to do" if not outcome.reasons else "trained, and the champion stays",
    }[outcome.events[0]]


def message(outcome: Outcome) -> str:
    """Return title and details, in Markdown."""
    return f"**{title(outcome)}**\n\n{details(outcome)}"


def details(outcome: Outcome) -> str:
    """Return what happened and what a person can do about it, in Markdown."""
    lines: list[str] = []
    if outcome.failure:
        stands = (
            "The new images and the commit stand; the next run does what is missing."
            if outcome.commit
            else "Data, repository and champion are as they were; the next run tries again."
        )
        lines += [outcome.failure, "", stands, ""]
    if outcome.open:
        lines += [*outcome.open, "", "The new images and the commit stand; the next run tries again.", ""]
    lines += [f"- {sentence}" for sentence in outcome.settled]
    if outcome.reasons:
        lines.append(f"- Why: {'; '.join(outcome.reasons)}")
    lines += [f"- {delivery_line(one)}" for one in outcome.deliveries]
    if outcome.arriving:
        lines.append(f"- Still arriving: {', '.join(outcome.arriving)}")
    if outcome.drift:
        lines.append(f"- {outcome.drift}")
    if outcome.judged_first:
        lines.append(f"- {outcome.judged_first}")
    if outcome.stuck:
        lines.append(f"- {outcome.stuck}")
    if outcome.version:
        lines.append(f"- {challenger_line(outcome)}")
    lines += [f"- {rule}" for rule in outcome.refused]
    if outcome.commit:
        lines.append(f"- Recorded in commit {outcome.commit[:10]}")
    commands = _commands(outcome)
    if commands:
        lines += ["", "What you can do:", "", "```", *commands, "```"]
    return "\n".join(lines) + "\n"


def promotion_reason(outcome: Outcome) -> str:
    """Return why the challenger became champion, for the line of champions: no longer than that takes."""
    taken = [f"{one.images} images of {one.name}" for one in outcome.deliveries if one.images]
    more = [f"and {len(taken) - _NAMED} more"] if len(taken) > _NAMED else []
    what = ", ".join([*taken[:_NAMED], *more]) or "; ".join(outcome.reasons)
    return f"retraining: {what}"[:MAX_REASON]


def delivery_line(one: DeliveryOutcome) -> str:
    """Return what became of a delivery, and why."""
    counts = ", ".join(f"{count} {label}" for label, count in one.counts.items())
    words = [f"{one.name}: {one.verdict}" + (f", {counts}" if counts else "")]
    if one.known:
        words.append(f"{one.known} {'was' if one.known == 1 else 'were'} there already")
    words += one.reasons
    if one.place:
        words.append(f"see {one.place}")
    return "; ".join(word.rstrip(".") for word in words)


def challenger_line(outcome: Outcome) -> str:
    """Return the accuracy of the challenger and of the champion before it, in words."""
    both = outcome.figures
    new = both.get("challenger", {}).get("accuracy")
    old = both.get("champion", {}).get("accuracy")
    words = f"Version {outcome.version} ({outcome.strategy})"
    if new is not None:
        words += f" is right on {new:.2%} of today's test images"
    if old is not None:
        words += f", the champion before it on {old:.2%}" if outcome.promoted else f", the champion on {old:.2%}"
    return words


def _commands(outcome: Outcome) -> list[str]:
    commands = []
    if outcome.promoted:
        commands += ["graft history", 'graft rollback --reason "..."']
    elif outcome.refused:
        commands += ["graft gate", 'graft promote --without-gate --reason "..."']
    elif outcome.version and outcome.version != outcome.champion:
        commands += ["graft promote"]
    elif outcome.stuck:
        commands += ["graft history"]
    if outcome.failure or outcome.open:
        commands += ["graft ui", "graft retrain"]
    if outcome.open:
        commands += ["graft retrain --abandon"]
    return commands


Step = Literal["check out", "judge", "push", "tell"]
STEPS: tuple[Step, ...] = ("check out", "judge", "push", "tell")


@dataclass(frozen=True)
class OpenCommit:
    """A commit of a retraining, and what is left to do about it.

    Attributes:
        run: id of the run.
        at: when that began, UTC, ISO 8601.
        branch: that the commit is on.
        commit: 40 hex digits.
        before: of each file that the commit changes, by path in the repository, git's hash of what the user's folder
            held when the run began; ``""`` where there was no such file.
        outcome: what came of the run up to the commit, see :class:`graft.automation.retraining.outcome.Outcome`.
        todo: steps that are left, in their order.
    """

    run: str
    at: str
    branch: str
    commit: str
    before: dict[str, str]
    outcome: dict[str, Any]
    todo: tuple[Step, ...] = field(default=STEPS)

    def __str__(self) -> str:
        return f"commit {self.commit[:10]} of {self.at[:16].replace('T', ' ')} UTC: {', '.join(self.todo)}"


def read_open(project: Project) -> list[OpenCommit]:
    """Return the commits whose retraining is not finished, the oldest first.

    Raises:
        GraftError: the file cannot be read as such a list.
    """
    path = _file(project)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [OpenCommit(**{**one, "todo": tuple(one["todo"])}) for one in content]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError):
        raise GraftError(
            f"{path} is not what a retraining writes", "Give up what it held: graft retrain --abandon"
        ) from None


def write_open(project: Project, commits: Sequence[OpenCommit]) -> None:
    """Write the commits whose retraining is not finished; those with nothing left to do are dropped."""
    left = [asdict(one) for one in commits if one.todo]
    if left:
        write_file(_file(project), json.dumps(left, indent=1, ensure_ascii=False) + "\n")
    else:
        _file(project).unlink(missing_ok=True)


def _file(project: Project) -> Path:
    return project.retraining / "open.json"
