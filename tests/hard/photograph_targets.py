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
