"""Readers of settings, requests and records: each gives a value or refuses in the form it documents."""

import itertools
import json
from pathlib import Path

import seeds
from given_files import require_place, written


def read_text_table(data: bytes, folder: Path) -> None:
    """Read a split table, a table of predictions, and what splits settled, or have them refused."""
    from graft.core.errors import GraftError
    from graft.data.splits.split_memory import _read_names
    from graft.data.splits.split_tables import read_split_table
    from graft.evaluation.prediction_table import read_prediction_table

    path = written(data, folder, "table.csv")
    for read in (read_split_table, read_prediction_table, _read_names):
        try:
            read(path)
        except GraftError as error:
            require_place(error, path)


def text_tables() -> list[bytes]:
    """Return tables as graft writes them."""
    sha = "0123456789abcdef" * 4
    return [
        f"sha256,label\n{sha},cat\n{sha[::-1]},null\n".encode(),
        f'sha256,label,p_cat,"p_a, b"\n{sha},cat,0.25,0.75\n{sha},dog,1,0\n'.encode(),
        b'"draw","unit","name"\n"seed 1","group","ann"\n',
    ]


def read_params(data: bytes, folder: Path) -> None:
    """Read params.yaml, or have it refused."""
    from graft.core.errors import GraftError
    from graft.core.params.load_params import load_params

    path = written(data, folder, "params.yaml")
    try:
        params = load_params(path)
    except GraftError as error:
        require_place(error, path)
        assert len(str(error)) < 2_000
        return
    params.model_dump_json()


def params_documents() -> list[bytes]:
    """Return the repository's params.yaml, and small ones with odd YAML."""
    own = (Path(__file__).resolve().parents[2] / "params.yaml").read_bytes()
    return [
        own,
        b"split: {seed: 7, train: 0.7, val: 0.1, test: 0.2}\ntrain: {epochs: 3}\n",
        b"a: &x [1, 2.5, true, null, 2026-01-01, 0o17, 0x1f, 1e-3, .inf, .nan]\nb: *x\n<<: {c: 1}\n",
        b"? [a, b]\n: {!!str 1: !!binary aGk=}\n--- |\n text\n...\n",
        b"backbones: {a: {source: onnx, name: a.onnx}}\nstrategies: {b: {kind: frozen, backbone: a}}\n",
    ]


def read_body(data: bytes, folder: Path) -> None:
    """Take a request's body apart, or refuse it with a status of HTTP 4xx. Its first line is its headers."""
    from graft.core.params.serve_params import ServeParams
    from graft.deployment.server.bodies import RefusedError, body_limit, images_in, kind_of

    head, _, body = data.partition(b"\n")
    content_type, _, encoding = head.decode("latin-1").partition("|")
    params = ServeParams()
    try:
        kind = kind_of(content_type, encoding)
        assert len(body) <= body_limit(kind, params)
        images = images_in(kind, content_type, body, params)
    except RefusedError as error:
        assert 400 <= error.status < 500
        assert error.reason
        return
    assert 1 <= len(images) <= params.max_images
    assert all(isinstance(image, bytes) for image in images)


def bodies() -> list[bytes]:
    """Return bodies of the three kinds, each behind a line of its headers."""
    form = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        b"bytes\r\n--b\r\ncontent-disposition: form-data; filename*=utf-8''a%20b\r\n\r\nmore\r\n--b--\r\n"
    )
    return [
        b"multipart/form-data; boundary=b|identity\n" + form,
        b'multipart/form-data; boundary="b"; charset=utf-8\n' + form,
        b'application/json; charset=utf-8\n{"images": ["aGVsbG8=", "aGk"]}',
        b'application/json\n{"images": ["data:image/png;base64,aGVsbG8%3D", "\\u0061GVsbG8="]}',
        b"image/jpeg\nbytes",
    ]


def name_content(data: bytes, folder: Path) -> None:
    """Name what bytes are, and read them as base64, or not."""
    from graft.bundle.base64_text import NotBase64Error, base64_bytes, least_bytes
    from graft.bundle.content import but_it_is, content_name

    assert isinstance(content_name(data), str)
    assert but_it_is(written(data, folder, "file")) == but_it_is(data[:1024])
    text = data.decode("latin-1")
    try:
        assert len(base64_bytes(text)) >= least_bytes(text)
    except NotBase64Error as error:
        assert str(error)


def contents() -> list[bytes]:
    """Return starts of files that people name .jpg."""
    return [
        b"<!DOCTYPE html><html>",
        b"<?xml version='1.0'?><!-- x --><svg xmlns=''/>",
        "\ufeff{}".encode("utf-16-le"),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        b"outs:\n- md5: 0\n",
        b"../../.git/annex/objects/a.jpg",
        b"aGVsbG8gd29ybGQsIHRoaXMgaXMgYmFzZTY0IHRleHQgdGhhdCBpcyBsb25nZXI=" * 2,
        b"data:image/jpeg;base64,aGVsbG8%3D",
        b"\0\0\0\x18ftypmp42",
        b"RIFF\0\0\0\0AVI ",
    ]


