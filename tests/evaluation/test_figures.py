"""Pictures: real PNG files with something on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from graft.evaluation.figures import confusion_picture, learning_curves_picture


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def dark_blue(image: np.ndarray) -> np.ndarray:
    """Where the picture shows a share near 1: the deep end of Blues."""
    return (image[..., 2] > 90) & (image[..., 0] < 40) & (image[..., 1] < 70)


def test_a_confusion_matrix_is_dark_where_its_shares_are(tmp_path: Path) -> None:
    matrix = np.array([[30, 0], [0, 2]])
    confusion_picture(matrix, ["cat", "dog"], "right", tmp_path / "right.png")
    confusion_picture(matrix[:, ::-1], ["cat", "dog"], "wrong", tmp_path / "wrong.png")
    right, wrong = (dark_blue(pixels(tmp_path / f"{name}.png")) for name in ("right", "wrong"))
    assert right.shape == wrong.shape
    # Two cells of four, on each of two panels; and not the same two.
    assert 0.1 < right.mean() < 0.6
    assert not (right & wrong).mean() > 0.02


def test_the_matrix_of_a_class_without_images_is_drawn(tmp_path: Path) -> None:
    confusion_picture(np.array([[3, 0], [0, 0]]), ["cat", "dog"], "empty", tmp_path / "empty.png")
    assert pixels(tmp_path / "empty.png").std() > 10


@pytest.mark.parametrize("classes", [1, 20, 40])
def test_any_number_of_classes_is_drawn(classes: int, tmp_path: Path) -> None:
    names = [f"class {i}" for i in range(classes)]
    confusion_picture(np.eye(classes, dtype=int), names, "many", tmp_path / "many.png")
    image = pixels(tmp_path / "many.png")
    assert image.shape[0] > 300
    assert dark_blue(image).any()


def test_names_in_other_scripts_and_with_markup_are_only_names(tmp_path: Path) -> None:
    confusion_picture(np.eye(3, dtype=int), ["$x$ & $y", "größe", "a_b^c"], "$title", tmp_path / "names.png")
    assert pixels(tmp_path / "names.png").std() > 10


def epochs(count: int) -> pd.DataFrame:
    x = np.arange(count)
    columns = {"log_loss": 2.0 / (x + 1), "accuracy": 1 - 0.5 / (x + 1)}
    return pd.DataFrame(
        {"epoch": x, **columns, **{f"val_{name}": 1.1 * values for name, values in columns.items()}}
    )


def count_of(image: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(image - np.array(colour)).max(axis=-1) < 12).sum())


def test_learning_curves_show_both_splits(tmp_path: Path) -> None:
    learning_curves_picture(epochs(10), 4, "frozen", tmp_path / "curves.png")
    image = pixels(tmp_path / "curves.png")
    assert count_of(image, (31, 119, 180)) > 300  # tab:blue, training
    assert count_of(image, (255, 127, 14)) > 300  # tab:orange, validation


def test_the_curves_of_a_single_epoch_are_drawn(tmp_path: Path) -> None:
    learning_curves_picture(epochs(1), 0, "short", tmp_path / "short.png")
    assert pixels(tmp_path / "short.png").std() > 5
