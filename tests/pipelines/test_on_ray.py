"""Stages, scans and features on a cluster of two nodes of Ray's on this machine make what one process makes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pydantic import TypeAdapter
from ray_cluster import Cluster, connected_cluster
from real_project import CHECKOUT
from ruamel.yaml import YAML
from tiny import clock, make_project, tiny_params

from benchmarks.machine import cold_cache
from graft.automation.examine_services import examine_services
from graft.core.cluster import ADDRESS, MIN_IMAGES, TASK_CPUS, TASK_GPUS, use_compute
from graft.core.errors import GraftError
from graft.core.files import sha256_of
from graft.core.params import load_params, parse_params
from graft.core.params.backbone_params import BackboneParams
from graft.core.params.models import ValidateParams
from graft.core.project import Project
from graft.core.run_each import run_each
from graft.data.folder.layout import read_layout
from graft.data.scan.scan_images import scan
from graft.data.split_stage import split_images
from graft.data.validate_stage import group_near_duplicates, scan_images
from graft.networks.decode_images import Photographs
from graft.networks.engines import fastest
from graft.networks.engines.openvino_run import converted_run
from graft.networks.features import compute_on_cluster
from graft.networks.features.compute_on_cluster import Remote
from graft.networks.features.feature_store import FeatureStore
from graft.networks.features.frozen_backbone import frozen_backbone
from graft.networks.features.shards import Shard, shards_of

pytestmark = pytest.mark.slow
COUNT, SIZE = 600, 32


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes, with a file that is no image and one that is there twice."""
    root = tmp_path_factory.mktemp("noise") / "data"
    chance = np.random.default_rng(7)
    for number in range(COUNT):
        path = root / ("even", "odd")[number % 2] / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(chance.integers(0, 256, (24, 40, 3), np.uint8)).save(path)
    (root / "odd" / "torn.png").write_bytes(b"\x89PNG, and then nothing")
    (root / "odd" / "twice.png").write_bytes((root / "odd" / "0001.png").read_bytes())
    return root


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    for started in connected_cluster(nodes=2):
        from ray import cloudpickle

        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # nodes do not find it by its name
        yield started


@pytest.fixture
def on_ray(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, cluster.address)


def images_of(folder: Path, paths: list[Path]) -> Photographs:
    names = [path.relative_to(folder).as_posix() for path in paths]
    return Photographs(folder, names, [sha256_of(path) for path in paths], SIZE)


@pytest.fixture(scope="module")
def images(noise: Path) -> Photographs:
    return images_of(noise, sorted(noise.rglob("0*.png")))


def backbone(store: FeatureStore, cache: Path) -> Any:
    params: BackboneParams = TypeAdapter(BackboneParams).validate_python(
        {"source": "keras", "name": "MobileNetV2", "weights": "none"}
    )
    import keras

    keras.utils.set_random_seed(3)
    return frozen_backbone(params, SIZE, cache, store)


def rows_of_store(folder: Path) -> dict[tuple[str, str], np.ndarray]:
    """Every row of a feature store, by its space and its image's hash."""
    found = {}
    for space in (path for path in folder.glob("*/") if path.name != "networks"):
        for path in shards_of(space):
            shard = Shard(path)
            values, is_right = shard.rows(np.arange(len(shard.keys)))
            assert is_right.all()
            found |= {(space.name, bytes(key).hex()): row for key, row in zip(shard.keys, values, strict=True)}
    return found


def run_stages(root: Path, photographs: Path, cache: Path, compute: dict[str, str | int]) -> Project:
    """Validate, split, train frozen and evaluate, without DVC and Prefect, in a project with a cold feature store."""
    from graft.evaluation.evaluate import TestImages, evaluate_bundle, write_evaluation
    from graft.networks.features.feature_store import FeatureStore
    from graft.training.train import train_strategy

    project = Project(root)
    project.data.parent.mkdir(parents=True)
    project.data.symlink_to(photographs, target_is_directory=True)
    yaml = YAML()
    params = yaml.load(CHECKOUT / "params.yaml")
    params["compute"] |= compute
    params["validate"]["min_images_per_class"] = 5
    params["train"] |= {"image_size": 96, "run": ["frozen"], "validation": "split"}
    del params["train"]["strategies"]["frozen"]["members"]  # auto: as stage choose measured
    yaml.dump(params, project.params_file)
    with pytest.MonkeyPatch.context() as patch:
        for name in (ADDRESS, MIN_IMAGES, TASK_CPUS, TASK_GPUS):
            patch.setenv(name, "")  # so that it is taken back afterwards
            patch.delenv(name)
        patch.setenv("GRAFT_CACHE", str(root / "cache"))
        cold_cache(cache, root / "cache")
        read = load_params(project.params_file)
        use_compute(read.compute)
        scan_images(project, read.validate_, clock())
        group_near_duplicates(project, read.validate_, clock())
        split_images(project, read, clock())
        train_strategy(project, read.train, "frozen", clock())
        images, store = TestImages(project), FeatureStore.of(project, read.train.store)
        found = evaluate_bundle("frozen", project.strategy("frozen"), images, 32, clock(), store)
        write_evaluation("frozen", found, images)
    return project


