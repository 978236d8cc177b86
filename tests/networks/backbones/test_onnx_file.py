"""Backbones from ONNX files: what is read from a file, what it answers, and which files are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_files import KERNEL, save, write_map, write_tokens
from tiny import tinted_images

from graft.core.errors import GraftError
from graft.core.params.backbone_params import OnnxBackboneParams
from graft.networks.backbones import build_backbone, default_image_size, weights_files
from graft.networks.backbones.backbone import Backbone

SIZE = 16


def params(path: Path, **settings: Any) -> OnnxBackboneParams:
    return OnnxBackboneParams.model_validate({"source": "onnx", "name": str(path), "scaling": "-1..1", **settings})


def build(path: Path, size: int = SIZE, **settings: Any) -> Backbone:
    return build_backbone(params(path, **settings), size, path.parent)


def runtime(path: Path, images: np.ndarray, output: str) -> np.ndarray:
    """What ONNX Runtime answers for images, one at a time."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    kind = np.float16 if "float16" in session.get_inputs()[0].type else np.float32
    return np.concatenate([session.run([output], {"image": image[None].astype(kind)})[0] for image in images])


def scaled(images: np.ndarray) -> np.ndarray:
    return (images / 127.5 - 1).transpose(0, 3, 1, 2)


IMAGES = tinted_images(3, SIZE)[0].astype(np.float32)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_a_map_is_averaged(kind: int, tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.onnx", SIZE, kind)
    expected = runtime(path, scaled(IMAGES), "map").mean((2, 3))
    backbone = build(path)
    np.testing.assert_allclose(backbone.model(IMAGES), expected, rtol=1e-5 if kind == TensorProto.FLOAT else 3e-3)
    assert expected.std() > 0.05
    assert backbone.network.trainable_weights == []
    assert backbone.model.count_params() >= KERNEL.size


@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize(("tokens", "pool"), [("cls", lambda x: x[:, 0]), ("mean", lambda x: x.mean(1))])
def test_tokens_are_pooled_as_params_say(batch: int | str, tokens: str, pool: Any, tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.onnx", batch)
    expected = pool(runtime(path, scaled(IMAGES), "features"))
    backbone = build(path, output="features", tokens=tokens)
    np.testing.assert_allclose(backbone.model(IMAGES), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(backbone.model.predict(IMAGES[:1], verbose=0), expected[:1], rtol=1e-4, atol=1e-6)


def test_another_output_is_another_backbone(tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.onnx")
    first, second = build(path, output="features", tokens="mean"), build(path, output="pooled")
    np.testing.assert_allclose(first.model(IMAGES), second.model(IMAGES), rtol=1e-5)
    assert len({one.identity["graph"] for one in (first, second, build(path, output="features"))}) == 3


@pytest.mark.parametrize("scaling", ["imagenet", "clip", "-1..1", "0..1", "0..255", "own"])
def test_pixels_are_scaled_as_params_say(scaling: str, tmp_path: Path) -> None:
    path = save(
        tmp_path / "pixels.onnx",
        [helper.make_node("Identity", ["image"], ["pixels"])],
        {"pixels": ["N", 3, 1, 1]},
        {"image": ["N", 3, 1, 1]},
        {},
    )
    own = {"mean": [0.1, 0.2, 0.3], "std": [1.0, 2.0, 4.0]}
    found = build(path, 1, scaling=own if scaling == "own" else scaling).model(np.full((1, 1, 1, 3), 51.0, "float32"))
    expected = {
        "imagenet": [(0.2 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0.2 - 0.406) / 0.225],
        "clip": [(0.2 - 0.48145466) / 0.26862954, (0.2 - 0.4578275) / 0.26130258, (0.2 - 0.40821073) / 0.27577711],
        "-1..1": [-0.6] * 3,
        "0..1": [0.2] * 3,
        "0..255": [51] * 3,
        "own": [0.1, 0, -0.025],
    }
    np.testing.assert_allclose(found[0], expected[scaling], rtol=1e-5, atol=1e-6)


def test_channels_may_come_last(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["image"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["turned", "kernel"], ["maps"]),
        helper.make_node("Transpose", ["maps"], ["map"], perm=[0, 2, 3, 1]),
    ]
    shapes = {"map": ["N", 5, 5, 12]}, {"image": ["N", 8, 8, 3]}
    path = save(tmp_path / "last.onnx", nodes, *shapes, {"kernel": KERNEL})
    assert default_image_size(params(path)) == 8
    images = tinted_images(2, 8)[0].astype(np.float32)
    expected = runtime(path, images / 127.5 - 1, "map").mean((1, 2))
    np.testing.assert_allclose(build(path, 8).model(images), expected, rtol=1e-4, atol=1e-6)


def test_the_size_is_the_files_own_where_it_says_one(tmp_path: Path) -> None:
    fixed, free = write_map(tmp_path / "fixed.onnx", 16), write_map(tmp_path / "free.onnx", "side")
    assert default_image_size(params(fixed)) == 16
    with pytest.raises(GraftError, match=r"fixed.onnx takes images of 16x16 pixels, and image_size is 20.*auto"):
        build(fixed, 20)
    with pytest.raises(GraftError, match=r"free.onnx takes images of any size and does not say.*Set image_size"):
        default_image_size(params(free))
    assert build(free, 20).feature_count == 12


def test_weights_beside_the_file_are_its_own(tmp_path: Path) -> None:
    path = write_map(tmp_path / "a" / "map.onnx")
    beside = tmp_path / "b" / "map.onnx"
    beside.parent.mkdir()
    onnx.save(onnx.load(path), beside, save_as_external_data=True, location="map.onnx.data", size_threshold=0)
    assert weights_files(params(beside), tmp_path) == [beside, tmp_path / "b" / "map.onnx.data"]
    np.testing.assert_allclose(build(path).model(IMAGES), build(beside).model(IMAGES))
    (tmp_path / "b" / "map.onnx.data").write_bytes(b"cut off")
    with pytest.raises(GraftError, match="is no ONNX file that can be read"):
        build(beside)
    (tmp_path / "b" / "map.onnx.data").unlink()
    with pytest.raises(GraftError, match=r"keeps weights in the file 'map.onnx.data', which is not beside it"):
        build(beside)


@pytest.mark.parametrize("content", [b"", b"GIF89a" + bytes(100), b"\x80\x02}q\x00.", bytes(1000)])
def test_what_is_no_onnx_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(GraftError, match="x.onnx is no ONNX file that can be read: ."):
        default_image_size(params(tmp_path / "x.onnx"))
    with pytest.raises(GraftError, match=r"There is no ONNX file .*y.onnx. Correct name"):
        default_image_size(params(tmp_path / "y.onnx"))


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        ({"image": ["N", 3, 16, 16], "mask": ["N", 3, 16, 16]}, r"has 2 inputs \(image, mask\)"),
        ({"image": ["N", 1, 16, 16]}, r"input 'image' of .* is float \[any, 1, 16, 16\], not an image"),
        ({"image": ["N", 768]}, r"is float \[any, 768\], not an image"),
        ({"image": ["N", 3, 16, 32]}, r"takes images of 16x32 pixels, and graft's are square"),
    ],
)
def test_inputs_that_are_no_image_are_refused(inputs: dict[str, list[Any]], match: str, tmp_path: Path) -> None:
    names = list(inputs)
    nodes = [helper.make_node("Add", [names[0], names[-1]], ["sum"])]
    path = save(tmp_path / "x.onnx", nodes, {"sum": inputs["image"]}, inputs, {})
    with pytest.raises(GraftError, match=match):
        default_image_size(params(path))


def test_outputs_that_are_no_features_are_refused(tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens.onnx")
    with pytest.raises(GraftError, match=r"2 outputs: features \[any, 17, 12\], pooled \[any, 12\]. Set output:"):
        build(tokens)
    with pytest.raises(GraftError, match=r"no output 'poled'. Did you mean 'pooled'?"):
        build(tokens, output="poled")
    patches = write_tokens(tmp_path / "patches.onnx", class_token=False)
    with pytest.raises(GraftError, match=r"has 16 tokens, a square of patches without a class token. Set tokens: mean"):
        build(patches, output="features")
    assert build(patches, output="features", tokens="mean").feature_count == 12
    axes = {"axes": np.array([1], np.int64)}
    nodes = [helper.make_node("Unsqueeze", ["image", "axes"], ["five"])]
    five = save(tmp_path / "five.onnx", nodes, {"five": ["N", 1, 3, 16, 16]}, {"image": ["N", 3, 16, 16]}, axes)
    with pytest.raises(GraftError, match=r"output 'five' .* has the shape \[N, 1, 3, 16, 16\]; features are \[N, D\]"):
        build(five)


def test_an_operation_that_is_not_known_is_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Hardmax", ["image"], ["y"])]
    path = save(tmp_path / "x.onnx", nodes, {"y": ["N", 3, 16, 16]}, {"image": ["N", 3, 16, 16]}, {})
    with pytest.raises(GraftError, match=r"x.onnx holds the operation Hardmax, which graft does not run"):
        build(path)


def test_what_onnx_runtime_makes_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from graft.networks.backbones import onnx_graph

    path = write_map(tmp_path / "map.onnx")
    monkeypatch.setitem(onnx_graph.OPERATIONS, "Relu", lambda node, x: x)
    with pytest.raises(GraftError, match=r"map.onnx is not what ONNX Runtime makes: off by"):
        build(path)


def test_a_file_for_several_images_at_a_time_is_refused(tmp_path: Path) -> None:
    constants = {"flat": np.array([2, 768], np.int64)}
    nodes = [helper.make_node("Reshape", ["image", "flat"], ["features"])]
    path = save(tmp_path / "two.onnx", nodes, {"features": [2, 768]}, {"image": [2, 3, 16, 16]}, constants)
    with pytest.raises(
        GraftError, match=r"ONNX Runtime does not run the ONNX file .*two.onnx|is not what ONNX Runtime makes"
    ):
        build(path)
