"""What is measured, in which order, and what it costs."""

import pytest

from graft.analysis.choose.plan import PLANS, Candidate, plan
from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.params.choose_params import ChooseParams

USUAL = KerasBackboneParams(source="keras", name="MobileNetV2")
OTHER = KerasBackboneParams(source="keras", name="ResNet50")


@pytest.mark.parametrize("quality", PLANS)
def test_a_quality_measures_its_plan_with_the_backbone_of_params_in_the_usual_ones_place(quality: str) -> None:
    params = ChooseParams(quality=quality)  # type: ignore[arg-type]
    names = [(one.backbone.name, one.image_size) for one in plan(params, USUAL, 500)]
    assert names == list(PLANS[quality])  # type: ignore[index]
    others = [(one.backbone.name, one.image_size) for one in plan(params, OTHER, 500)]
    assert others == [(name.replace("MobileNetV2", "ResNet50"), size) for name, size in names]


def test_backbones_and_sizes_of_ones_own_are_all_that_is_measured() -> None:
    params = ChooseParams(backbones=[OTHER], sizes=[96, 128])
    assert plan(params, USUAL, 500) == [Candidate(OTHER, 96), Candidate(OTHER, 128)]
    assert {one.image_size for one in plan(ChooseParams(sizes=[64]), USUAL, 500)} == {64}


def test_small_images_are_not_blown_up_beyond_reason() -> None:
    assert {one.image_size for one in plan(ChooseParams(), USUAL, 20)} == {160}
    assert [one.image_size for one in plan(ChooseParams(), USUAL, 2)] == [160]  # the smallest there is


def test_cost_grows_with_pixels_and_views() -> None:
    plain = Candidate(USUAL, 224)
    assert plain.multiply_adds == pytest.approx(0.30)
    assert Candidate(USUAL, 112).multiply_adds == pytest.approx(0.075)
    assert Candidate(USUAL, 224, mirrored=True).multiply_adds == pytest.approx(0.60)
    assert plain.rank < plain.with_all_depths.rank < Candidate(USUAL, 225).rank
    assert plain.seconds(2000) == pytest.approx(2 * plain.seconds(1000))
