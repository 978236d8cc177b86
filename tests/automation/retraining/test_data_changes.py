"""Deliveries that add a class, correct labels and withdraw images: in data/, the commit, and nowhere else."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from quick import retrain
from retrained import verdicts
from small_project import deliver, picture, shell

from graft.automation.retraining.retrain_history import last_outcomes
from graft.core.files import md5_of, sha256_of
from graft.core.params.monitor_params import LogParams
from graft.core.project import Project
from graft.deployment.monitor.observation import observe
from graft.deployment.monitor.prediction_log import LoggedPrediction, PredictionLog
from graft.networks.features.shards import Shard, shards_of, write_shard

pytestmark = pytest.mark.usefixtures("no_outside_settings")


@pytest.fixture
def project(quick_project: Project) -> Project:
    return quick_project


def in_data(project: Project, name: str) -> list[str]:
    return sorted(path.parent.name for path in project.data.rglob(name))


def test_a_delivery_adds_a_class_and_corrects_labels(project: Project) -> None:
    wrong = project.data / "red/100.png"
    folder = deliver(project.root / "inbox/week", {"green": 3})
    (folder / "classes.csv").write_text("label\ngreen\n")
    (folder / "corrections.csv").write_text(f"sha256,label\n{sha256_of(wrong)},green\n")
    outcome = retrain(project)
    assert verdicts(outcome) == {"week": "taken in"}
    assert outcome.reasons == ["3 new images, 1 label corrected in week"]
    assert outcome.deliveries[0].reasons == ["New classes: green.", "1 label corrected."]
    assert in_data(project, "100.png") == ["green"]
    assert len(list((project.data / "green").iterdir())) == 4
    assert shell(project.root, "git", "log", "-1", "--format=%s").endswith("3 new images, 1 label corrected in week")
    assert not list((project.root / "inbox/week").glob("*")), "tables are put away with their images"
    again = deliver(project.root / "inbox/again", {})
    again.mkdir(exist_ok=True)
    (again / "corrections.csv").write_text(f"sha256,label\n{sha256_of(project.data / 'green/100.png')},green\n")
    assert verdicts(retrain(project)) == {"again": "nothing new"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("corrections.csv", "sha256,label\n{sha256},purple\n", "the class 'purple', which data/ does not have"),
        ("corrections.csv", "sha256,label\n{sha256},red\n{sha256},blue\n", "two labels"),
        ("withdraw.csv", "sha256\n../../etc\n", "no SHA-256"),
        ("withdraw.csv", "path\nred/100.png\n", "withdraw.csv"),
        ("classes.csv", "label\n../up\n", "names the class '../up'"),
    ],
)
def test_a_table_that_cannot_be_refuses_the_delivery(project: Project, name: str, text: str, said: str) -> None:
    folder = deliver(project.root / "inbox/week", {"red": 1})
    (folder / name).write_text(text.format(sha256=sha256_of(project.data / "red/100.png")))
    outcome = retrain(project)
    assert verdicts(outcome) == {"week": "quarantined"}
    assert said in outcome.deliveries[0].reasons[0]


def plant(project: Project, data: bytes, row: np.ndarray) -> None:
    """Put what is made of an image into every place that graft puts it."""
    sha256 = observe(data, 10_000).sha256
    others = np.random.default_rng(0).normal(size=(2, len(row))).astype(np.float32)
    keys = np.frombuffer(bytes.fromhex(sha256) + bytes(range(64)), np.uint8).reshape(3, 32)
    write_shard(project.features / "space", keys, np.concatenate([row[None], others]))
    with PredictionLog(project.prediction_log, LogParams(keep_images=True)) as log:
        log.append([LoggedPrediction(observe(data, 10_000), "m", "d", "red", 0.9, data=data)])
        log.append([LoggedPrediction(observe(b"other", 10_000), "m", "d", "", float("nan"))])
    for folder in (project.inspection, project.drift_reports):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "page.html").write_bytes(b"<img>" + data)
    done = project.root / "inbox/done/2026-11-25T030012-old"
    done.mkdir(parents=True)
    (done / "old.png").write_bytes(data)
    with zipfile.ZipFile(project.root / "inbox/done/2026-11-26T030012-old.zip", "w") as archive:
        archive.writestr("red/old.png", data)
    (project.state / "labelling/images").mkdir(parents=True)
    (project.state / "labelling/images/old.png").write_bytes(data)


def places_of(project: Project, wanted: list[bytes]) -> list[str]:
    """Files below the project, its caches and databases included, that hold one of these."""
    return [
        str(path.relative_to(project.root))
        for path in project.root.rglob("*")
        if path.is_file() and any(one in path.read_bytes() for one in wanted)
    ]


def test_a_withdrawn_image_is_nowhere_any_more(project: Project) -> None:
    file = project.data / "red/100.png"
    data, sha256, md5 = file.read_bytes(), sha256_of(file), md5_of(file)
    row = np.random.default_rng(1).normal(size=16).astype(np.float32)
    plant(project, data, row)
    seen = observe(data, 10_000)
    wanted = [data[40:], row.tobytes(), seen.thumbnail, seen.phash.encode()]
    assert len(places_of(project, wanted)) >= 8  # data/, DVC's cache, features, log, two pages, done/, labelling
    folder = project.root / "inbox/withdrawn"
    folder.mkdir(parents=True)
    (folder / "withdraw.csv").write_text(f"sha256\n{sha256}\n")

    outcome = retrain(project)
    assert verdicts(outcome) == {"withdrawn": "taken in"}
    assert outcome.reasons == ["1 image withdrawn in withdrawn"]
    assert outcome.settled == ["1 withdrawn image: nothing is left of them here."]
    assert places_of(project, wanted) == []
    assert not (project.root / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}").exists()
    assert not (project.root / "inbox/done/2026-11-26T030012-old.zip").exists()
    # Others stay as they are.
    (shard,) = shards_of(project.features / "space")
    assert len(Shard(shard).keys) == 2
    assert [one.image.problem != "" for one in PredictionLog(project.prediction_log, LogParams()).read()] == [True]
    # The hash alone is known, in the commit, and keeps the image away.
    assert sha256 in shell(project.root, "git", "show", "HEAD:withdrawn.csv")
    (project.root / "inbox/again/red").mkdir(parents=True)
    (project.root / "inbox/again/red/100.png").write_bytes(data)
    again = retrain(project)
    assert "withdrawn before" in str(again.deliveries[0].reasons)
    assert last_outcomes(project, 2)[1].deliveries[0].reasons == ["1 image withdrawn."]


def test_a_person_may_not_have_changed_what_is_withdrawn(project: Project, tmp_path: Path) -> None:
    """It is in data/ no longer: its hash is written down all the same, and nothing fails."""
    file = project.data / "red/100.png"
    sha256 = sha256_of(file)
    picture("red", 555).save(file)
    folder = project.root / "inbox/withdrawn"
    folder.mkdir(parents=True)
    (folder / "withdraw.csv").write_text(f"sha256\n{sha256}\n")
    shutil.copy(folder / "withdraw.csv", tmp_path)
    outcome = retrain(project)
    assert verdicts(outcome) == {"withdrawn": "taken in"}
    assert "1 image that it names are not in data/." in outcome.deliveries[0].reasons
    assert file.exists()
