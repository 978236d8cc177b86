"""The one SavedModel that every format is made from: a bundle's own, or an ensemble's members in one graph."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.bundle import model
from graft.bundle.model import MEMBERS, SAVED_MODEL
from graft.bundle.record import read_settings
from graft.core.errors import GraftError

INPUT = "image"
OUTPUT, FEATURES = model.PROBABILITIES, model.FEATURES


@dataclass(frozen=True)
class ExportSource:
    """The model that is exported.

    Attributes:
        saved_model: images float32 ``[N, S, S, 3]``, RGB in 0..255, to probabilities ``[N, C]``, with the attributes
            ``variables`` and ``trainable_variables`` once loaded.
        image_size: S.
        classes: labels in the order of the probabilities.
        about: the description that the exported file carries, JSON-ready, see
        :func:`graft.deployment.export.description.describe`.
    """

    saved_model: Path
    image_size: int
    classes: list[str]
    about: dict[str, object]


def prepare_saved_model(bundle: Path, folder: Path) -> tuple[Path, int]:
    """Return the SavedModel of a bundle, and the size of its images; an ensemble's is written into ``folder``.

    Raises:
        GraftError: members of the ensemble see images of different sizes, which one graph cannot be given.
    """
    settings = read_settings(bundle)
    if "members" not in settings:
        shutil.copytree(bundle / SAVED_MODEL, folder)
        return folder, int(settings["image_size"])
    parts = {member["name"]: bundle / MEMBERS / member["name"] for member in settings["members"]}
    sizes = {name: int(read_settings(part)["image_size"]) for name, part in parts.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} at {size} px" for name, size in sizes.items())
        raise GraftError(
            f"The ensemble's members see images of different sizes ({listed}), and one file takes one size",
            f"Export each by itself: --model {bundle / MEMBERS}/<member>; or train them at one image_size",
        )
    size = next(iter(sizes.values()))
    weights = {member["name"]: float(member["weight"]) for member in settings["members"]}
    _write_mixture({name: (weights[name], part) for name, part in parts.items()}, size, folder)
    return folder, size


def probabilities_of(outputs: Mapping[str, Any]) -> Any:
    """Return the probabilities among the outputs of a bundle's SavedModel, which may have features too."""
    return outputs[OUTPUT] if OUTPUT in outputs else next(iter(outputs.values()))


def _write_mixture(parts: dict[str, tuple[float, Path]], size: int, folder: Path) -> None:
    import tensorflow as tf

    members = [(weight, tf.saved_model.load(str(part / SAVED_MODEL))) for weight, part in parts.values()]

    @tf.function(input_signature=[tf.TensorSpec((None, size, size, 3), tf.float32, name=INPUT)])
    def serve(image):  # type: ignore[no-untyped-def]
        outputs = []
        for weight, member in members:
            outputs.append(weight * probabilities_of(member.signatures["serving_default"](image)))
        return {OUTPUT: tf.add_n(outputs)}

    module = tf.train.Checkpoint()
    module.members = [member for _, member in members]
    module.serve = serve
    module.variables = [variable for _, member in members for variable in member.variables]
    module.trainable_variables = [variable for _, member in members for variable in member.trainable_variables]
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
