"""Everything a user can get wrong, as commands: one clear sentence, a non-zero exit, nothing lost."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pictures import write_series
from real_project import RealProject, make_project

from graft.automation.warm.start import warm_stages

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end]


@pytest.fixture(scope="module")
def shared_project(
    tmp_path_factory: pytest.TempPathFactory, cache: Path, prefect: dict[str, str]
) -> Iterator[RealProject]:
    """One project for all tests, whose stages find their libraries imported, as those of `graft run` do."""
    real = make_project(tmp_path_factory.mktemp("bad_input") / "project", cache)
    with warm_stages(real.project, {**real.environment, **prefect}) as environment:
        yield RealProject(real.project, environment)


@pytest.fixture
def empty_project(shared_project: RealProject) -> RealProject:
    """It as it was committed, without data and without what a test before this one has left."""
    keep = [f"--exclude={name}" for name in (".graft", "__pycache__")]
    for command in (["checkout", "--quiet", "."], ["clean", "-ffdxq", *keep]):
        assert shared_project.run("git", *command).returncode == 0
    return RealProject(shared_project.project, dict(shared_project.environment))


@pytest.fixture
def project(empty_project: RealProject, photographs: Path) -> RealProject:
    shutil.copytree(photographs, empty_project.root / "data")
    return empty_project


def fails(result, *words: str) -> str:
    """The command's message, which holds all the words and no traceback."""
    message = result.stdout + result.stderr
    assert result.returncode != 0, message
    assert "Traceback" not in message
    for word in words:
        assert word in message, message
    return message


def validate(project: RealProject):
    return project.run("python", "-m", "pipelines.validate")


def test_truncated_and_empty_images_above_the_share_stop_the_pipeline(project: RealProject) -> None:
    photographs = sorted((project.root / "data/train/red").iterdir())
    photographs[0].write_bytes(b"")
    photographs[1].write_bytes(photographs[1].read_bytes()[:200])
    for photograph in photographs[2:8]:
        photograph.write_text("no image at all")
    fails(validate(project), photographs[0].name, "max_left_out", "validate stopped")


def test_few_broken_images_are_left_out(project: RealProject) -> None:
    from graft.data.scan.manifest import read_manifest
    from graft.data.splits.split_tables import read_splits

    project.change_params(lambda params: params["validate"].update(max_left_out=0.1))
    broken = sorted((project.root / "data/train/red").iterdir())[0]
    broken.write_bytes(b"")
    result = validate(project)
    assert result.returncode == 0, result.stderr
    assert "1 left out" in result.stdout
    manifest = read_manifest(project.project.manifest).set_index("path")
    assert manifest.loc[f"train/red/{broken.name}", "left_out"] == "unreadable: the file is empty"
    assert project.run("python", "-m", "pipelines.split").returncode == 0
    tables = read_splits(project.project, ["train", "val"])
    assert f"train/red/{broken.name}" not in {path for table in tables.values() for path in table["path"]}


def test_a_class_with_few_images_is_a_warning(project: RealProject) -> None:
    for path in sorted((project.root / "data/train/yellow").iterdir())[3:]:
        path.unlink()
    result = validate(project)
    assert result.returncode == 0, result.stderr
    assert "Warning: enough_per_class: 1 of 3 classes have few images" in result.stdout


def test_a_label_of_test_that_train_lacks(project: RealProject) -> None:
    shutil.rmtree(project.root / "data/train/yellow")
    fails(validate(project), "yellow")


def test_a_single_class(project: RealProject) -> None:
    for split in ("train", "test"):
        for label in ("green", "yellow"):
            shutil.rmtree(project.root / "data" / split / label)
    fails(validate(project), "class")


def test_an_empty_folder(empty_project: RealProject) -> None:
    (empty_project.root / "data").mkdir()
    fails(validate(empty_project), "data/ holds no folders", "graft data import")


def test_a_params_typo_is_found_before_anything_starts(project: RealProject) -> None:
    project.change_params(lambda params: params["train"]["strategies"]["frozen"].update(lerning_rate=0.1))
    fails(project.graft("run"), "train.strategies.frozen.lerning_rate", "0.1", "Did you mean 'learning_rate'?")
    assert not (project.root / "artifacts").exists()


