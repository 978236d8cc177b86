"""Readers of photographs, archives and tables of them: each gives a value or refuses in the form it documents."""

from pathlib import Path

import seeds
from given_files import require_place, written

MAX_PIXELS = 4_000_000
UNPACKED = 20_000_000  # bytes that an archive may come to


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
        require_place(error, path)


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
        require_place(error, path)


LISTS = {b"c": "train.csv", b"t": "train.txt", b"j": "labels.json", b"l": "labels.jsonl"}


def read_list(data: bytes, folder: Path) -> None:
    """Read what a list of others says of two images, or have it say nothing."""
    from graft.core.errors import GraftError
    from graft.data.archives.open_archive import open_source
    from graft.data.sources.readers.lists import listed
    from graft.data.sources.readers.reader import Files

    images = ["1.jpg", "2.jpg"]
    (folder / "list").mkdir(exist_ok=True)
    path = written(data[1:], folder / "list", LISTS.get(data[:1], "all.parquet"))
    try:
        with open_source(folder / "list") as source:
            for known in (None, {"1.jpg": "cat", "2.jpg": "dog"}):
                found = listed(Files([source]), images, known=known)
                assert found is None or found.places.keys() <= set(images)
    except GraftError as error:
        assert str(path.parent) in str(error) or path.name in str(error)
    finally:
        path.unlink()


def lists() -> list[bytes]:
    """Return lists of others, each behind a letter for its kind."""
    import json

    labels = [{"image_id": number, "category_id": number} for number in (1, 2)]
    coco = {
        "images": [{"id": number, "file_name": f"{number}.jpg"} for number in (1, 2)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": labels,
    }
    items = [{"id": "1", "annotations": [{"label_id": 0}]}, {"id": "2", "annotations": [{"label_id": 1}]}]
    datumaro = {"categories": {"label": {"labels": [{"name": "cat"}, {"name": "dog"}]}}, "items": items}
    chosen = [{"result": [{"value": {"choices": ["cat"]}}]}]
    studio = [{"data": {"image": f"{number}.jpg"}, "annotations": chosen} for number in (1, 2)]
    documents = (coco, datumaro, studio, {"cat": ["1.jpg"], "dog": ["2.jpg"]}, {"1.jpg": "cat", "2.jpg": 2})
    return [
        *(b"j" + json.dumps(document).encode() for document in documents),
        b"cTRAIN,1.jpg,cat\nTEST,2.jpg,dog\n",
        b"cid,cat,dog\n1,1,0\n2,0,1\n",
        b"t1.jpg hot dog 1 2\n2.jpg cat 3 4\n",
        b'l{"file_name": "1.jpg", "label": 1}\n{"file_name": "2.jpg", "label": 2.0}\n',
    ]


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
