"""Backbones from TensorFlow Hub: image feature-vector modules by handle or local folder.

``hub.KerasLayer`` belongs to Keras 2 and cannot enter a Keras 3 model. :class:`HubModule` takes its place: a
layer that adopts the module's own variables, so that training the layer trains the module.
"""

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graft.core.errors import GraftError, first_line
from graft.core.files import sha256_of
from graft.core.outside import own_path
from graft.core.params.backbone_params import HubBackboneParams
from graft.core.params.strategy_params import Pooling
from graft.networks.backbones.backbone import Backbone, LayerlessNetwork, weights_digest
from graft.networks.backbones.weights import NETWORK_TIMEOUT_SECONDS, socket_timeout


class HubModule(LayerlessNetwork):
    """A TF2 SavedModel with the reusable interface as a Keras 3 layer: ``module(images, training=...)``.

    A SavedModel has no layers, so it can be trained whole or not at all. It starts frozen.

    Args:
        module: the loaded object: callable, with ``variables`` and ``trainable_variables``.
    """

    def __init__(self, module: Any, **options: Any) -> None:
        # float32 also under mixed precision: the module's graph takes nothing else.
        super().__init__(trainable=False, dtype="float32", **options)
        self.supports_jit = False  # the module's graph is of whatever operations its author chose
        self.module = module
        self.batch_norm_updates = False
        # A keras.Variable around a tf.Variable is that variable: the optimizer moves the module itself.
        self.adopted = [
            keras.Variable(variable, trainable=False, name=f"adopted_{i}")
            for i, variable in enumerate(module.variables)
        ]
        self.built = True

    def unfreeze(self, batch_norm_updates: bool) -> None:
        """Let training change the module's trainable variables.

        Args:
            batch_norm_updates: run the module in training mode when the model does, which moves its
                batch-norm statistics; without it batch norm stays as it is, statistics and scales.
        """
        self.trainable = True
        self.batch_norm_updates = batch_norm_updates
        # All that a SavedModel says of batch norm is in names: it has a moving mean, and scales beside it.
        names = [variable.name for variable in self.module.variables]
        batch_norms = {_scope(name) for name in names if "moving_mean" in name}
        learned = {id(variable) for variable in self.module.trainable_variables}
        for name, variable, adopted in zip(names, self.module.variables, self.adopted, strict=True):
            is_held = _scope(name) in batch_norms and not batch_norm_updates
            adopted.trainable = id(variable) in learned and not is_held

    def call(self, images: Any, training: bool = False) -> Any:
        """Return the module's features of images, float32 ``[N, S, S, 3]`` in [0, 1]."""
        return self.module(images, training=bool(training and self.batch_norm_updates and self.trainable))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape ``[N, D]``, found by running the module once."""
        sample = keras.ops.zeros((1, *input_shape[1:]), "float32")
        return (input_shape[0], *self.module(sample, training=False).shape[1:])


def build(params: HubBackboneParams, image_size: int, cache: Path, pooling: Pooling = "average") -> Backbone:
    """Return the backbone of a Hub module, which TensorFlow Hub's own cache keeps, and which pools by itself.

    Raises:
        GraftError: the module cannot be loaded, is no image feature vector, or takes images of another size.
    """
    module = _load(params.name)
    for attribute in ("__call__", "variables", "trainable_variables"):
        if not hasattr(module, attribute):
            raise GraftError(
                f"The Hub module {params.name} has no '{attribute}': it is not a TF2 feature-vector module",
                "Name a module whose kind is 'image feature vector' for TF2",
            )
    try:
        features_shape = module(np.zeros((1, image_size, image_size, 3), "float32"), training=False).shape
    except (ValueError, TypeError) as error:
        raise GraftError(
            f"The Hub module {params.name} does not take images of {image_size}x{image_size} pixels",
            "Set image_size to the module's own size in params.yaml (224 for most)",
        ) from error
    if len(features_shape) != 2:
        raise GraftError(
            f"The Hub module {params.name} answers with shape {tuple(features_shape)} instead of [N, D]",
            "Name a feature-vector module rather than a classifier or a detector",
        )
    network = HubModule(module, name="hub_module")
    inputs = keras.Input((image_size, image_size, 3), dtype="float32", name="image")
    # The common image input of Hub modules is [0, 1]: https://www.tensorflow.org/hub/common_signatures/images
    scaled = keras.layers.Rescaling(1 / 255, dtype="float32", name="input_scaling")(inputs)
    return Backbone(
        name=params.name,
        model=keras.Model(inputs, network(scaled), name="backbone"),
        scaled=scaled,
        network=network,
        image_size=image_size,
        weights_source="Hub module",
        weights_digest=weights_digest(module.variables),
        graph_digest=_graph_digest(params.name),
    )


def weights_files(params: HubBackboneParams, cache: Path) -> list[Path]:
    """Return the files of a folder of the user's own; what TensorFlow Hub keeps has none of its own here."""
    return params.own_files()


def default_image_size(params: HubBackboneParams) -> int:
    """Return the pixels a side that the module's own graph names.

    Raises:
        GraftError: the module cannot be loaded, or takes images of any size.
    """
    module = _load(params.name)
    try:
        functions = module.__call__.concrete_functions
    except AttributeError:
        functions = []  # no reusable SavedModel, as building it will say
    for function in functions:
        for spec in function.structured_input_signature[0]:
            shape = getattr(spec, "shape", None)
            if shape is not None and len(shape) == 4 and shape[1]:
                return int(shape[1])
    raise GraftError(
        f"The Hub module {params.name} does not say which image size it was made for",
        "Set image_size in params.yaml to what its page says (224 for most)",
    )


def _graph_digest(handle: str) -> str:
    """Return the SHA-256 of the module's graph: a new export may have other operations around equal variables."""
    import tensorflow_hub

    folder = Path(tensorflow_hub.resolve(handle if "://" in handle else str(own_path(handle))))
    return sha256_of(folder / "saved_model.pb")


def _scope(variable_name: str) -> str:
    return variable_name.rpartition("/")[0]


def _load(handle: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports the deprecated pkg_resources
        import tensorflow_hub

    is_remote = "://" in handle
    if not is_remote and not (own_path(handle) / "saved_model.pb").is_file():
        raise GraftError(
            f"There is no Hub module in the folder {handle} (no saved_model.pb)",
            "Correct the backbone's name in params.yaml: a folder, or a handle that starts with https://",
        )
    try:
        with socket_timeout(NETWORK_TIMEOUT_SECONDS):
            return tensorflow_hub.load(handle if is_remote else str(own_path(handle)))
    except Exception as error:
        # tensorflow_hub passes on whatever urllib, tarfile or TensorFlow raise.
        raise GraftError(
            f"The Hub module {handle} cannot be loaded: {first_line(error)}",
            "Check the network, or download the module and name its folder instead",
        ) from error
