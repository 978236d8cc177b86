"""Draw what is inside a network: kernels, maps through the depth, and a map of the test images' features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from graft.bundle.images import decode
from graft.core.errors import GraftError
from graft.core.illustration import DPI, new_figure
from graft.core.project import Project
from graft.networks.explain.look_inside import embedding_run, feature_maps, first_kernels

# Photographs on a map of features: with more, the search for neighbours takes minutes and nobody sees them all.
MOST_IMAGES, THUMBNAILS = 1500, 60
_LEAST_IMAGES, _MOST_KERNELS = 5, 64
_SEED = 0
_COLOURS = 10  # of classes that are told apart; others are grey


def draw_kernels(bundle: Path, out: Path) -> None:
    """Draw the kernels of the first layer; those of three channels in colour, each from its least to its greatest."""
    kernels = first_kernels(bundle)[:_MOST_KERNELS]
    low, high = (end(kernels, axis=(1, 2, 3), keepdims=True) for end in (np.min, np.max))
    kernels = (kernels - low) / np.maximum(high - low, 1e-12)
    columns = 8
    figure = new_figure(columns, -(-len(kernels) // columns))
    for axes, kernel in zip(figure.subplots(-(-len(kernels) // columns), columns).flat, kernels, strict=False):
        axes.imshow(kernel if kernel.shape[-1] == 3 else kernel.mean(axis=-1), cmap="grey")
    _save(figure, out)


def draw_features(bundle: Path, size: int, photograph: Path, out: Path) -> None:
    """Draw a photograph, and below it the strongest maps of layers through the depth.

    Args:
        size: S, of the bundle's network.
    """
    image = decode(photograph.read_bytes(), size)
    maps = feature_maps(bundle, image)
    columns = max(len(channels) for _, channels in maps)
    figure = new_figure(1.3 * columns, 1.4 * (1 + len(maps)))
    grid = figure.subplots(1 + len(maps), columns, squeeze=False)
    grid[0, 0].imshow(image)
    for row, (name, channels) in zip(grid[1:], maps, strict=True):
        for axes, channel in zip(row, channels, strict=False):
            axes.imshow(channel, cmap="magma")
        row[0].set_title(f"{name[-40:]}, {channels.shape[1]} x {channels.shape[2]}", fontsize=7, loc="left")
    _save(figure, out)


def draw_embedding(project: Project, bundle: Path, out: Path) -> int:
    """Draw photographs of all splits by their features in two dimensions; return how many.

    t-SNE (L. van der Maaten and G. Hinton, JMLR 9, 2008) of scikit-learn puts neighbours together; distances between
    groups mean nothing. Coloured by class and by split, wrong answers on test marked, and some as thumbnails.
    """
    import pandas as pd
    from sklearn.manifold import TSNE

    from graft.core.progress import progress_bar
    from graft.data.splits.split_tables import read_splits
    from graft.networks.engines.open_classifier import open_classifier

    size, run = embedding_run(bundle)
    tables = read_splits(project, ["train", "val", "test"])
    table = pd.concat([one.assign(split=split) for split, one in tables.items()])
    if len(table) > MOST_IMAGES:
        table = table.iloc[np.linspace(0, len(table) - 1, MOST_IMAGES).astype(int)]
    if len(table) < _LEAST_IMAGES:
        raise GraftError(f"There are {len(table)} images, too few for a map", "Bring in some more")
    pixels, features = [], []
    with progress_bar("Features", len(table)) as advance:
        for path in table["path"]:
            pixels.append(decode((project.data / path).read_bytes(), size))
            features.append(run(pixels[-1][None])[0])
            advance(1)
    classifier = open_classifier(bundle, len(table))
    predicted = classifier.probabilities({size: np.stack(pixels)}).argmax(axis=1)
    perplexity = min(30, (len(table) - 1) / 3)
    places = TSNE(perplexity=perplexity, init="pca", random_state=_SEED).fit_transform(np.stack(features))
    labels, splits = table["label"].to_numpy(), table["split"].to_numpy()
    is_right = np.array([classifier.classes[int(index)] for index in predicted]) == labels
    mistakes = np.where(is_right, "right", np.where(splits == "test", "wrong, test", "wrong, train or val"))
    figure = new_figure(15, 11)
    by_class, by_split, by_mistake, thumbnails = figure.subplots(2, 2).flat
    _scatter(by_class, places, labels, "class")
    _scatter(by_split, places, splits, "split")
    _scatter(by_mistake, places, mistakes, "mistakes")
    _pictures(thumbnails, places, pixels)
    _save(figure, out)
    return len(table)


def _scatter(axes: Any, places: np.ndarray, groups: np.ndarray, title: str) -> None:
    names, counts = np.unique(groups, return_counts=True)
    for name in names[np.argsort(-counts, kind="stable")][:_COLOURS]:
        own = groups == name
        axes.scatter(*places[own].T, s=9, label=str(name)[:30])
    others = ~np.isin(groups, names[np.argsort(-counts, kind="stable")][:_COLOURS])
    if others.any():
        axes.scatter(*places[others].T, s=6, color="lightgrey", label="others", zorder=0)
    axes.legend(fontsize=8)
    axes.set_title(title, fontsize=10)


def _pictures(axes: Any, places: np.ndarray, pixels: list[np.ndarray]) -> None:
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    axes.scatter(*places.T, s=1, color="lightgrey")
    for index in np.random.default_rng(_SEED).permutation(len(pixels))[:THUMBNAILS]:
        zoom = 36 / pixels[index].shape[0]
        axes.add_artist(AnnotationBbox(OffsetImage(pixels[index], zoom=zoom), places[index], frameon=False))
    axes.set_title("some of them", fontsize=10)


def _save(figure: Any, out: Path) -> None:
    for axes in figure.axes:
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=DPI)
