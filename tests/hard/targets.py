"""What fuzz is pointed at: each reads bytes from outside, and gives a value or refuses in the form it documents."""

import functools
import itertools
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mutate
import seeds

MAX_PIXELS = 4_000_000
UNPACKED = 20_000_000  # bytes that an archive may come to


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
        name: of the target, and of its folder in ``cases/``.
        seeds: make the files that are mutated.
        attempt: reads such a file; the folder is its own. What it raises is a finding.
        mended: a mutated file with its sums set right, so that more than the sums is tried.
        packages: whose code guides a fuzzer that follows coverage.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    attempt: Callable[[bytes, Path], None]
    mended: Callable[[bytes], bytes] = bytes
    packages: tuple[str, ...] = ("graft",)


def repaired(target: Target, data: bytes) -> bytes:
    """Return the file with its sums set right, or in one of four cases as it is."""
    return target.mended(data) if zlib.adler32(data) % 4 else data


def written(data: bytes, folder: Path, name: str) -> Path:
    """Return the path of a new file of these bytes."""
    path = folder / name
    path.write_bytes(data)
    return path


def read_picture(data: bytes, folder: Path) -> None:
    """Decode a picture at two views, or have it refused."""
    from graft.bundle.images import CENTRE, UnreadableImageError, is_image_start, open_image, resize, to_rgb

    is_image_start(data[:64])
    try:
        image = to_rgb(open_image(data, MAX_PIXELS))
    except UnreadableImageError as error:
        assert str(error)
        return
    assert image.mode == "RGB"
    assert resize(image, 16).shape == resize(image, 16, CENTRE).shape == (16, 16, 3)


def read_archive(data: bytes, folder: Path) -> None:
    """List an archive and read all of it, or have it refused; nothing is named that leads out."""
    from graft.core.errors import GraftError
    from graft.core.outside import is_plain
    from graft.data.archives.open_archive import open_source

    path = written(data, folder, "archive")
    try:
        with open_source(path, UNPACKED) as source:
            members = source.members()
            assert all(is_plain(member.name) for member in members)
            total = 0
            for member, pieces in source.read({member.name for member in members}):
                size = sum(map(len, pieces))
                assert size == member.size
                total += size
            assert total <= UNPACKED
    except GraftError as error:
        _require_place(error, path)


def predict_archive(data: bytes, folder: Path) -> None:
    """Give out an archive's photographs, or its name with what is wrong."""
    from graft.bundle.images import UnreadableImageError
    from graft.deployment.predict.inputs import find_photographs

    path = written(data, folder, "archive")
    for found in find_photographs([str(path)]):
        names = list(found.names())
        photographs = list(found.read())
        assert len(photographs) <= len(names)
        for photograph in photographs:
            try:
                photograph.read()
            except UnreadableImageError as error:
                assert str(error)


def read_image_table(suffix: str, data: bytes, folder: Path) -> None:
    """Read a table of images, or have it refused."""
    import contextlib

    from graft.core.errors import GraftError
    from graft.core.outside import is_plain
    from graft.data.sources.image_tables import Table

    for name in ("1.jpg", "2.jpg"):
        if not (folder / name).exists():
            (folder / name).write_bytes(seeds.PHOTOGRAPH)
    path = written(data, folder, f"table{suffix}")
    try:
        with contextlib.ExitStack() as stack:
            plan = Table(path).open(stack, UNPACKED)
            assert all(is_plain(name) for name in plan.sizes)
            assert [name for name, pieces in plan.images() if sum(map(len, pieces)) >= 0] == list(plan.sizes)
    except GraftError as error:
        _require_place(error, path)


def csv_tables() -> list[bytes]:
    """Return tables of images as CSV."""
    rows = "1.jpg,cat,train,ann\n2.jpg,dog,test,ben\n"
    return [
        f"path,label,split,group\n{rows}".encode(),
        b'\xef\xbb\xbfpath;label\r\n"1.jpg";"a; b"\r\n2.jpg;dog\r\n',
        b"label\tpath\tother\ncat\t./1.jpg\t3\ndog\t~/2.jpg\t\n",
    ]


def parquet_tables() -> list[bytes]:
    """Return tables of images as Parquet, of several types."""
    import datetime
    import decimal
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: list[dict[str, object]] = [
        {"path": ["1.jpg", "2.jpg"], "label": [1.0, 2.0], "split": ["train", "test"]},
        {"path": [b"1.jpg", b"2.jpg"], "label": ["cat", None], "group": [datetime.date(2026, 1, 1), None]},
        {"path": ["1.jpg", "2.jpg"], "label": [decimal.Decimal("1.5"), None], "group": [["a"], ["b", "c"]]},
        {"path": ["1.jpg", "2.jpg"], "label": pa.array(["a", "b"]).dictionary_encode(), "group": [1 << 40, 2]},
        {"path": ["1.jpg", "2.jpg"], "label": ["a", "b"], "group": pa.array([1, 2], pa.timestamp("us"))},
    ]
    found = []
    for number, one in enumerate(columns):
        stream = io.BytesIO()
        pq.write_table(pa.table(one), stream, compression=("none", "snappy")[number % 2])
        found.append(stream.getvalue())
    return found


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
            _require_place(error, path)


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
        _require_place(error, path)
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
        _require_place(error, path)


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


def _require_place(error: Exception, path: Path) -> None:
    """A refusal says where something was found."""
    assert path.name in str(error), f"the message names no place: {error}"


TARGETS = {
    target.name: target
    for target in (
        Target("pictures", seeds.common_pictures, read_picture, mutate.with_png_sums, ("graft", "PIL")),
        Target("box_pictures", seeds.box_pictures, read_picture, packages=("graft", "PIL", "pillow_heif")),
        Target("zip", seeds.zips, read_archive, packages=("graft", "zipfile")),
        Target("tar", seeds.tars, read_archive, mutate.with_tar_sums, ("graft", "tarfile")),
        Target("debian", seeds.debian_packages, read_archive, mutate.with_tar_sums, ("graft", "tarfile")),
        Target("predict_archive", lambda: [*seeds.zips(), *seeds.tars()], predict_archive, mutate.with_tar_sums),
        Target("csv_table", csv_tables, functools.partial(read_image_table, ".csv")),
        Target("parquet_table", parquet_tables, functools.partial(read_image_table, ".parquet")),
        Target("text_table", text_tables, read_text_table),
        Target("params", params_documents, read_params, packages=("graft", "ruamel")),
        Target("body", bodies, read_body, packages=("graft", "python_multipart")),
        Target("content", contents, name_content),
        Target("bundle", bundle_records, open_bundle),
        Target("champion_tag", champion_tags, read_champion_tag),
        Target("published", published, read_published),
        Target("onnx", onnx_documents, read_onnx),
    )
}
CASES = Path(__file__).resolve().parent / "cases"


def cases(target: str) -> Iterator[tuple[str, bytes]]:
    """Yield what fuzz has found before: name and bytes."""
    folder = CASES / target
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            yield path.name, path.read_bytes()


def scratch() -> Path | None:
    """Return a folder in memory to try files in, where there is one."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else None