def test_ray_makes_the_same_splits_rows_and_figures(
    photographs: Path, cache: Path, tmp_path: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fastest, "WORTH_CONVERTING", 1)  # so few are otherwise run with Keras, which differs by 1e-5
        here = run_stages(tmp_path / "here", photographs, cache, {"engine": "local"})
    assert "on Ray" not in capsys.readouterr().out
    on_ray: dict[str, str | int] = {"engine": "ray", "address": cluster.address, "min_images": 1}
    there = run_stages(tmp_path / "there", photographs, cache, on_ray)
    assert "on Ray" in capsys.readouterr().out
    manifests = [pd.read_parquet(project.manifest) for project in (here, there)]
    pd.testing.assert_frame_equal(*manifests)
    for split in ("train", "val", "test"):
        assert there.split_table(split).read_bytes() == here.split_table(split).read_bytes()
    stores = [rows_of_store(project.root / "cache" / "features") for project in (here, there)]
    assert stores[0].keys() == stores[1].keys()
    assert len(stores[0]) > 60
    for key, row in stores[0].items():
        np.testing.assert_allclose(stores[1][key], row, atol=1e-5)
    figures = [json.loads((p.artifacts("evaluate") / "metrics/frozen.json").read_text())["test"] for p in (here, there)]
    assert figures[1] == pytest.approx(figures[0], rel=1e-3)
    same_predictions(there, cluster, photographs, tmp_path)


def same_predictions(project: Project, cluster: Cluster, photographs: Path, folder: Path) -> None:
    """`graft predict` of a folder on Ray makes the table that one process makes."""
    from graft.deployment.predict.inputs import find_photographs
    from graft.deployment.predict.predict_on_cluster import predict_on_cluster
    from graft.deployment.predict.predict_photographs import predict_photographs
    from graft.networks.engines.open_classifier import open_classifier

    (folder / "torn.jpg").write_bytes(b"nothing")
    (source, torn), bundle = find_photographs([str(photographs), str(folder / "torn.jpg")]), project.strategy("frozen")
    stream = [*source.read(), *torn.read()]
    here = list(predict_photographs(open_classifier(bundle / "model"), stream))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ADDRESS, cluster.address)
        there = list(predict_on_cluster(bundle / "model", len(stream), None, stream))
    for what in ("names", "keys", "problems", "labels"):
        values = [[one for some in found for one in getattr(some, what)] for found in (here, there)]
        assert values[0] == values[1]
        assert len(values[0]) == len(stream)
    rows = [np.concatenate([some.probabilities for some in found]) for found in (here, there)]
    np.testing.assert_allclose(rows[1], rows[0], atol=1e-5)
    assert np.isnan(rows[0][-1]).all()


def test_a_scan_on_two_nodes_makes_the_same_manifest(noise: Path, tmp_path: Path, on_ray: None) -> None:
    layout = read_layout(noise)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(ADDRESS)
        here = scan(layout, ValidateParams(), tmp_path / "here.parquet")
    there = scan(layout, ValidateParams(), tmp_path / "there.parquet", tmp_path / "memory")
    assert there == here
    assert (there.images, there.left_out) == (COUNT + 2, 1)
    assert pq.read_table(tmp_path / "there.parquet").equals(pq.read_table(tmp_path / "here.parquet"))
    again = scan(layout, ValidateParams(), tmp_path / "there.parquet", tmp_path / "memory")
    assert again.opened <= 2 * COUNT  # what is younger than a tick of the clock is read again
    assert pq.read_table(tmp_path / "there.parquet").equals(pq.read_table(tmp_path / "here.parquet"))


