"""Series of images that names tell and thumbnails confirm, and what a split makes of them."""

import hashlib
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from graft.core.params.models import SplitParams
from graft.data.splits.series import LEAST_SERIES, Series, find_series
from graft.data.splits.split_images import make_split

NO_NEAR = pd.DataFrame(columns=["path", "sha256", "label", "group"])


def film(count: int, frames: int, name: Callable[[int, int], str], label: str = "cat", noise: float = 6) -> list[dict]:
    """Return rows of so many series of one class: thumbnails of one are alike, and of two are not."""
    generator = np.random.default_rng([ord(letter) for letter in label])
    rows = []
    for series in range(count):
        scene = generator.uniform(0, 255, 192)
        for frame in range(frames):
            path = f"{label}/{name(series, frame)}"
            rows.append(
                {
                    "path": path,
                    "label": label,
                    "split": "",
                    "sha256": hashlib.sha256(path.encode()).hexdigest(),
                    "left_out": "",
                    "thumbnail": np.clip(scene + generator.normal(0, noise, 192), 0, 255).astype(np.uint8),
                }
            )
    return rows


def found(rows: list[dict], near: pd.DataFrame = NO_NEAR, carved: int = 2) -> Series | None:
    images = pd.DataFrame(rows).sort_values("path", ignore_index=True)
    return find_series(images, near, lambda some: np.stack(images["thumbnail"].iloc[some]), carved)


def digest(series: int, frame: int) -> str:
    return hashlib.sha256(bytes([series, frame])).hexdigest()


NAMES: dict[str, Callable[[int, int], str]] = {
    "track_frame.png": lambda series, frame: f"{series:05d}_{frame:05d}.png",
    "paper01-000.png": lambda series, frame: f"paper{series:02d}-{frame:03d}.png",
    "a number without a mark": lambda series, frame: f"{'abcdefghijkl'[series]}{frame}.jpg",
    "changed copies": lambda series, frame: (
        f"leaf{series}_jpg.rf.{hashlib.md5(bytes([series, frame])).hexdigest()}.jpg"
    ),
    "words": lambda series, frame: f"{series}_{'abcdefghijkl'[frame]}.jpg",
    "folders": lambda series, frame: f"plant{series}/{digest(series, frame)}.jpg",
    "brackets": lambda series, frame: f"thing {series} ({frame}).jpg",
    "three parts": lambda series, frame: f"patient{series}_slice{frame // 2}_aug{frame % 2}.png",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_tell_and_thumbnails_confirm(name: Callable[[int, int], str]) -> None:
    series = found([*film(8, 10, name), *film(8, 10, name, "dog")])
    assert series is not None
    assert (series.images, series.count, series.few) == (160, 16, [])
    assert series.together["group"].value_counts().tolist() == [10] * 16
    pd.testing.assert_frame_equal(series.together, series.for_folds)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_alone_are_no_series(name: Callable[[int, int], str]) -> None:
    assert found([*film(8, 10, name, noise=2000), *film(8, 10, name, "dog", noise=2000)]) is None


def test_running_numbers_hashes_and_single_images_are_no_series() -> None:
    def running(series: int, frame: int) -> str:
        return f"IMG_{1000 + 10 * series + frame}.jpg"

    def hashed(series: int, frame: int) -> str:
        return f"{digest(series, frame)}.jpg"

    for name in (running, hashed):
        assert found([*film(8, 10, name), *film(8, 10, name, "dog")]) is None
    assert found(film(30, 1, NAMES["track_frame.png"])) is None
    assert found(film(1, 30, NAMES["track_frame.png"])) is None


def test_what_near_duplicates_hold_together_is_no_evidence() -> None:
    """Names such as breed_7 put unlike images together, but for bursts, which belong together anyway."""
    rows = film(8, 10, NAMES["track_frame.png"], noise=2000)
    bursts = [row["sha256"] for row in rows]
    for first in range(0, 80, 2):
        rows[first + 1]["thumbnail"] = rows[first]["thumbnail"]
    near = pd.DataFrame({"sha256": bursts, "group": [bursts[row // 2 * 2] for row in range(80)]})
    assert found(rows) is not None
    assert found(rows, near) is None


def test_a_class_with_few_series_or_one_large_one_is_divided_image_by_image() -> None:
    name = NAMES["track_frame.png"]
    least = LEAST_SERIES[2]
    large = [*film(1, 40, name, "large"), *film(9, 1, lambda series, _: f"x{series}.png", "large")]
    rows = [*film(8, 10, name), *film(least - 1, 10, name, "few"), *film(least, 10, name, "dog"), *large]
    series = found(rows)
    assert series is not None
    assert series.few == ["few", "large"]
    assert series.count == 8 + least
    labels = {row["sha256"]: row["label"] for row in rows}
    assert set(series.together["sha256"].map(labels)) == {"cat", "dog"}
    assert set(series.for_folds["sha256"].map(labels)) == {"cat", "dog", "few", "large"}
    fewer = found(film(3, 10, name), carved=1)
    assert fewer is not None
    assert (fewer.count, fewer.few) == (3, [])


def test_auto_keeps_series_in_one_part_and_growth_moves_nothing() -> None:
    name = NAMES["track_frame.png"]
    rows = [*film(12, 10, name), *film(12, 10, name, "dog")]
    first = make_split(pd.DataFrame(rows), SplitParams(), series=found(rows))
    assert first.summary["series"] == {
        "together": True,
        "images": 240,
        "series": 24,
        "example": "cat/00000_00000.png",
        "least": 5,
        "few": [],
    }
    places = parts(first.tables)
    assert {len(parts_of) for parts_of in by_series(places).values()} == {1}
    # Further frames of each series join it, and new series are drawn; what was there stays, also under other names.
    grown = [*film(15, 14, name), *film(15, 14, name, "dog")]
    second = make_split(pd.DataFrame(grown), SplitParams(), first.memory, series=found(grown))
    later = parts(second.tables)
    assert {path: later[path] for path in places} == places
    assert {len(parts_of) for parts_of in by_series(later).values()} == {1}


def test_other_methods_say_so_and_divide_image_by_image() -> None:
    rows = [*film(8, 10, NAMES["track_frame.png"]), *film(8, 10, NAMES["track_frame.png"], "dog")]
    params = SplitParams(method="stratified")
    split = make_split(pd.DataFrame(rows), params, series=found(rows))
    assert split.summary["series"]["together"] is False
    assert parts(split.tables) == parts(make_split(pd.DataFrame(rows), params).tables)


def parts(tables: dict[str, pd.DataFrame]) -> dict[str, str]:
    return {path: part for part, table in tables.items() for path in table["path"]}


def by_series(places: dict[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path, part in places.items():
        found.setdefault(path.rpartition("_")[0], set()).add(part)
    return found
