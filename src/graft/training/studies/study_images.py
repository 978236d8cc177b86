"""The images of a study, train and val together, as the features of each frozen network; test images have no part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from graft.core.errors import GraftError, did_you_mean
from graft.core.params import Params
from graft.core.params.strategy_params import FrozenParams
from graft.core.project import Project
from graft.data.splits.image_groups import read_groups
from graft.data.splits.split_tables import read_splits
from graft.evaluation.prediction_table import class_indices
from graft.networks.class_weights import balanced_class_weights
from graft.networks.decode_images import Photographs
from graft.networks.exact_head import CrossValidated, cross_validate
from graft.networks.features.feature_store import FeatureStore
from graft.networks.temperature import fit_temperature, softmax
from graft.training.chosen_settings import with_chosen

if TYPE_CHECKING:
    from graft.core.params.backbone_params import BackboneParams


@dataclass(frozen=True)
class StudyMember:
    """One frozen network of a strategy.

    Attributes:
        name: such as ``MobileNetV2 at 160 px``.
        features: of each image, float32 ``[N, D]``.
        mirrored: of each image's mirrored copies, which the head also learns from, ``[N, D]`` each.
        top: number of features of the last layer, which stand first; D where there are no others.
        plain: features of the images alone, ``[N, D]``, where ``features`` are means with their mirror images.
        weight: of its probabilities.
    """

    name: str
    features: np.ndarray
    mirrored: tuple[np.ndarray, ...] = ()
    top: int = 0
    plain: np.ndarray | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class StudyImages:
    """What a study is about.

    Attributes:
        strategy: its name.
        members: its frozen networks, one or more.
        labels: class indices, int ``[N]``.
        classes: C names.
        groups: of each image, str ``[N]``.
        sha256: of each image, ``[N]``.
        class_weight: as of the strategy.
        folds: of the cross-validation that chooses the head's penalty.
    """

    strategy: str
    members: tuple[StudyMember, ...]
    labels: np.ndarray
    classes: list[str]
    groups: np.ndarray
    sha256: list[str]
    class_weight: Literal["none", "balanced"]
    folds: int


def frozen_names(params: Params) -> list[str]:
    """Return the strategies that can be studied: frozen ones whose head is solved, those of train.run first."""
    strategies = params.train.strategies
    names = dict.fromkeys([*params.train.run, *strategies])
    return [name for name in names if (one := strategies.get(name)) and one.kind == "frozen" and one.solver == "exact"]


def study_images(project: Project, params: Params, name: str | None) -> StudyImages:
    """Return the images of train and val with the features that a frozen strategy has of them, each computed once.

    Args:
        name: of the strategy; None is the first of :func:`frozen_names`.

    Raises:
        GraftError: there is no such strategy, its head is trained in epochs, or all images are of one group.
    """
    possible = frozen_names(params)
    if not possible or (name is not None and name not in possible):
        is_other = name in params.train.strategies
        raise GraftError(
            f"'{name}' is not a frozen strategy whose head is solved: to train it again and again would take hours"
            if is_other
            else f"There is no strategy '{name}'"
            if name
            else "No strategy in params.yaml is frozen with a head that is solved",
            did_you_mean(name or "", possible) if possible else "Add one of kind: frozen with solver: exact",
        )
    chosen = name or possible[0]
    strategy = with_chosen(project, params.train, chosen).strategy(chosen)
    assert isinstance(strategy, FrozenParams)
    tables = read_splits(project, ["train", "val"])
    paths = [path for table in tables.values() for path in table["path"]]
    sha256 = [digest for table in tables.values() for digest in table["sha256"]]
    names = [label for table in tables.values() for label in table["label"]]
    classes = sorted(set(names))
    groups = read_groups(project.training_groups, sha256)
    if len(np.unique(groups)) < 2:
        raise GraftError(
            f"All {len(names)} images of train and val belong to one group: none can be held out",
            "Bring images of another group, or set split.group_by: none",
        )
    store = FeatureStore.of(project, params.train.store)

    def images(size: int) -> Photographs:
        return Photographs(project.data, paths, sha256, size, label=f"{chosen}: images at {size} px")

    return StudyImages(
        chosen,
        tuple(_members(strategy, images, project, store)),
        class_indices(names, classes),
        classes,
        groups,
        sha256,
        strategy.class_weight,
        strategy.folds,
    )


def _members(
    strategy: FrozenParams, images: Callable[[int], Photographs], project: Project, store: FeatureStore | None
) -> Iterator[StudyMember]:
    from graft.networks.backbones import default_image_size
    from graft.networks.features.frozen_backbone import frozen_backbone
    from graft.networks.features.mirror_images import view_features
    from graft.training.strategies.frozen import MIRRORS

    if not strategy.members:
        assert strategy.backbone is not None  # filled in by TrainParams.strategy
        size = strategy.image_size if isinstance(strategy.image_size, int) else default_image_size(strategy.backbone)
        backbone = frozen_backbone(strategy.backbone, size, project.cache, store, strategy.head.pooling)
        views = [backbone.features(images(size), strategy.backbone.source, axes) for axes in MIRRORS[strategy.flip]]
        top = backbone.top_count if strategy.head.pooling == "depths" else backbone.feature_count
        yield StudyMember(_name(strategy.backbone, size), views[0], tuple(views[1:]), top)
        return
    for member in strategy.members:
        backbone = frozen_backbone(member.backbone, member.image_size, project.cache, store, member.pooling)
        name = _name(member.backbone, member.image_size)
        plain = backbone.features(images(member.image_size), name)
        features = view_features(backbone, images(member.image_size), name, True) if member.mirrored else plain
        top = backbone.top_count if member.pooling == "depths" else backbone.feature_count
        yield StudyMember(name, features, (), top, plain if member.mirrored else None, member.weight)


def _name(backbone: BackboneParams, size: int) -> str:
    return f"{getattr(backbone, 'name', backbone.source)} at {size} px"


def out_of_fold(images: StudyImages, folds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of each image by heads that were fitted without its group, and its fold.

    The penalty of a head, and the temperature, are one number each from all images.

    Returns:
        float64 ``[N, C]``, and int ``[N]``.
    """
    total = sum(member.weight for member in images.members)
    mixture = np.zeros((len(images.labels), len(images.classes)))
    fold_of = np.zeros(len(images.labels), np.int64)
    for member in images.members:
        found = _cross_validated(images, member, folds, seed)
        logits, fold_of = found.logits[: len(images.labels)], found.folds[: len(images.labels)]
        temperature = fit_temperature(images.labels, logits, images.groups)
        mixture += member.weight / total * softmax(logits / temperature)
    return mixture, fold_of


def _cross_validated(images: StudyImages, member: StudyMember, folds: int, seed: int) -> CrossValidated:
    views = 1 + len(member.mirrored)
    labels = np.tile(images.labels, views)
    return cross_validate(
        np.concatenate([member.features, *member.mirrored]) if member.mirrored else member.features,
        labels,
        len(images.classes),
        groups=np.tile(images.groups, views),
        weights=_weights(images, labels),
        folds=folds,
        seed=seed,
    )


def _weights(images: StudyImages, labels: np.ndarray) -> np.ndarray | None:
    if images.class_weight == "none":
        return None
    return balanced_class_weights(labels, len(images.classes))[labels]
