"""When activations are kept, and when they are rather computed in every epoch."""

from __future__ import annotations

import math
import re
from pathlib import Path

import keras
import pytest

from graft.backbones import build_backbone
from graft.backbones.backbone import Backbone
from graft.backbones.cutting import CutBackbone, cut
from graft.params.strategies import KerasBackboneParams
from graft.training.keeping import Machine, multiplications, this_machine, why_not_kept
from graft.training.unfreezing import first_trained_layer

ROOMY = Machine(flops=70e9, memory=16e9, disk=1e12)


def backbone(name: str, folder: Path, size: int) -> Backbone:
    return build_backbone(
        KerasBackboneParams(source="keras", name=name, weights="none"), size, folder, "average"
    )


# Millions, as their papers have them; ResNet50's ("3.8 billion") to the digits that Keras' strides give.
@pytest.mark.parametrize(
    ("name", "millions"),
    [("MobileNetV2", 300), ("MobileNet", 569), ("ResNet50", 3858), ("EfficientNetB0", 390)],
)
def test_multiplications_are_those_that_the_papers_count(name: str, millions: int, tmp_path: Path) -> None:
    assert multiplications(backbone(name, tmp_path, 224).model) / 1e6 == pytest.approx(millions, rel=0.02)


def test_a_layer_by_hand() -> None:
    images = keras.Input((8, 8, 3))
    convolved = keras.layers.Conv2D(5, 3, strides=2, padding="same")(images)
    deep = keras.layers.DepthwiseConv2D(3, padding="same")(convolved)
    model = keras.Model(images, keras.layers.Dense(7)(keras.layers.GlobalAveragePooling2D()(deep)))
    assert multiplications(model) == 4 * 4 * 27 * 5 + 4 * 4 * 9 * 5 + 5 * 7


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CutBackbone]:
    """MobileNetV2 at 224 pixels, cut early and late."""
    folder = tmp_path_factory.mktemp("weights")
    found = {}
    for layer in ("expanded_conv_depthwise", "block_13_expand"):
        whole = backbone("MobileNetV2", folder, 224)
        part = cut(whole, first_trained_layer(whole.trunk, layer))
        assert part is not None
        found[layer] = part
    return found


def why(
    part: CutBackbone, machine: Machine = ROOMY, train: int = 2000, views: int = 2, epochs: int = 6
) -> str:
    return why_not_kept(part.below, part.layer, train, 500, views, epochs, machine)


def test_high_up_activations_are_kept(pieces: dict[str, CutBackbone]) -> None:
    assert why(pieces["block_13_expand"]) == ""


def test_near_the_image_they_are_not(pieces: dict[str, CutBackbone]) -> None:
    found = why(pieces["expanded_conv_depthwise"])
    assert found.startswith("keeping activations at Conv1_relu (7.2 GB) would take about")
    keeping, anew = (float(number) for number in re.findall(r"([\d.]+) s\b", found))
    assert keeping > 3 * anew


def test_more_views_than_epochs_cost_more_than_they_save(pieces: dict[str, CutBackbone]) -> None:
    assert why(pieces["block_13_expand"], views=4, epochs=3)
    assert not why(pieces["block_13_expand"], views=4, epochs=8)


def test_a_machine_that_computes_quickly_keeps_less(pieces: dict[str, CutBackbone]) -> None:
    assert why(pieces["block_13_expand"], Machine(flops=1e15, memory=16e9, disk=1e12))


def test_what_has_to_be_read_from_the_disk_counts_for_more(pieces: dict[str, CutBackbone]) -> None:
    fast = Machine(flops=1e12, memory=16e9, disk=1e12)
    assert not why(pieces["block_13_expand"], fast)
    assert why(pieces["block_13_expand"], Machine(flops=1e12, memory=1e8, disk=1e12))


def test_what_the_disk_has_no_room_for_is_not_kept(pieces: dict[str, CutBackbone]) -> None:
    row = 4 * math.prod(pieces["block_13_expand"].below.output_shape[1:])
    needed = row * (2 * 2000 + 500)
    assert not why(pieces["block_13_expand"], Machine(70e9, 16e9, 3.01 * needed))
    assert "of disk are free" in why(pieces["block_13_expand"], Machine(70e9, 16e9, 2.99 * needed))


def test_this_machine_has_something_of_each() -> None:
    machine = this_machine()
    assert machine.flops >= 1e9
    assert machine.memory > 0
    assert machine.disk > 0
