"""Backbones from TensorFlow Hub: what of a module is trained, and which modules are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from backbone_sources import TINY_HUB_SIZE
from tiny import write_hub_module

from graft.core.errors import GraftError
from graft.core.params.backbone_params import HubBackboneParams
from graft.networks.backbones import build_backbone
from graft.networks.backbones.backbone import weights_digest
from graft.networks.backbones.weights import KNOWN_DIGESTS
from graft.training.unfreezing import unfreeze


@pytest.fixture(scope="module")
def tiny_hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hub_module(tmp_path_factory.mktemp("hub") / "module", TINY_HUB_SIZE)


def hub(path: object) -> HubBackboneParams:
    return HubBackboneParams(source="hub", name=str(path))


def test_a_hub_module_cannot_be_unfrozen_in_part(tiny_hub: Path, tmp_path: Path) -> None:
    backbone = build_backbone(hub(tiny_hub), TINY_HUB_SIZE, tmp_path)
    with pytest.raises(GraftError, match=r"unfreeze is 'conv'.*no layers to start from.*unfreeze: all"):
        unfreeze(backbone.network, "conv", "inference")


def test_a_hub_module_is_frozen_until_it_is_unfrozen(tiny_hub: Path, tmp_path: Path) -> None:
    network = build_backbone(hub(tiny_hub), TINY_HUB_SIZE, tmp_path).network
    assert network.trainable_weights == []
    unfreeze(network, "all", "inference")
    assert len(network.trainable_weights) == 1  # the kernel
    unfreeze(network, "all", "update")
    assert len(network.trainable_weights) == 3  # and the scales
    assert len(network.weights) == 5


def test_images_of_another_size_than_the_modules_are_refused(tiny_hub: Path, tmp_path: Path) -> None:
    with pytest.raises(GraftError, match="does not take images of 20x20 pixels"):
        build_backbone(hub(tiny_hub), 20, tmp_path)


def test_a_folder_without_a_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match="no Hub module in the folder .*no saved_model.pb"):
        build_backbone(hub(tmp_path), 32, tmp_path)


def test_a_damaged_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"nothing of the kind")
    with pytest.raises(GraftError, match="cannot be loaded"):
        build_backbone(hub(tmp_path), 32, tmp_path)


def test_a_saved_model_that_is_no_feature_vector_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    scale = tf.Variable(2.0)
    module = tf.train.Checkpoint()
    module.scale = scale
    module.__call__ = tf.function(lambda images, training=False: scale * images)
    for training in (False, True):
        module.__call__.get_concrete_function(tf.TensorSpec((None, 8, 8, 3)), training=training)
    tf.saved_model.save(module, str(tmp_path / "bare"))
    with pytest.raises(GraftError, match="has no 'variables'"):
        build_backbone(hub(tmp_path / "bare"), 8, tmp_path)
    module.variables, module.trainable_variables = [scale], [scale]
    tf.saved_model.save(module, str(tmp_path / "maps"))
    with pytest.raises(GraftError, match=r"answers with shape \(1, 8, 8, 3\) instead of \[N, D\]"):
        build_backbone(hub(tmp_path / "maps"), 8, tmp_path)


def test_the_shared_module_holds_the_weights_of_mobile_net_v2(shared: Callable[[str], Path], tmp_path: Path) -> None:
    backbone = build_backbone(hub(shared("hub/mobilenet_v2_feature_vector")), 224, tmp_path)
    assert backbone.weights_digest == KNOWN_DIGESTS["MobileNetV2"]
    assert weights_digest(backbone.network.adopted) == KNOWN_DIGESTS["MobileNetV2"]
    assert backbone.feature_count == 1280