def open_bundle(data: bytes, folder: Path) -> None:
    """Read a model's model.json, or have the model refused as changed."""
    from graft.bundle.record import ChangedModelError, read_checked, read_settings, sha256

    network = folder / "saved_model" / "graph.pb"
    if not network.exists():
        network.parent.mkdir()
        network.write_bytes(b"graph")
    written(data.replace(b"HASH", sha256(network).encode()), folder, "model.json")
    for read in (read_settings, read_checked):
        try:
            settings = read(folder)
        except ChangedModelError as error:
            assert str(folder) in str(error)
        else:
            assert all(isinstance(name, str) for name in settings["classes"])


def bundle_records() -> list[bytes]:
    """Return what stands in a model.json."""
    record = {"classes": ["cat", "dog"], "image_size": 8, "max_pixels": 1000, "answers": [[0.5, 0.5]]}
    files = {"saved_model/graph.pb": "HASH"}
    members = [{"name": "one", "weight": 0.5}, {"name": "two", "weight": 0.5}]
    return [
        json.dumps({**record, "files": files}).encode(),
        json.dumps({"classes": ["a", "b"], "max_pixels": 9, "members": members, "files": files}, indent=1).encode(),
    ]


def read_onnx(data: bytes, folder: Path) -> None:
    """Read what an ONNX file says of its input and outputs, or have it refused."""
    from graft.core.errors import GraftError
    from graft.core.params.backbone_params import OnnxBackboneParams
    from graft.networks.backbones.onnx_file import _OnnxFile

    path = written(data, folder, "network.onnx")
    try:
        file = _OnnxFile(OnnxBackboneParams.model_construct(name=str(path), output=None, tokens="mean"))
        assert isinstance(file.is_channels_last, bool)
        assert file.size is None or file.size > 0
        assert isinstance(file.output, str)
    except GraftError as error:
        require_place(error, path)


def onnx_documents() -> list[bytes]:
    """Return small networks as exporters write them."""
    import tempfile

    from onnx_files import write_map, write_tokens

    with tempfile.TemporaryDirectory() as folder:
        paths = [write_map(Path(folder, "map.onnx")), write_tokens(Path(folder, "tokens.onnx"))]
        return [path.read_bytes() for path in paths]


def read_published(data: bytes, folder: Path) -> None:
    """Read MNIST's files and CIFAR-10's from what was published, or have it refused."""
    from graft.core.errors import GraftError
    from graft.data.archives.open_archive import open_source
    from graft.data.sources.readers.idx import IdxReader
    from graft.data.sources.readers.reader import Files
    from graft.data.sources.readers.records import RecordsReader
    from graft.data.sources.readers.table_reader import TableReader

    place = folder / "set"
    place.mkdir(exist_ok=True)
    images = b"\0\0\x08\3" + b"\0\0\0\2" * 3 + bytes(8)
    for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"):
        written(images, place, name)
    for name in ("train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"):
        written(b"\0\0\x08\1\0\0\0\2\0\1", place, name)
    written(seeds.PHOTOGRAPH, place, "1.png")
    kind, data = data[:1], data[1:]
    name = {b"i": "train-images-idx3-ubyte", b"l": "train-labels-idx1-ubyte", b"t": "labels.csv"}.get(kind, "batch.bin")
    written(data, place, name)
    readers = {
        b"i": IdxReader(),
        b"l": IdxReader(),
        b"t": TableReader(kind="table", table="labels.csv", columns=["path", "label", "kind"], threshold=0.5),
    }
    reader = readers.get(kind) or RecordsReader(kind="records", side=2, files={"train": [name], "test": [name]})
    try:
        with open_source(place) as source:
            plan = reader.plan(Files([source]), ["a", "b"])
            for _, pieces in itertools.islice(plan.images(), 100):
                assert sum(map(len, pieces)) >= 0
    except GraftError as error:
        assert str(place) in str(error) or name in str(error)
    finally:
        (place / name).unlink()


def published() -> list[bytes]:
    """Return files of data sets, each behind a letter for its kind."""
    return [
        b"i\0\0\x08\3" + b"\0\0\0\2" * 3 + bytes(8),
        b"l\0\0\x08\1\0\0\0\2\0\1",
        b"t1.png 0.33 mono\n",
        b"r" + (b"\0" + bytes(12)) + (b"\1" + bytes(12)),
    ]


def read_champion_tag(data: bytes, folder: Path) -> None:
    """Read the tag in which a registry keeps who was champion, which anybody may write, or refuse it by name."""
    from datetime import datetime

    from graft.core.errors import GraftError
    from graft.registry.promotion.line import read_reigns

    try:
        entries = read_reigns(data.decode("utf-8", "replace"), "7")
    except GraftError as error:
        assert "version 7" in str(error)
        return
    for entry in entries:
        assert isinstance(entry.version + entry.by + entry.reason + (entry.before or ""), str)
        assert datetime.fromisoformat(entry.at).tzinfo
        assert entry.figures.get("accuracy", 0) is not entry.verdict


def champion_tags() -> list[bytes]:
    """Return such tags."""
    entry = {"action": "promoted", "version": "7", "before": "6", "at": "2026-01-01T00:00:00+00:00", "by": "ann"}
    more = {
        "reason": "better",
        "forced": True,
        "verdict": {"passed": False, "failed": ["a"]},
        "figures": {"accuracy": 0.9},
    }
    return [json.dumps([entry]).encode(), json.dumps([entry, {**entry, **more, "later": 1}]).encode()]