def test_features_have_the_same_keys_and_values_and_a_killed_node_costs_its_own_work(
    images: Photographs, tmp_path: Path, on_ray: None, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = backbone(FeatureStore(tmp_path / "here", 10**9), tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(ADDRESS)
        expected = frozen.features(images, "features")
    # The same weights, in a store of their own.
    frozen.store, frozen._run = FeatureStore(tmp_path / "there", 10**9), None
    network = frozen.store.network(frozen.network_description)
    (tmp_path / "computed").mkdir()
    monkeypatch.setattr(frozen, "_remote", lambda: Remote(partial(counting, network, tmp_path / "computed")))
    killed: list[int] = []
    compute = compute_on_cluster.compute_on_cluster

    def killing(*arguments: Any) -> Iterator[Any]:
        for done in compute(*arguments):
            if not killed:  # once something has come back, in the middle of it
                killed.append(len(done[0]))
                threading.Thread(target=lambda: cluster.kill(cluster.nodes[1])).start()
                time.sleep(1)
            yield done

    monkeypatch.setattr("graft.networks.features.compute.compute_on_cluster", killing)
    found = frozen.features(images, "features")
    assert killed
    computed = [int(one.read_text()) for one in (tmp_path / "computed").iterdir()]
    assert len(images) <= sum(computed) < 2 * len(images)  # not what others had done
    np.testing.assert_allclose(found, expected, atol=1e-5)
    here, there = rows_of_store(tmp_path / "here"), rows_of_store(tmp_path / "there")
    assert here.keys() == there.keys()
    assert {key for _, key in there} == {key.hex() for key in images.keys}
    # Once in the store, nothing is computed: also not by a process that knows of no cluster.
    monkeypatch.delenv(ADDRESS)
    monkeypatch.setattr(frozen, "_engine", lambda count: pytest.fail("computed again"))
    np.testing.assert_array_equal(frozen.features(images, "features"), found)


def counting(network: Path, folder: Path) -> Any:
    """The network, which writes down how many images it is given each time."""
    run = converted_run(network, np.uint8)

    def counted(pixels: np.ndarray) -> np.ndarray:
        rows = run(pixels)
        (folder / uuid.uuid4().hex).write_text(str(len(pixels)))
        return rows

    return counted


def test_a_node_that_joins_in_the_middle_takes_its_part_and_is_named_by_doctor(
    images: Photographs, cluster: Cluster, on_ray: None, project: Project, repository: Path, tmp_path: Path
) -> None:
    seen = tmp_path / "nodes"
    seen.mkdir()
    remote = Remote(partial(waiting_for_another_node, seen))
    found: list[np.ndarray | None] = []
    rows = compute_on_cluster.compute_on_cluster(images, np.arange(len(images)), remote, None, None)
    work = threading.Thread(target=lambda: found.extend(part for _, part in rows))
    work.start()
    while not list(seen.iterdir()):
        time.sleep(0.1)
    cluster.join()
    work.join()
    nodes = np.concatenate([part for part in found if part is not None])[:, 0]
    assert len(nodes) == len(images)
    assert len(set(nodes)) == len(list(seen.iterdir())) == 2
    shutil.copy(repository / "params.yaml", project.params_file)
    told = [one for one in examine_services(project) if one.what.startswith("Ray")]
    assert [one.state for one in told] == ["ok"] * sum(node.is_running() for node in cluster.nodes)
    assert all("sees the project" in one.found for one in told)


def waiting_for_another_node(folder: Path) -> Any:
    """A network whose answers are the node that it runs on; it answers once it runs on two."""
    import ray

    node = ray.get_runtime_context().get_node_id()

    def run(pixels: np.ndarray) -> np.ndarray:
        (folder / node).touch()
        deadline = time.monotonic() + 100
        while len(list(folder.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        return np.full((len(pixels), 1), int(node[:6], 16), np.float32)

    return run


def test_what_a_node_cannot_do_is_said_in_a_sentence(
    images: Photographs, noise: Path, tmp_path: Path, on_ray: None
) -> None:
    lost = images_of(noise, [noise / "odd" / "0001.png"])
    lost.paths = ["odd/gone.png"]
    remote = Remote(plain)
    with pytest.raises(GraftError, match=r"odd/gone\.png"):
        list(compute_on_cluster.compute_on_cluster(lost, np.arange(1), remote, None, None))


def plain() -> Any:
    return lambda pixels: np.asarray(pixels, np.float32).mean(axis=(1, 2))


def dies_once(marker: Path, number: int) -> int:
    if number == 1 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 3:
        raise GraftError("There is no third", "Take another")
    return 2 * number


def test_pieces_come_in_their_order_a_killed_worker_costs_its_own_and_an_error_is_the_same(
    tmp_path: Path, on_ray: None
) -> None:
    pieces = run_each(partial(dies_once, tmp_path / "died"), iter(range(4)))
    assert [next(pieces), next(pieces), next(pieces)] == [0, 2, 4]
    assert (tmp_path / "died").exists()
    with pytest.raises(GraftError, match="There is no third") as raised:
        next(pieces)
    assert raised.value.fix == "Take another"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TASK_CPUS, "64")
        with pytest.raises(GraftError, match=r"No node .* has the 64 CPUs .*compute.task_cpus"):
            list(run_each(abs, [1]))


def test_seeds_options_trials_and_folds_are_tasks_with_the_figures_of_one_process(
    tmp_path: Path, on_ray: None, cluster: Cluster
) -> None:
    from graft.training.run_sweep import Trial, run_sweep
    from graft.training.studies.ablation import ablate
    from graft.training.studies.cross_validation import cross_validated
    from graft.training.studies.study_images import StudyImages, StudyMember
    from graft.training.train import fit_strategy

    chance = np.random.default_rng(2)
    labels, names = np.arange(300) % 3, [f"{number:064x}" for number in range(300)]
    members = tuple(StudyMember(name, chance.normal(0, 1, (300, 6)).astype(np.float32), (), 6) for name in "ab")
    study = StudyImages("frozen", members, labels, ["r", "g", "b"], np.array(names), names, "balanced", 5)
    small = {**tiny_params().train.strategies["small"].model_dump(mode="json", exclude_unset=True), "epochs": 1}
    raw = tiny_params(strategies={"small": small}, validation="auto").model_dump(by_alias=True, mode="json")
    params = parse_params({**raw, "sweep": {"order": "grid", "try": {"small": {"learning_rate": [0.02]}}}})
    in_split = params.model_copy(update={"train": params.train.model_copy(update={"validation": "split"})})

    def run(root: Path) -> tuple[Any, Any, list[Trial], np.ndarray]:
        project, seen = make_project(root), list[Trial]()
        run_sweep(project, in_split, seen.append)
        fitted = fit_strategy(project, params.train, "small", clock())
        assert fitted.task.folds == 5
        return cross_validated(study, 4, [0, 1]), ablate(study, 4, 0), seen, fitted.calibration.probabilities

    crossed, without, trials, probabilities = run(tmp_path / "there")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(ADDRESS)
        expected = run(tmp_path / "here")
    np.testing.assert_array_equal(crossed.probabilities, expected[0].probabilities)
    pd.testing.assert_frame_equal(crossed.by_fold, expected[0].by_fold)
    assert [(one.option, one.log_loss) for one in without] == [(one.option, one.log_loss) for one in expected[1]]
    assert [(one.number, one.settings, bool(one.problem)) for one in trials] == [
        (0, {}, False),
        (1, trials[1].settings, False),
    ]
    for one, other in zip(trials, expected[2], strict=True):
        assert one.figures == pytest.approx(other.figures, rel=1e-4)
        assert (one.gain, one.error) == pytest.approx((other.gain, other.error), abs=1e-5)
    np.testing.assert_allclose(probabilities, expected[3], atol=1e-5)


def test_a_driver_that_was_killed_is_followed_by_one_that_computes_what_is_left(
    images: Photographs, tmp_path: Path, on_ray: None
) -> None:
    from ray import cloudpickle

    counted = [tmp_path / name for name in ("first", "second")]
    for folder in counted:
        folder.mkdir()
    work = tmp_path / "work.pickle"
    work.write_bytes(cloudpickle.dumps(partial(extract_slowly, images, tmp_path / "store", counted[0], 2.0)))
    code = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))()"
    driver = subprocess.Popen([sys.executable, "-c", code, str(work)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not rows_of_store(tmp_path / "store") and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    driver.kill()
    _, problem = driver.communicate(timeout=60)
    before = len(rows_of_store(tmp_path / "store"))
    assert 0 < before < COUNT, problem.decode()[-2000:]
    rows = extract_slowly(images, tmp_path / "store", counted[1], 0.0)
    np.testing.assert_allclose(rows, images.at(np.arange(COUNT)).mean(axis=(1, 2)), atol=1e-3)
    assert {key for _, key in rows_of_store(tmp_path / "store")} == {key.hex() for key in images.keys}
    assert 0 < sum(int(one.read_text()) for one in counted[1].iterdir()) <= COUNT - before


def extract_slowly(images: Photographs, folder: Path, counted: Path, seconds: float) -> np.ndarray:
    """Mean colours of images, from a store or by a network on Ray that takes its time."""
    from graft.networks.features.compute import fill

    rows = np.empty((len(images), 3), np.float32)
    space = FeatureStore(folder, 10**9).space({"what": "mean colours"})
    remote = Remote(partial(slow, counted, seconds))
    fill(rows, lambda count: plain(), images, "colours", space, None, lambda: remote)
    return rows


def slow(folder: Path, seconds: float) -> Any:
    run = plain()

    def counted(pixels: np.ndarray) -> np.ndarray:
        time.sleep(seconds)
        (folder / uuid.uuid4().hex).write_text(str(len(pixels)))
        return run(pixels)

    return counted
