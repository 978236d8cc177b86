"""What cannot be trained is refused before an image is decoded."""

from pathlib import Path
from typing import Any

import pytest
from tiny import SIZE, clock, tiny_params, write_hub_module

from graft.core.errors import GraftError
from graft.core.project import Project
from graft.networks import decode_images as images
from graft.training.train import train_strategy

COMMON = {"epochs": 1, "learning_rate": 0.01, "batch_size": 8}
MOBILE_NET = {"source": "keras", "name": "MobileNet", "weights": "none"}


@pytest.fixture(autouse=True)
def no_images(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise AssertionError("an image was decoded")

    monkeypatch.setattr(images, "load_images", fail)
    monkeypatch.setattr(images, "decode", fail)


def refusal(project: Project, strategy: dict[str, Any], **train: Any) -> str:
    with pytest.raises(GraftError) as caught:
        params = tiny_params(run=["it"], strategies={"it": {**COMMON, **strategy}}, **train).train
        train_strategy(project, params, "it", clock())
    return str(caught.value)


FROZEN = {"kind": "frozen"}
FINE_TUNE = {"kind": "fine_tune", "unfreeze": "all"}
SCRATCH = {"kind": "scratch"}


def test_the_guard_of_these_tests_holds(project: Project) -> None:
    params = tiny_params().train
    with pytest.raises(AssertionError, match="an image was decoded"):
        train_strategy(project, params, "small", clock())


@pytest.mark.parametrize("image_size", [32, "auto"])
@pytest.mark.parametrize("strategy", [FROZEN, FINE_TUNE], ids=["frozen", "fine_tune"])
def test_an_unknown_backbone(project: Project, strategy: dict[str, Any], image_size: Any) -> None:
    backbone = {**MOBILE_NET, "name": "MobilNet"}
    assert "no model 'MobilNet'. Did you mean 'MobileNet'?" in refusal(
        project, strategy, backbone=backbone, image_size=image_size
    )


def test_a_file_of_weights_that_is_not_there(project: Project) -> None:
    text = refusal(project, FROZEN, backbone={**MOBILE_NET, "weights": "gone.weights.h5"}, image_size=32)
    assert "gone.weights.h5" in text


def test_images_too_small_for_the_backbone(project: Project) -> None:
    text = refusal(project, FROZEN, backbone=MOBILE_NET, image_size=16)
    assert "MobileNet cannot take images of 16x16 pixels" in text
    assert "Raise image_size" in text


@pytest.mark.parametrize(
    ("unfreeze", "complaint"),
    [
        ("conv_dw_31", "no layer 'conv_dw_31' to unfreeze from. Did you mean 'conv_dw_"),
        (1000, "unfreeze is 1000, and mobilenet_1.00_32 has"),
        (0.001, "unfreeze is 0.001, and mobilenet_1.00_32 has"),
    ],
)
def test_layers_that_are_not_there(project: Project, unfreeze: Any, complaint: str) -> None:
    strategy = {"kind": "fine_tune", "unfreeze": unfreeze}
    assert complaint in refusal(project, strategy, backbone=MOBILE_NET, image_size=32)


@pytest.mark.parametrize("unfreeze", ["conv", 3, 0.5])
def test_a_part_of_a_hub_module(project: Project, unfreeze: Any) -> None:
    strategy = {"kind": "fine_tune", "unfreeze": unfreeze}
    text = refusal(project, strategy, backbone={"source": "hub", "name": "anywhere"})
    assert f"unfreeze is {unfreeze!r}, but a Hub module is a SavedModel, which has no layers" in text


def test_a_hub_module_of_another_size_and_one_that_is_not_there(project: Project, tmp_path: Path) -> None:
    module = write_hub_module(tmp_path / "module", SIZE)
    backbone = {"source": "hub", "name": str(module)}
    text = refusal(project, FROZEN, backbone=backbone, image_size=SIZE + 4)
    assert f"does not take images of {SIZE + 4}x{SIZE + 4} pixels" in text
    gone = refusal(project, FROZEN, backbone={"source": "hub", "name": str(tmp_path / "gone")})
    assert "no Hub module in the folder" in gone


def test_an_onnx_file_that_would_be_trained_or_pooled_anew(project: Project) -> None:
    backbone = {"source": "onnx", "name": "anywhere.onnx", "scaling": "imagenet"}
    text = refusal(project, FINE_TUNE, backbone=backbone)
    assert "is of kind fine_tune, but an ONNX file is a frozen network. Set kind: frozen, or give it a keras" in text
    pooled = {**FROZEN, "head": {"pooling": "max"}}
    assert "an ONNX file answers with features that are pooled already" in refusal(project, pooled, backbone=backbone)
    assert "There is no ONNX file anywhere.onnx" in refusal(project, FROZEN, backbone=backbone)


def test_a_network_that_is_not_there(project: Project) -> None:
    text = refusal(project, {**SCRATCH, "network": "cn"})
    assert "network' is 'cn' (str). It should be 'cnn' or 'mlp'." in text


def test_an_mlp_whose_head_pools(project: Project) -> None:
    text = refusal(project, {**SCRATCH, "network": "mlp", "head": {"hidden": [8]}})
    assert "mlp works on flattened pixels, and head.pooling is 'average'" in text


def test_images_too_small_for_the_blocks_of_a_cnn(project: Project) -> None:
    text = refusal(project, {**SCRATCH, "filters": [2, 2, 2, 2, 2]})
    assert f"Images of {SIZE} pixels cannot be halved 5 times" in text


def test_a_network_from_random_weights_without_a_size(project: Project) -> None:
    assert "image_size: auto, which stage choose has not filled in" in refusal(project, SCRATCH, image_size="auto")


def test_decay_by_layer_in_a_hub_module(project: Project) -> None:
    strategy = {**FINE_TUNE, "layer_decay": 0.9}
    assert "no layers to tell apart" in refusal(project, strategy, backbone={"source": "hub", "name": "anywhere"})


def test_views_that_would_have_to_be_blended(project: Project) -> None:
    strategy = {**FINE_TUNE, "views": 2, "augment": {"mix_up": 0.2}}
    assert "views is 2, but augment.mix_up is drawn anew in every epoch" in refusal(project, strategy)
