"""Compute which places of a photograph speak for a class: class activation maps, from the bundle's own network.

The network is cut at its last maps of places, the tensors ``[N, h, w, K]`` behind which nothing has places any more:
``maps`` are what it sees there, and ``head`` is the rest, up to the logits. Where the head is linear (average pooling
and one dense layer, also of several depths), a place's part of a logit is exact: its activations times the head's
weights (B. Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016). Elsewhere the weight of a
channel is the derivative of the logit by all of its places at once, as in Grad-CAM (R. Selvaraju et al., ICCV 2017).

Both are had by running the head alone on changed maps: it is small, the derivative by K channels takes K runs of it,
and so OpenVINO does, which has no gradients. A logit stands for how far it is above the mean of all logits, for a
softmax sees no more of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graft.bundle.model import MEMBERS, SAVED_MODEL
from graft.bundle.record import read_checked, read_settings
from graft.core.errors import GraftError, first_line
from graft.networks.engines.openvino_run import cpu_settings, import_openvino

# Changed maps in one run of the head.
_AT_ONCE = 32
# A head is linear that answers for the mean of two maps with the mean of its answers, to this share of them.
_LINEAR = 1e-3
# Of the root mean square of a channel's map: the step of the derivative where the head is not linear.
_STEP = 0.05


class NoHeatMapError(GraftError):
    """A network has no maps of places, or cannot be cut there; the message says why."""


@dataclass(frozen=True)
class _Map:
    """A tensor at which the network is cut.

    Attributes:
        channels_first: whether it is ``[N, K, h, w]``.
        is_mirrored: whether the network made it of the mirror image.
    """

    channels_first: bool
    is_mirrored: bool


class HeatMaps:
    """The heat maps of a bundle's classifier.

    Args:
        bundle: its folder, see :mod:`graft.bundle.model`.

    Attributes:
        classes: labels, in the order of the network's.
        view: what the network is shown of a photograph, see :func:`graft.bundle.images.resize`.

    Raises:
        NoHeatMapError: OpenVINO does not take the network over, or it has no places to tell apart, as a transformer,
            which mixes them.
    """

    def __init__(self, bundle: Path) -> None:
        settings = read_checked(bundle)
        self.classes: list[str] = settings["classes"]
        self.view: str = settings.get("view", "whole")
        members = settings.get("members") or []
        folders = [(member["weight"], bundle / MEMBERS / member["name"]) for member in members] or [(1.0, bundle)]
        self._parts = [
            (weight, int(read_settings(folder)["image_size"]), _CutNetwork(folder)) for weight, folder in folders
        ]

    @property
    def is_exact(self) -> bool:
        """Whether all heads are linear, and the parts of places add up to the logit."""
        return all(network.is_linear for _, _, network in self._parts)

    @property
    def image_sizes(self) -> list[int]:
        return sorted({size for _, size, _ in self._parts})

    def of(self, pixels: dict[int, np.ndarray], classes: Sequence[int]) -> list[np.ndarray]:
        """Return a heat map of each image, float32 ``[h, w]``: what speaks for a class, and below 0 against it.

        The mean over places of a linear head's map is the logit less its bias, less the mean of all logits. Of an
        ensemble it is the weighted mean of its members' maps, each scaled to a greatest value of 1.

        Args:
            pixels: the images at each size: by S, ``[N, S, S, 3]``, RGB in 0..255.
            classes: index of the class for each image.
        """
        found = []
        for index, label in enumerate(classes):
            maps = [(weight, network.map_of(pixels[size][index], label)) for weight, size, network in self._parts]
            if len(maps) > 1:
                maps = [(weight, one / max(float(np.abs(one).max()), 1e-12)) for weight, one in maps]
            side = max(one.shape[0] for _, one in maps)
            resized = np.stack([weight * _resized(one, side) for weight, one in maps])
            found.append(np.asarray(resized.sum(axis=0), np.float32))
        return found


class _CutNetwork:
    """A network cut in two at its last maps of places, both parts run with OpenVINO."""

    def __init__(self, bundle: Path) -> None:
        openvino = import_openvino()
        core = openvino.Core()
        try:
            network, other = (core.read_model(bundle / SAVED_MODEL) for _ in range(2))
        except Exception as error:
            raise NoHeatMapError(
                f"OpenVINO does not take this network over ({first_line(error)}), and heat maps are made with it",
                "Models on Keras' own backbones have heat maps",
            ) from error
        logits, cuts = _cut(other)
        self.maps = [_Map(_channels_first(cut), _sees_mirror_image(cut)) for cut in cuts]
        sides = [int(length.get_length()) for cut in cuts for length in list(cut.get_partial_shape())[1:]]
        self._shapes = [tuple(sides[3 * number : 3 * number + 3]) for number in range(len(cuts))]
        parameters = []
        for cut in cuts:
            parameter = openvino.opset13.parameter(cut.get_partial_shape(), cut.get_element_type())
            for target in cut.get_target_inputs():
                target.replace_source_output(parameter.output(0))
            parameters.append(parameter)
        head = openvino.Model([logits], parameters, "head")
        _, own_cuts = _cut(network)
        maps = openvino.Model([openvino.opset13.result(cut) for cut in own_cuts], network.get_parameters(), "maps")
        settings = cpu_settings("LATENCY")
        self._run_maps, self._run_head = (core.compile_model(model, "CPU", settings) for model in (maps, head))
        self._weights: list[np.ndarray] | None = None
        self.is_linear = self._is_linear()

    def map_of(self, image: np.ndarray, label: int) -> np.ndarray:
        """Return the heat map of an image ``[S, S, 3]`` for a class, float32 ``[h, w]``."""
        found = self._run_maps(image[None].astype(np.float32))
        maps = [np.array(found[number]) for number in range(len(self.maps))]
        weights = self._linear_weights() if self.is_linear else self._derivatives(maps)
        parts = []
        for one, weight, values in zip(self.maps, weights, maps, strict=True):
            of_class = weight[:, label] - weight.mean(axis=1)
            part = np.tensordot(of_class, values[0] if one.channels_first else np.moveaxis(values[0], -1, 0), axes=1)
            parts.append(part[:, ::-1] if one.is_mirrored else part)
        side = max(part.shape[0] for part in parts)
        heat = np.sum([_resized(part.astype(np.float32), side) for part in parts], axis=0)
        return heat if self.is_linear else np.maximum(heat, 0)

    def _logits(self, maps: Sequence[np.ndarray]) -> np.ndarray:
        return np.array(self._run_head(list(maps))[0], np.float64)

    def _zeros(self, count: int) -> list[np.ndarray]:
        return [np.zeros((count, *shape), np.float32) for shape in self._shapes]

    def _is_linear(self) -> bool:
        generator = np.random.default_rng(0)
        one, other = ([np.abs(generator.normal(size=part.shape)) for part in self._zeros(2)] for _ in range(2))
        middle = [((a + b) / 2).astype(np.float32) for a, b in zip(one, other, strict=True)]
        ends = [self._logits([part.astype(np.float32) for part in some]) for some in (one, other)]
        # Of max pooling the mean of maxima is not the maximum of the mean, so that it is not linear either.
        gap = np.abs(self._logits(middle) - np.mean(ends, axis=0)).max()
        return bool(gap <= _LINEAR * max(float(np.ptp(ends)), 1e-6))

    def _linear_weights(self) -> list[np.ndarray]:
        """Return what a channel's value everywhere adds to the logits, ``[K, C]`` of each map; computed once."""
        if self._weights is None:
            nothing = self._logits(self._zeros(1))
            self._weights = [found - nothing for found in self._changed(self._zeros(1), [1.0] * len(self.maps))]
        return self._weights

    def _derivatives(self, maps: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the derivative of the logits by each channel, ``[K, C]`` of each map, around an image's own maps."""
        steps = [_STEP * max(float(np.sqrt(np.square(one).mean())), 1e-6) for one in maps]
        above, below = self._changed(maps, steps), self._changed(maps, [-step for step in steps])
        return [(up - down) / (2 * step) for up, down, step in zip(above, below, steps, strict=True)]

    def _changed(self, maps: Sequence[np.ndarray], steps: Sequence[float]) -> list[np.ndarray]:
        """Return the logits ``[K, C]`` of each map with one of its K channels raised everywhere by that map's step."""
        found = []
        for number, (one, step) in enumerate(zip(self.maps, steps, strict=True)):
            axis = 1 if one.channels_first else 3
            channels = maps[number].shape[axis]
            rows = []
            for start in range(0, channels, _AT_ONCE):
                count = min(_AT_ONCE, channels - start)
                batch = [np.repeat(part, count, axis=0) for part in maps]
                for row in range(count):
                    place = (start + row, slice(None), slice(None))
                    batch[number][row][place if one.channels_first else place[::-1]] += step
                rows.append(self._logits(batch))
            found.append(np.concatenate(rows))
        return found


def last_maps(network: Any) -> list[tuple[Any, bool]]:
    """Return the outputs of an ``openvino.Model`` at which its last maps are, and whether each is ``[N, K, h, w]``.

    Raises:
        NoHeatMapError: it has none.
    """
    return [(output, _channels_first(output)) for output in _cut(network)[1]]


def _cut(network: Any) -> tuple[Any, list[Any]]:
    """Return the output with the logits, and those at which the last maps of places are.

    Raises:
        NoHeatMapError: there are none, or they are mixed by attention.
    """
    # Beside the probabilities a network may give the features that its head is given.
    ends = [_end_of(result) for result in network.get_results()]
    softmax = next((node for node in ends if node.get_type_name() == "Softmax"), None)
    if softmax is None:
        raise _none("its last operation is no softmax")
    mixing = [node for node in network.get_ops() if node.get_type_name() in ("Softmax", "ScaledDotProductAttention")]
    if len(mixing) > 1:
        raise _none("attention mixes all places before it answers")
    logits, found, seen = softmax.input_value(0), [], set()
    todo = [logits]
    while todo:
        output = todo.pop()
        node = output.get_node()
        key = (node.get_friendly_name(), output.get_index())
        if key in seen or node.get_type_name() == "Constant":
            continue
        seen.add(key)
        if _has_places(output):
            if node.get_type_name() == "Parameter":
                raise _none("it has no maps but the photograph itself")
            found.append(output)
            continue
        todo += node.input_values()
    if not found:
        raise _none("nothing in it has places")
    return logits, sorted(found, key=lambda output: output.get_node().get_friendly_name())


def _end_of(result: Any) -> Any:
    """Return the last operation before a result that does more than change type or shape."""
    node = result.input_value(0).get_node()
    while node.get_type_name() in ("Convert", "Reshape", "Squeeze"):
        node = node.input_value(0).get_node()
    return node


def _has_places(output: Any) -> bool:
    shape = list(output.get_partial_shape()) if output.get_partial_shape().rank.is_static else []
    if len(shape) != 4 or not all(length.is_static for length in shape[1:]):
        return False
    return sorted(int(length.get_length()) for length in shape[1:])[1] > 1


def _channels_first(output: Any) -> bool:
    """Return whether a map is ``[N, K, h, w]``: by what is pooled over, else by its sides, as images are square."""
    for target in output.get_target_inputs():
        node = target.get_node()
        if node.get_type_name() in ("ReduceMean", "ReduceMax"):
            axes = node.input_value(1).get_node()
            if axes.get_type_name() == "Constant":
                return 1 not in np.asarray(axes.data).reshape(-1) % 4
    first, second, third = (int(length.get_length()) for length in list(output.get_partial_shape())[1:])
    return second == third != first


def _sees_mirror_image(output: Any) -> bool:
    """Return whether what a map was made of is turned around before anything else is done with it."""
    todo, seen = [output.get_node()], set()
    while todo:
        node = todo.pop()
        if node.get_friendly_name() in seen:
            continue
        seen.add(node.get_friendly_name())
        if node.get_type_name() in ("Reverse", "ReverseSequence") or _is_backwards(node):
            return True
        todo += [value.get_node() for value in node.input_values()]
    return False


def _is_backwards(node: Any) -> bool:
    if node.get_type_name() not in ("StridedSlice", "Slice"):
        return False
    steps = node.input_value(3).get_node()
    return steps.get_type_name() == "Constant" and bool((np.array(steps.data) < 0).any())


def _resized(values: np.ndarray, side: int) -> np.ndarray:
    from PIL import Image

    if values.shape == (side, side):
        return values
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR))


def _none(why: str) -> NoHeatMapError:
    return NoHeatMapError(f"This network has no heat map: {why}", "Networks of convolutions have one")
