"""Which images are worth a label, the folder they wait in, the page, and what becomes of the labels."""

import hashlib
import io
import json
import shutil
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import uvicorn
from browser import Seen, browser, look_at, needs_browser
from PIL import Image
from starlette.testclient import TestClient

from graft.analysis.inspect.inspect_report import Alike, LabelCheck, LabelIssue, Picture
from graft.bundle.images import decode
from graft.core.errors import GraftError
from graft.core.project import Project
from graft.deployment.labelling.choose_images import choose_to_inspect, choose_to_label, files_named
from graft.deployment.labelling.labelling_page import create_labelling_app
from graft.deployment.labelling.labelling_task import (
    Item,
    LabellingTask,
    label_studio_interface,
    label_studio_tasks,
    take_annotations,
)
from graft.deployment.labelling.worth_labelling import worth_labelling
from graft.deployment.server.access import Access
from graft.deployment.server.server import bind

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TOKEN = "a-token-of-sixteen-and-more"


def picture(level: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (12, 8), (level, 255 - level, 0)).save(stream, "PNG")
    return stream.getvalue()


class Levels:
    """Of the interface of graft.bundle.model.ImageClassifier: the redder, the more likely red."""

    def __init__(self) -> None:
        self.classes, self.image_sizes, self.parts = ["green", "red"], [8], []

    def to_pixels(self, item: bytes) -> dict[int, np.ndarray]:
        return {8: decode(item, 8)}

    def answers(self, pixels: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        red = pixels[8][:, 0, 0, 0] / np.float32(255)
        found = np.stack([1 - red, red], axis=1)
        return found, found.argmax(axis=1)


@pytest.fixture
def task(tmp_path: Path) -> LabellingTask:
    made = LabellingTask(tmp_path / "task", "label", ["green", "red"])
    for number, level in enumerate((10, 120, 200)):
        data = picture(level)
        made.add(data, Item(hashlib.sha256(data).hexdigest(), "", f"{number}.PNG", "red", 0.6, "60% sure"))
    made.write()
    return made


def test_what_is_uncertain_and_unlike_the_others_comes_first() -> None:
    random = np.random.default_rng(0)
    sure, unsure = np.tile([0.98, 0.02], (50, 1)), np.tile([0.55, 0.45], (10, 1))
    twins = np.repeat(random.normal(size=(2, 20)), 5, axis=0) + 0.01 * random.normal(size=(10, 20))
    features = np.concatenate([random.normal(size=(50, 20)), twins])
    chosen = worth_labelling(features, np.concatenate([sure, unsure]), 2)
    assert sorted(chosen // 5) == [10, 11], "one of each five twins that the model is unsure of"
    assert len(worth_labelling(features, np.concatenate([sure, unsure]), 100)) == 60
    assert len(set(worth_labelling(features[:5], sure[:5], 5))) == 5


def test_images_that_data_has_and_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    import pandas as pd

    project = Project(tmp_path)
    project.manifest.parent.mkdir(parents=True)
    folder = tmp_path / "week"
    folder.mkdir()
    for level in (5, 100, 127, 250):
        (folder / f"{level}.png").write_bytes(picture(level))
    (folder / "broken.png").write_bytes(b"no picture")
    known = hashlib.sha256(picture(127)).hexdigest()
    pd.DataFrame({"sha256": [known], "left_out": [""]}).to_parquet(project.manifest)
    model: Any = Levels()
    task = choose_to_label(project, tmp_path / "task", files_named([str(folder)]), model, 2)
    assert task.items[0].name == "100.png"
    assert len(task.items) == 2
    assert task.items[0].suggested == "green"
    assert LabellingTask.read(tmp_path / "task") == task


def test_labels_become_a_delivery_once_and_a_new_class_is_named_in_it(task: LabellingTask, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    assert task.deliver(inbox) is None
    first, second, third = (one.sha256 for one in task.items)
    task.decide(first, "labelled", "green")
    task.decide(second, "labelled", "olive")
    task.decide(third, "skipped")
    place = LabellingTask.read(task.folder).deliver(inbox)
    assert place is not None
    assert sorted(path.relative_to(place).as_posix() for path in place.rglob("*.*")) == sorted(
        ["classes.csv", f"green/{first}.png", f"olive/{second}.png"]
    )
    assert (place / "classes.csv").read_text() == 'label\n"olive"\n'
    assert (place / f"green/{first}.png").read_bytes() == picture(10)
    left = LabellingTask.read(task.folder)
    assert [one.sha256 for one in left.items] == [third]
    assert left.deliver(inbox) is None


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", "a\nb"])
def test_a_class_is_named_as_folders_can_be(task: LabellingTask, name: str) -> None:
    with pytest.raises(GraftError, match="cannot be the name of a class"):
        task.decide(task.items[0].sha256, "labelled", name)


def test_decisions_about_images_of_data(task: LabellingTask) -> None:
    task.kind = "inspect"
    first, second, third = (one.sha256 for one in task.items)
    task.decide(first, "labelled", "green")
    task.decide(second, "labelled", "red")  # as it was
    task.decide(third, "removed")
    assert task.changes() == ({first: "green"}, {third})


def test_label_studio_and_back(task: LabellingTask) -> None:
    tasks = label_studio_tasks(task)
    assert tasks[0]["data"]["image"] == f"/data/local-files/?d=task/images/{task.items[0].file}"
    assert tasks[0]["predictions"][0]["result"][0]["value"] == {"choices": ["red"]}
    assert '<Choice value="a &amp; b"/>' in label_studio_interface(["a & b"])
    result = [{"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["green"]}}]
    exported = [{"data": tasks[0]["data"], "annotations": [{"result": result}]}, {"data": tasks[1]["data"]}]
    assert take_annotations(task, json.loads(json.dumps(exported))) == 1
    assert [(one.verdict, one.label) for one in task.items] == [("labelled", "green"), ("", ""), ("", "")]
    with pytest.raises(GraftError, match="no export of Label Studio"):
        take_annotations(task, [{"image": "x"}])


def test_the_page_shows_images_and_writes_decisions_for_who_has_the_token(task: LabellingTask) -> None:
    said = []
    app = create_labelling_app(task, Access("127.0.0.1", TOKEN), lambda: said.append(1) or "Delivered")
    client = TestClient(app)
    sha256 = task.items[0].sha256
    assert client.get("/").status_code == 200
    assert "script-src 'sha256-" in client.get("/").headers["content-security-policy"]
    for path in ("/items", f"/image/{sha256}"):
        assert client.get(path).status_code == 401
    assert client.post("/decide", content=b"{}").status_code == 401
    client.headers["Authorization"] = f"Bearer {TOKEN}"
    assert client.get("/items").json()["items"][0]["why"] == "60% sure"
    assert client.get(f"/image/{sha256}").content == picture(10)
    assert client.get("/image/..%2Ftask.json").status_code == 404
    decision = {"sha256": sha256, "verdict": "labelled", "label": "olive"}
    assert client.post("/decide", json=decision).json() == {"classes": ["green", "red", "olive"], "open": 2}
    assert LabellingTask.read(task.folder).items[0].label == "olive"
    assert client.post("/decide", content=b"no json").status_code == 400
    assert client.post("/decide", content=b"x" * 5000).status_code == 413
    assert client.post("/decide", json={**decision, "label": "../up"}).status_code == 422
    assert client.post("/finish").json() == {"said": "Delivered"}
    assert said == [1]


def test_what_inspection_calls_in_doubt_is_asked_about_once(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for path, level in (("red/a.png", 5), ("red/b.png", 100), ("green/b.png", 100)):
        (project.data / path).parent.mkdir(parents=True, exist_ok=True)
        (project.data / path).write_bytes(picture(level))
    doubtful, twin, other = (
        Picture(path, path.split("/")[0], "") for path in ("red/a.png", "red/b.png", "green/b.png")
    )
    issues = [LabelIssue(doubtful, 0.1, "green", 0.9), LabelIssue(twin, 0.4, "green", 0.6)]  # and its copy
    report: Any = SimpleNamespace(labels=LabelCheck(issues=issues), copies=[Alike([twin, other])], near_duplicates=[])
    task = choose_to_inspect(project, tmp_path / "task", report, ["green", "red"])
    assert [(one.name, one.suggested, one.why) for one in task.items] == [
        ("red/a.png", "red", "more likely green (90%)"),
        ("red/b.png", "red", "more likely green (60%)"),
    ]
    assert task.kind == "inspect"
    empty: Any = SimpleNamespace(labels=LabelCheck(), copies=[], near_duplicates=[])
    with pytest.raises(GraftError, match="no label in doubt"):
        choose_to_inspect(project, tmp_path / "other", empty, [])


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
def test_a_browser_shows_the_first_image_and_a_button_for_each_class(task: LabellingTask, tmp_path: Path) -> None:
    listener = bind("127.0.0.1", 0)
    app = create_labelling_app(task, Access("127.0.0.1", TOKEN), str)
    running = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=running.run, args=([listener],), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/#token={TOKEN}"
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    try:
        shown = subprocess.run(
            [*command, "--virtual-time-budget=5000", "--dump-dom", url], capture_output=True, text=True, timeout=120
        ).stdout
    finally:
        running.should_exit = True
        thread.join(30)
    assert "3 of 3 open" in shown
    assert 'src="blob:' in shown
    assert "0.PNG (the model: red, 60% sure)" in shown
    for words in (" green</button>", " red</button>", "new class</button>", "into the inbox</button>"):
        assert words in shown


@needs_browser
def test_the_page_is_whole_in_a_browser(task: LabellingTask) -> None:
    client = TestClient(create_labelling_app(task, Access("127.0.0.1", TOKEN), str))

    def serve(route: Any) -> None:
        asked = route.request
        found = client.request(asked.method, asked.url, headers=asked.headers, content=asked.post_data_buffer)
        route.fulfill(status=found.status_code, body=found.content, headers=dict(found.headers))

    def decide(page: Any) -> None:
        page.get_by_role("button", name="green").click()
        page.wait_for_function("document.querySelector('#left').textContent === '2 of 3 open'")
        page.wait_for_function("document.querySelector('#image').naturalWidth === 12")

    with browser() as started:
        for size in ("desktop", "phone"):
            task.decide(task.items[0].sha256, "")  # open again
            seen = look_at(started, f"{client.base_url}/#token={TOKEN}", size, serve=serve, act=decide)
            assert any("/image/" in one for one in seen.requests)
            seen.requests.clear()
            assert seen == Seen()
