"""Every recipe run whole, from published archives to test figures, on a miniature of its data set.

Networks have random weights and see the smallest images they take, for one epoch: what is tested is that the settings,
the layout of the data and the library go together, not what comes of it.
"""

import math
import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from miniatures import MINIATURES, Miniature
from photo_folders import DVC_CONFIG, fake_dvc, write
from ruamel.yaml import YAML
from tiny import clock, write_hub_module

from graft.core.params import Params, parse_params
from graft.core.params.strategy_params import TransferParams
from graft.core.project import Project
from graft.core.recipes import read_recipe, recipe_names, with_recipe
from graft.data.folder import versioning
from graft.data.folder.layout import read_layout
from graft.data.scan.manifest import read_manifest
from graft.data.scan.near_duplicates import Limits, find_near_duplicates
from graft.data.scan.scan_images import scan
from graft.data.sources import catalogue
from graft.data.sources.catalogue import find_entry, read_catalogue
from graft.data.splits.image_groups import write_split_groups
from graft.data.splits.split_images import make_split
from graft.data.splits.split_tables import write_split_tables

SMALLEST = 32  # pixels a side, where a network has no lower limit of its own
CLASSES = 10  # of a data set, which hundreds of classes would make large even with a few images of each
Raw = dict[str, Any]


def find_miniature(name: str) -> Miniature:
    """The first of the forms that a data set of the catalogue is published in."""
    return next(miniature for miniature in MINIATURES if miniature.entry == name)


@pytest.fixture(scope="module")
def miniature_data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``miniature_data(name)``: data/ as `graft data use NAME` leaves it, of a miniature, with its first classes.

    Made once for each name.
    """

    @cache
    def bring(name: str) -> Path:
        miniature = find_miniature(name)
        published = tmp_path_factory.mktemp("published")
        miniature.build(published)
        project = Project(tmp_path_factory.mktemp(name))
        write(project.root, {"params.yaml": b"{}\n", "dvc.yaml": b"{}\n", ".dvc/config": DVC_CONFIG.encode()})
        entry = read_catalogue()[name].model_copy(update={"images": miniature.images})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(versioning, "run_dvc", fake_dvc)
            patch.setattr(catalogue, "read_catalogue", lambda: {name: entry})
            catalogue.use(project, name, published / miniature.path)
        classes = [path for path in project.data.glob("*/*" if entry.is_official else "*") if path.is_dir()]
        for label in sorted({path.name for path in classes})[CLASSES:]:
            for path in classes:
                if path.name == label:
                    shutil.rmtree(path)
        return project.data

    return bring


@pytest.fixture(scope="module")
def hub_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hub_module(tmp_path_factory.mktemp("hub") / "module", SMALLEST)


@pytest.fixture(scope="module")
def without_graphs() -> Iterator[None]:
    """Steps run operation by operation: for a handful of them, compiling a network takes most of the time."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def served() -> set[str]:
    """Networks that were exported and evaluated: the export takes longest, and is the same for each of a kind."""
    return set()


def smallest_size(backbone: Raw) -> int:
    """Pixels a side of the smallest images that a backbone takes; Keras tells it to whoever asks for less."""
    import keras

    if backbone["source"] == "hub":
        return SMALLEST
    application = getattr(keras.applications, backbone["name"])
    with pytest.raises(ValueError, match="at least") as refused:
        application(include_top=False, weights=None, input_shape=(1, 1, 3))
    found = re.search(r"at least (\d+)x", str(refused.value))
    assert found is not None
    return int(found[1])


def in_small(raw: Raw, name: str, hub_module: Path) -> Raw:
    """The params of a recipe over a data set of that name, as far as they must change to suit its miniature."""
    train, split = raw["train"], raw["split"]
    train["validation"] = "split"
    for key in ("val_size", "test_size"):
        size = split.get(key, 0.2)
        # Published numbers of images are for all images; below a fifth, parts of a miniature would be empty.
        split[key] = max(0.2, size / find_entry(name).images if size >= 1 else size)
    parsed = parse_params(raw).train
    for strategy in train["run"]:
        settings = train["strategies"][strategy]
        settings["image_size"] = SMALLEST
        if isinstance(parsed.strategies[strategy], TransferParams):
            backbone = dict(settings.get("backbone", train["backbone"]))
            settings["image_size"] = smallest_size(backbone)
            backbone |= {"name": str(hub_module)} if backbone["source"] == "hub" else {"weights": "none"}
            settings["backbone"] = backbone
        if "epochs" in settings:
            settings |= {"epochs": 1, "warm_up_epochs": 0}
            settings["batch_size"] = min(8, settings.get("batch_size", 8))
        if settings["kind"] == "fine_tune":
            settings["head_epochs"] = min(1, settings.get("head_epochs", 1))
    return raw


def divide(root: Path, data: Path, params: Params) -> Project:
    """A project over these images as it is after stage split."""
    project = Project(root)
    project.data.symlink_to(data, target_is_directory=True)
    project.artifacts("validate").mkdir(parents=True)
    scan(read_layout(project.data), params.validate_, project.manifest)
    manifest = read_manifest(project.manifest, thumbnails=True)
    limits = Limits(params.validate_.near_duplicate_bits, params.validate_.near_duplicate_difference)
    near = find_near_duplicates(manifest, limits)
    division = make_split(manifest, params.split, near_duplicates=near)
    write_split_tables(division.tables, division.summary, project.artifacts("split"))
    write_split_groups(division.tables, near, project)
    return project


@pytest.mark.slow
@pytest.mark.usefixtures("without_graphs")
@pytest.mark.filterwarnings("ignore:Even though the `tf.config")
@pytest.mark.parametrize("name", [name for name in recipe_names() if read_recipe(name).sections])
def test_a_recipe_runs_on_a_miniature_of_its_data(
    name: str,
    repository: Path,
    miniature_data: Callable[[str], Path],
    hub_module: Path,
    served: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from graft.evaluation.evaluate import TestImages, evaluate_bundle
    from graft.training.train import train_strategy

    recipe = read_recipe(name)
    text = with_recipe((repository / "params.yaml").read_text(encoding="utf-8"), recipe)
    params = parse_params(in_small(YAML(typ="safe").load(text), recipe.data, hub_module))
    project = divide(tmp_path, miniature_data(recipe.data), params)
    images, watch = TestImages(project), clock()
    for strategy in params.train.run:
        network = network_of(params, strategy)
        with monkeypatch.context() as patch:
            if network in served:
                patch.setattr("graft.training.train.write_bundle", lambda *_, **__: None)
            trained = train_strategy(project, params.train, strategy, watch)
        assert all(math.isfinite(value) for value in trained.validation.headline().values())
        if network not in served:
            evaluation = evaluate_bundle(strategy, project.strategy(strategy), images, 64, watch).evaluation
            assert set(evaluation.per_class) == set(trained.task.classes)
            assert all(math.isfinite(value) for value in evaluation.headline().values())
            served.add(network)


def network_of(params: Params, strategy: str) -> str:
    """What decides how a trained strategy is exported: its backbone, or its network, and its head."""
    settings = params.train.strategy(strategy)
    backbone = settings.backbone if isinstance(settings, TransferParams) else settings.network
    return f"{backbone} {settings.head.pooling} {bool(settings.head.hidden)} {settings.head.batch_norm}"
