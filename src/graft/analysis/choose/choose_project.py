"""Stage choose of a project: from its split tables to settings for each strategy."""

from typing import Any

import numpy as np

from graft.analysis.choose.choose import Choice, MeasuredImages, choose, draw
from graft.analysis.choose.fill_in import is_promising, own_size, settings_for
from graft.analysis.choose.write_choice import write_choice
from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.params.choose_params import ChooseParams
from graft.core.params.models import Params
from graft.core.params.strategy_params import FineTuneParams
from graft.core.params.train_params import VALIDATION_FOLDS
from graft.core.project import Project
from graft.core.timing import StageClock
from graft.data.scan.manifest import read_manifest
from graft.data.splits.image_groups import read_groups
from graft.data.splits.split_tables import read_split_table, read_splits
from graft.networks.decode_images import Photographs
from graft.networks.features.feature_store import FeatureStore


def choose_for_project(project: Project, params: Params, clock: StageClock, *also: str) -> Choice | None:
    """Measure on train and val what the strategies leave to auto, and write the stage's outputs.

    Args:
        also: strategies that are no part of train.run.

    Returns:
        What was measured; None where no strategy leaves anything open.

    Raises:
        GraftError: as :func:`graft.analysis.choose.choose.choose`.
    """
    train = params.train
    strategies = {name: train.strategy(name) for name in dict.fromkeys([*train.run, *also])}
    settings: dict[str, dict[str, Any]] = {name: own_size(one) for name, one in strategies.items()}
    is_open = any(set(one.to_choose) - set(settings[name]) for name, one in strategies.items())
    choice = None
    if is_open:
        tables = read_splits(project, ["train", "val"])
        with clock.span("choose"):
            choice = choose(
                what_is_asked(params),
                _default_backbone(params),
                _sample(project, params, tables),
                project.cache,
                FeatureStore.of(project, train.store),
            )
        images = len(tables["train"])
        trainings = 1 + (VALIDATION_FOLDS if train.validates_in_folds(len(tables["val"])) else 0)
        settings = {name: settings_for(one, choice, images, trainings) for name, one in strategies.items()}
    promising = [
        name
        for name, one in strategies.items()
        if choice is not None and isinstance(one, FineTuneParams) and is_promising(choice)
    ]
    write_choice(choice, settings, project.artifacts("choose"), promising)
    return choice


def what_is_asked(params: Params) -> ChooseParams:
    """Return section choose, with the size that train names for all strategies where choose names none."""
    size = params.train.image_size
    if params.choose.sizes or not isinstance(size, int):
        return params.choose
    return params.choose.model_copy(update={"sizes": [size]})


def _default_backbone(params: Params) -> KerasBackboneParams:
    shared = params.train.backbone
    return shared if isinstance(shared, KerasBackboneParams) else KerasBackboneParams(source="keras")


def _sample(project: Project, params: Params, tables: dict[str, Any]) -> MeasuredImages:
    """Return the images of train and val, or as many of them as are to be measured on."""
    paths = [path for table in tables.values() for path in table["path"]]
    sha256 = [digest for table in tables.values() for digest in table["sha256"]]
    names = np.array([label for table in tables.values() for label in table["label"]])
    classes, labels = np.unique(names, return_inverse=True)
    groups = read_groups(project.training_groups, sha256)
    rows = draw(labels, groups, params.choose.max_images, params.train.seed)
    sizes = read_manifest(project.manifest, columns=["path", "width", "height"]).set_index("path")
    sides = sizes.loc[[paths[row] for row in rows], ["width", "height"]].min(axis=1)
    chosen_paths, chosen = [paths[row] for row in rows], [sha256[row] for row in rows]

    def images_at(size: int) -> Photographs:
        return Photographs(project.data, chosen_paths, chosen, size, labels[rows])

    in_test = len(read_split_table(project.split_table("test")))
    return MeasuredImages(
        images_at, labels[rows], classes.tolist(), groups[rows], float(np.median(sides)), len(paths) + in_test
    )