def test_a_strategy_that_does_not_exist(project: RealProject) -> None:
    project.change_params(lambda params: params["train"].update(run=["frozn"]))
    fails(project.graft("run"), "'frozn'", "Did you mean 'frozen'?")
    fails(project.run("python", "-m", "pipelines.train", "frozen"), "'frozn'", "Did you mean 'frozen'?")


def test_a_layer_that_does_not_exist(project: RealProject) -> None:
    def rename(params: dict) -> None:
        params["train"]["run"] = ["fine_tune"]
        backbone = {"source": "keras", "name": "MobileNetV2", "weights": "imagenet"}
        params["train"]["strategies"]["fine_tune"] |= {
            "backbone": backbone,
            "image_size": 96,
            "learning_rate": 0.001,
            "augment": {},
            "unfreeze": "blck_13_expand",
            "views": 0,
        }

    project.change_params(rename)
    assert validate(project).returncode == 0
    assert project.run("python", "-m", "pipelines.split").returncode == 0
    fails(project.run("python", "-m", "pipelines.train", "fine_tune"), "blck_13_expand", "block_13_expand")


def test_no_network_and_nothing_cached(project: RealProject, tmp_path: Path) -> None:
    """Proxies and an index that refuse every connection stand for a machine without a network."""
    shutil.rmtree(project.root / "data")
    nowhere = "http://127.0.0.1:9"  # the discard port: nothing listens there
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        project.environment[name] = nowhere
    project.environment |= {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1", "GRAFT_CACHE": str(tmp_path / "cache")}
    project.environment.pop("PIP_INDEX_URL", None)
    fails(project.graft("run"), "traffic_light")
    assert not (project.root / "data").exists()


def test_a_port_in_use(project: RealProject) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        fails(project.graft("ui", "--mlflow-port", str(port)), f"Port {port}", "--mlflow-port")


def test_outside_a_project(project: RealProject, tmp_path: Path) -> None:
    project.project = type(project.project)(tmp_path)
    fails(project.graft("results"), "No graft project")


def test_results_before_any_run(project: RealProject) -> None:
    fails(project.graft("results"), "graft run")


def test_frames_of_one_series_in_two_splits(empty_project: RealProject) -> None:
    for position, label in enumerate(("paper", "rock")):
        for hand in range(8):
            write_series(empty_project.root / "data" / label, f"{label}{hand}", 100 * position + hand, 6)
    validated = validate(empty_project)
    assert validated.returncode == 0, validated.stderr
    assert "96 images in 16 groups of near-duplicates" in validated.stdout
    folder = empty_project.project.artifacts("split")
    empty_project.change_params(lambda params: params["split"].update(method="stratified"))
    fails(
        empty_project.run("python", "-m", "pipelines.split"),
        "split stopped: The split breaks rules: no_near_duplicates_in_test",
        "split.group_by to near_duplicates",
    )
    # The report of a refused split stays, and nothing is settled by it.
    assert "data:image/jpeg" in (folder / "data_docs" / "index.html").read_text(encoding="utf-8")
    assert not (folder / "settled.json").exists()
    empty_project.change_params(lambda params: params["split"].update(method="group", group_by="near_duplicates"))
    result = empty_project.run("python", "-m", "pipelines.split")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "group split: " in result.stdout
    assert "Warning: split_sizes: " in result.stdout
    assert len((folder / "settled_groups.csv").read_text(encoding="utf-8").splitlines()) == 97


def test_the_same_image_under_two_labels(project: RealProject) -> None:
    one = sorted((project.root / "data/train/red").iterdir())[0]
    shutil.copy(one, project.root / "data/train/green/same.jpg")
    project.change_params(lambda params: params["validate"].update(max_left_out=0.1))
    result = validate(project)
    assert result.returncode == 0, result.stderr
    assert "two labels       2  such as train/green/same.jpg" in result.stdout
    listed = (project.project.artifacts("validate") / "left_out.csv").read_text(encoding="utf-8")
    assert f"train/red/{one.name},two labels: the same bytes as train/green/same.jpg" in listed
