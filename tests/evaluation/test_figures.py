"""Pictures: real PNG files with something on them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from graft.evaluation import figures
from graft.evaluation.figures import confusion_picture, confusion_thumbnail, learning_curves_picture


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def dark_blue(image: np.ndarray) -> np.ndarray:
    """Where the picture shows a share near 1: the deep end of Blues."""
    return (image[..., 2] > 90) & (image[..., 0] < 40) & (image[..., 1] < 70)


def test_a_confusion_matrix_is_dark_where_its_shares_are(tmp_path: Path) -> None:
    matrix = np.array([[30, 0], [0, 2]])
    confusion_picture(tmp_path / "right.png", matrix, ["cat", "dog"], "right")
    confusion_picture(tmp_path / "wrong.png", matrix[:, ::-1], ["cat", "dog"], "wrong")
    right, wrong = (dark_blue(pixels(tmp_path / f"{name}.png")) for name in ("right", "wrong"))
    assert right.shape == wrong.shape
    # Two cells of four, on each of two panels; and not the same two.
    assert 0.1 < right.mean() < 0.6
    assert not (right & wrong).mean() > 0.02


def test_the_matrix_of_a_class_without_images_is_drawn(tmp_path: Path) -> None:
    confusion_picture(tmp_path / "empty.png", np.array([[3, 0], [0, 0]]), ["cat", "dog"], "empty")
    assert pixels(tmp_path / "empty.png").std() > 10


@pytest.mark.parametrize("classes", [1, 20, 40])
def test_any_number_of_classes_is_drawn(classes: int, tmp_path: Path) -> None:
    names = [f"class {i}" for i in range(classes)]
    confusion_picture(tmp_path / "many.png", np.eye(classes, dtype=int), names, "many")
    image = pixels(tmp_path / "many.png")
    assert image.shape[0] > 300
    assert dark_blue(image).any()


def test_names_in_other_scripts_and_with_markup_are_only_names(tmp_path: Path) -> None:
    assert confusion_picture(tmp_path / "names.png", np.eye(3, dtype=int), ["$x^$ & $y", "größe", "a_b^c"], "$ti^$tle")
    assert pixels(tmp_path / "names.png").std() > 10


def epochs(count: int) -> pd.DataFrame:
    x = np.arange(count)
    columns = {"log_loss": 2.0 / (x + 1), "accuracy": 1 - 0.5 / (x + 1)}
    return pd.DataFrame({"epoch": x, **columns, **{f"val_{name}": 1.1 * values for name, values in columns.items()}})


def count_of(image: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(image - np.array(colour)).max(axis=-1) < 12).sum())


def test_learning_curves_show_both_splits(tmp_path: Path) -> None:
    learning_curves_picture(tmp_path / "curves.png", epochs(10), 4, "frozen")
    image = pixels(tmp_path / "curves.png")
    assert count_of(image, (31, 119, 180)) > 300  # tab:blue, training
    assert count_of(image, (255, 127, 14)) > 300  # tab:orange, validation


def test_the_curves_of_a_single_epoch_are_drawn(tmp_path: Path) -> None:
    learning_curves_picture(tmp_path / "short.png", epochs(1), 0, "short")
    assert pixels(tmp_path / "short.png").std() > 5


def odd_names(count: int) -> list[str]:
    return [f"{index} $^$ & ' \" < > , ; # 😀 " + "long" * (index % 60) for index in range(count)]


def confusions(count: int) -> np.ndarray:
    random = np.random.default_rng(0)
    return np.asarray(random.integers(0, 3, (count, count)) + np.diag(random.integers(0, 50, count)))


# Every picture that graft draws of a model, with the most that it may be given.
EVERY = {
    "confusion, 172 classes": lambda path: confusion_picture(path, confusions(172), odd_names(172), "t" * 400),
    "confusion, 1,000 classes": lambda path: confusion_picture(path, confusions(1000), odd_names(1000), "$^$"),
    "thumbnail, 1,000 classes": lambda path: confusion_thumbnail(path, confusions(1000), odd_names(1000)),
    "thumbnail, long names": lambda path: confusion_thumbnail(path, confusions(8), odd_names(60)[-8:]),
    "curves": lambda path: learning_curves_picture(path, epochs(100_000), 7, "$^$" * 300),
}


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("what", EVERY)
def test_c1_every_picture_is_bounded(what: str, tmp_path: Path) -> None:
    assert EVERY[what](tmp_path / "picture.png")
    image = pixels(tmp_path / "picture.png")
    assert image.shape[0] <= 1800
    assert image.shape[1] <= 3700
    assert image.std() > 5


def test_c1_of_many_classes_those_in_the_most_errors_are_drawn() -> None:
    confusion = np.diag(np.full(1000, 9))
    confusion[3, 999] = confusion[500, 501] = 2
    confusion[7, 8] = 1
    chosen = figures._most_confused(confusion)
    assert len(chosen) == figures.MAX_CLASSES
    assert {3, 7, 8, 500, 501, 999} <= set(chosen)
    assert (np.diff(chosen) > 0).all()
    assert figures._most_confused(confusion[:40, :40]).tolist() == list(range(40))


def test_c1_a_picture_that_cannot_be_drawn_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def exhausted(*size: float) -> None:
        raise MemoryError("no room")

    (tmp_path / "it.png").write_text("of an earlier run")
    monkeypatch.setattr(figures, "new_figure", exhausted)
    assert not confusion_picture(tmp_path / "it.png", np.eye(2, dtype=int), ["a", "b"], "title")
    assert not (tmp_path / "it.png").exists()
    assert "The picture it.png cannot be drawn (no room)" in capsys.readouterr().out
