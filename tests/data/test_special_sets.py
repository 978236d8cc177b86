"""Small ones of the sets that trip a first run: each is validated and divided, and told what is special about it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import clock, tiny_params

from graft.core.params.models import Params
from graft.core.project import Project
from graft.data.split_stage import split_images
from graft.data.validate_stage import validate_images

Draw = Callable[[np.random.Generator, Path], None]


def colour(width: int, height: int) -> Draw:
    return lambda chance, path: Image.fromarray(chance.integers(0, 256, (height, width, 3), np.uint8)).save(path)


def of_twelve_bits(chance: np.random.Generator, path: Path) -> None:
    Image.fromarray(chance.integers(0, 4096, (24, 24), np.uint16)).save(path)


# Of each set: images by class, the kind of file, how one is drawn, rules of validate that warn, images in train, val
# and test, and whether validation is in folds.
SETS = {
    "20 photographs": ({"ants": 10, "bees": 10}, "png", colour(24, 24), [], (14, 2, 4), True),
    "long tail": ({"cat": 300, "dog": 3}, "png", colour(9, 9), ["enough_per_class", "balanced"], None, True),
    "panoramas": ({"cat": 40, "dog": 40}, "png", colour(50, 10), ["aspect"], None, True),
    "16 bits, PNG": ({"no": 30, "yes": 30}, "png", of_twelve_bits, ["full_range"], None, True),
    "16 bits, TIFF": ({"no": 30, "yes": 30}, "tif", of_twelve_bits, ["full_range"], None, True),
    "tiny, and many": ({"cat": 300, "dog": 300}, "png", colour(8, 8), [], None, False),
}


@pytest.mark.parametrize("name", SETS)
def test_a_special_set_is_divided_with_what_is_special_about_it(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts, suffix, draw, warned, sizes, in_folds = SETS[name]
    project, chance = Project(tmp_path), np.random.default_rng(5)
    for label, count in counts.items():
        (project.data / label).mkdir(parents=True)
        for number in range(count):
            draw(chance, project.data / label / f"{number}.{suffix}")
    params: Params = tiny_params(validation="auto")
    verdict = validate_images(project, params.validate_, clock())
    assert verdict.left_out == 0
    assert [rule.name for rule in verdict.rules if not rule.passed] == warned
    split_images(project, params, clock())
    summary = json.loads((project.artifacts("split") / "summary.json").read_text())
    assert summary["classes_left_out"] == {}
    assert all(count > 0 for parts in summary["classes"].values() for count in parts.values())
    assert sum(summary["images"].values()) == sum(counts.values())
    if sizes:
        assert tuple(summary["images"].values()) == sizes
    assert ("measured out of fold" in capsys.readouterr().out) is in_folds
