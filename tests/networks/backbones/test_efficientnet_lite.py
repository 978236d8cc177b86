"""EfficientNet-Lite: built as published, and found like a model of keras.applications."""

import keras
import numpy as np
import pytest

from graft.networks.backbones import efficientnet_lite
from graft.networks.backbones.keras_applications import application_names, find_application, input_scaling

# Published sizes with head, in millions: 4.7, 5.4 and 6.1. Counted with the statistics of batch norm.
PARAMETERS = {"EfficientNetLite0": 4_694_024, "EfficientNetLite1": 5_470_344, "EfficientNetLite2": 6_150_168}


@pytest.mark.parametrize("name", efficientnet_lite.names())
def test_the_network_is_of_the_published_size(name: str) -> None:
    assert name in application_names()
    whole = find_application(name)(include_top=True)
    size = efficientnet_lite.IMAGE_SIZES[name]
    assert whole.input_shape == (None, size, size, 3)
    assert whole.output_shape == (None, 1000)
    assert whole.count_params() == PARAMETERS[name]
    network = find_application(name)(include_top=False, input_shape=(64, 64, 3))
    assert network.output_shape == (None, 2, 2, 1280)


def test_every_weight_has_its_place_in_the_published_files() -> None:
    network = find_application("EfficientNetLite0")(include_top=True, input_shape=(32, 32, 3))
    wanted = {(layer.name, weight.name) for layer in network.layers for weight in layer.weights}
    names = [f"_{layer}.{tensor}" for layer in ("conv_stem", "conv_head", "fc") for tensor in ("weight", "bias")]
    norms = ("weight", "bias", "running_mean", "running_var")
    names += [f"_{layer}.{tensor}" for layer in ("bn0", "bn1") for tensor in norms]
    for block in range(16):
        names += [f"_blocks.{block}._{kind}_conv.weight" for kind in ("expand", "depthwise", "project")]
        names += [f"_blocks.{block}._{layer}.{tensor}" for layer in ("bn0", "bn1", "bn2") for tensor in norms]
    places = {efficientnet_lite.tensor_place(name) for name in names}
    assert wanted <= places
    assert efficientnet_lite.tensor_place("_bn0.num_batches_tracked") is None


def test_kernels_are_turned_as_keras_has_them() -> None:
    kernel = np.arange(2 * 3 * 5 * 5).reshape(2, 3, 5, 5)
    assert efficientnet_lite.as_keras("stem_conv", kernel)[4, 3, 2, 1] == kernel[1, 2, 4, 3]
    depthwise = kernel[:, :1]
    assert efficientnet_lite.as_keras("block1_depthwise_conv", depthwise)[4, 3, 1, 0] == depthwise[1, 0, 4, 3]
    assert efficientnet_lite.as_keras("predictions", np.zeros((1000, 1280))).shape == (1280, 1000)


def test_pixels_are_scaled_as_the_weights_were_trained_with() -> None:
    scaled = input_scaling(find_application("EfficientNetLite0"))(keras.ops.array([[[[0.0, 127.0, 255.0]]]]))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(scaled).ravel(), [-127 / 128, 0, 1], atol=1e-6)
