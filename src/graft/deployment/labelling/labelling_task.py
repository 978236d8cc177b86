"""Some images that a person is to decide about, as a folder: the images, what is known of them, and the decisions.

::

    <folder>/task.json           kind, classes, and an item for each image
    <folder>/images/<sha256>.<suffix>

It may be closed and opened at any time: each decision is on the disk when the next image is shown.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from graft.core.errors import GraftError
from graft.core.files import make_private_folder, new_folder, write_file
from graft.core.outside import is_sha256

TASK_FILE, IMAGES = "task.json", "images"
# Of new images: a label, or none. Of images of data/: another label, out, or as it is.
Kind = Literal["label", "inspect"]
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}")


@dataclass
class Item:
    """One image.

    Attributes:
        sha256: of its file.
        file: name below ``images``.
        name: what it was called where it came from.
        suggested: the class that the model takes it for, or the one it lies in; ``probability`` of that.
        why: it is asked about, in a few words.
        label: the decision: a class; ``""`` for none yet.
        verdict: ``""`` while it is open; ``labelled``, ``kept`` as it is, ``skipped``, or ``removed``.
    """

    sha256: str
    file: str
    name: str
    suggested: str = ""
    probability: float = 0.0
    why: str = ""
    label: str = ""
    verdict: str = ""


@dataclass
class LabellingTask:
    """A folder of images to decide about.

    Attributes:
        folder: where it lies.
        kind: see :data:`Kind`.
        classes: that there are, those that a person added last.
        items: in the order in which they are asked about.
        added: classes that the project did not have.
    """

    folder: Path
    kind: Kind
    classes: list[str]
    items: list[Item] = field(default_factory=list)
    added: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> LabellingTask:
        """Return the task in a folder.

        Raises:
            GraftError: there is none.
        """
        try:
            found = json.loads((folder / TASK_FILE).read_text(encoding="utf-8"))
            items = [Item(**one) for one in found["items"]]
            return cls(folder, found["kind"], found["classes"], items, found["added"])
        except (OSError, ValueError, KeyError, TypeError):
            raise GraftError(f"There is nothing to label in {folder}", "Choose images first: graft label") from None

    def add(self, data: bytes, item: Item) -> None:
        """Add an image; its file is named by its hash."""
        found = _SUFFIX.search(Path(item.name).suffix)
        item.file = f"{item.sha256}{found[0].lower() if found else ''}"
        make_private_folder(self.folder / IMAGES)
        write_file(self.folder / IMAGES / item.file, data, private=True)
        self.items.append(item)

    def write(self) -> None:
        """Write the task's file, readable by its owner alone."""
        make_private_folder(self.folder)
        content = {name: value for name, value in asdict(self).items() if name != "folder"}
        write_file(self.folder / TASK_FILE, json.dumps(content, ensure_ascii=False, indent=1), private=True)

    def decide(self, sha256: str, verdict: str, label: str = "") -> None:
        """Write down what a person decided of an image.

        Raises:
            GraftError: there is no such image, verdict or class name.
        """
        item = next((one for one in self.items if one.sha256 == sha256), None)
        if item is None or verdict not in ("", "labelled", "kept", "skipped", "removed"):
            raise GraftError("There is no such image or verdict in this task", "Load the page again")
        if verdict == "labelled":
            label = label.strip()
            if not label or label in (".", "..") or set(label) & set('/\\\0\n\r"'):
                raise GraftError(f"{label[:40]!r} cannot be the name of a class", "Name it as a folder can be named")
            if label not in self.classes:
                self.classes.append(label)
                self.added.append(label)
        item.verdict, item.label = verdict, label if verdict == "labelled" else ""
        self.write()

    @property
    def open_items(self) -> int:
        """How many images no decision was made of."""
        return sum(not one.verdict for one in self.items)

    def deliver(self, inbox: Path) -> Path | None:
        """Put what was labelled into the inbox as a delivery; return its folder, None where nothing was.

        Images leave the task with it, so that it is not delivered twice; those without a label stay.
        """
        labelled = [one for one in self.items if one.verdict == "labelled"]
        if not labelled:
            return None
        place = inbox / f"labelled-{datetime.now(UTC):%Y-%m-%dT%H%M%S}"
        with new_folder(place) as partial:
            for one in labelled:
                (partial / one.label).mkdir(exist_ok=True)
                shutil.copyfile(self.folder / IMAGES / one.file, partial / one.label / one.file)
            if new := sorted({one.label for one in labelled} & set(self.added)):
                write_file(partial / "classes.csv", "\n".join(["label", *(f'"{name}"' for name in new)]) + "\n")
        self.items = [one for one in self.items if one.verdict != "labelled"]
        self.added = []
        self.write()
        for one in labelled:
            (self.folder / IMAGES / one.file).unlink(missing_ok=True)
        return place

    def changes(self) -> tuple[dict[str, str], set[str]]:
        """Return new labels by SHA-256, and the images to remove, of images that lie in data/ already."""
        labels = {
            one.sha256: one.label for one in self.items if one.verdict == "labelled" and one.label != one.suggested
        }
        return labels, {one.sha256 for one in self.items if one.verdict == "removed"}


def label_studio_tasks(task: LabellingTask) -> list[dict[str, Any]]:
    """Return tasks for Label Studio, with the model's answers as pre-annotations, JSON-ready.

    Images are named as its local file storage serves them: with the document root at the folder above the task.
    """
    return [
        {
            "data": {
                "image": f"/data/local-files/?d={task.folder.name}/{IMAGES}/{one.file}",
                "sha256": one.sha256,
                "name": one.name,
            },
            "predictions": [{"score": one.probability, "result": [_choice(one.suggested)]}] if one.suggested else [],
        }
        for one in task.items
    ]


def label_studio_interface(classes: Iterable[str]) -> str:
    """Return the labelling interface for Label Studio, XML."""
    from xml.sax.saxutils import quoteattr

    choices = "".join(f"<Choice value={quoteattr(name)}/>" for name in classes)
    return (
        '<View><Image name="image" value="$image"/><Choices name="label" toName="image" choice="single">'
        f"{choices}</Choices></View>\n"
    )


def take_annotations(task: LabellingTask, export: Any) -> int:
    """Take what Label Studio exported as JSON into a task; return how many images have a label by it.

    Raises:
        GraftError: it is no such export.
    """
    count = 0
    try:
        for one in export:
            sha256, annotations = one["data"]["sha256"], one.get("annotations") or []
            given = [result for made in annotations if not made.get("was_cancelled") for result in made["result"]]
            if is_sha256(sha256) and given:
                task.decide(sha256, "labelled", _chosen(given[-1]))
                count += 1
    except (TypeError, KeyError, IndexError, AttributeError):
        raise GraftError("This is no export of Label Studio's", "Export as JSON there, not as JSON-MIN") from None
    return count


def _choice(label: str) -> dict[str, Any]:
    return {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [label]}}


def _chosen(result: Mapping[str, Any]) -> str:
    return str(result["value"]["choices"][0])
