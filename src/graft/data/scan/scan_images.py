"""Read every image file once, into the rows of a manifest (:mod:`graft.data.scan.manifest`)."""

import contextlib
import hashlib
import os
import pickle
import stat
import warnings
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from graft.bundle import images
from graft.bundle.depth import mode_name
from graft.bundle.images import TAKEN_BITS, TooLargeError, UnreadableImageError, open_image, to_rgb
from graft.core.cluster import ClusterStep, is_for_cluster, ray_address, rows_on_cluster
from graft.core.files import replaced_file
from graft.core.params.models import ValidateParams
from graft.core.progress import Advance, progress_bar
from graft.core.quotas import cores
from graft.core.source_digest import source_digest, with_imports
from graft.data.folder.layout import FileEntry, ImageFile, Layout, image_files
from graft.data.folder.photographs import is_leftover
from graft.data.scan import fingerprint as fingerprints
from graft.data.scan.fingerprint import fingerprint
from graft.data.scan.leaving_out import TOO_LARGE, UNREADABLE, leave_out_conflicts, why_left_out
from graft.data.scan.manifest import schema
from graft.data.scan.scan_memory import RememberedFile, ScanMemory, scan_memory

ROWS_PER_GROUP = 4096  # rows held in memory, and rows of one Parquet row group
_RECALLED = 256  # files asked for in one query of the memory
CODE = (*with_imports(Path(images.__file__)), Path(fingerprints.__file__))  # what decides a row of the manifest
_WINDOW = 32_768  # files under way on a cluster at a time
_MAX_THREADS = 16  # a decoded image per thread is in memory; more threads than this wait for the disk anyway
# No format read here spends more on a pixel than four 16-bit samples; metadata gets 64 MiB on top.
_BYTES_PER_PIXEL = 8
_METADATA_BYTES = 64 * 2**20
# The facts of a file that has not been read.
_NO_FACTS: dict[str, Any] = {
    "width": 0,
    "height": 0,
    "mode": "",
    "format": "",
    "problem": "",
    "phash": "",
    "thumbnail": b"",
    "brightness": 0.0,
    "sharpness": 0.0,
}


@dataclass(frozen=True)
class ScanSummary:
    """Counts of a scan: files, how many of them take no part, class folders, bytes in all, and files opened.

    ``passed_over`` has what is neither an image nor meant as one, by name or kind, with how many there are.
    """

    images: int
    left_out: int
    classes: int
    bytes: int
    opened: int
    passed_over: Mapping[str, int] = field(default_factory=dict)


def scan(layout: Layout, params: ValidateParams, target: Path, memory: Path | None = None) -> ScanSummary:
    """Read and decode every image below ``layout.root`` once and write the manifest to ``target``.

    A file that takes no part gets a row with the reason; only a full or read-only disk ends the scan.
    Memory does not grow with the number of files. ``target`` appears when it is complete.

    Args:
        params: limits of a single image, and what happens beyond them.
        memory: file of a :class:`graft.data.scan.scan_memory.ScanMemory`: then only new and changed files are opened,
            and the manifest is the same.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    classes = _class_folders(layout)
    columns = schema(classes)
    count = left_out = size = opened = 0
    passed_over: Counter[str] = Counter()
    total = sum(1 for _ in image_files(layout, passed_over))
    with (
        # Filters belong to the process, not to a thread: what threads set and restore would interleave.
        warnings.catch_warnings(),
        progress_bar("Reading images", total) as advance,
        replaced_file(target) as partial,
        contextlib.ExitStack() as stack,
    ):
        warnings.simplefilter("ignore")
        writer = stack.enter_context(pq.ParquetWriter(partial, columns))
        remembered = stack.enter_context(scan_memory(memory, _code(params))) if memory else None
        reader = _Reader(layout.root.resolve(), params, remembered)
        read = _on_cluster if ray_address() else _in_order
        for scanned in _groups(read(reader, image_files(layout)), ROWS_PER_GROUP, advance):
            rows = [file.row for file in scanned]
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=columns))
            if remembered is not None:
                remembered.keep(
                    (file.name, file.status, RememberedFile(file.row["sha256"], _storable_facts(file.facts)))
                    for file in scanned
                    if file.status is not None and file.row["sha256"]
                )
            count += len(rows)
            left_out += sum(1 for row in rows if row["left_out"])
            size += sum(row["bytes"] for row in rows)
            opened += sum(1 for file in scanned if file.opened)
        stack.close()
        left_out += leave_out_conflicts(partial)
    return ScanSummary(count, left_out, len(classes), size, opened, passed_over)


@dataclass
class _ScannedFile:
    """A file of the scan: its row of the manifest, and the state of the file that the row is stored under.

    Attributes:
        name: path below the root, as the file system has it.
        row: of the manifest.
        status: of the file; None where it could not be had.
        facts: what its bytes hold, which neither its name nor its place changes.
        opened: whether its bytes were read in this scan.
    """

    name: str
    row: dict[str, Any]
    status: os.stat_result | None = None
    facts: dict[str, Any] = field(default_factory=lambda: dict(_NO_FACTS))
    opened: bool = False


class _Reader:
    """A reader that makes the row of each file, from the scan's memory where the file is unchanged."""

    def __init__(self, root: Path, params: ValidateParams, memory: ScanMemory | None) -> None:
        self.root = root
        self.params = params
        self.memory = memory

    def recall(self, files: list[ImageFile]) -> list[_ScannedFile | None]:
        """Return each file without opening it, or None."""
        if self.memory is None:
            return [None] * len(files)
        states = [_status(file) for file in files]
        remembered = self.memory.files([file.name for file in files], states)
        return [
            None if status is None or one is None else self._recalled(file, status, one)
            for file, status, one in zip(files, states, remembered, strict=True)
        ]

    def _recalled(self, file: ImageFile, status: os.stat_result, remembered: RememberedFile) -> _ScannedFile:
        scanned = self._start(file)
        scanned.status, scanned.facts = status, _from_memory(remembered.facts)
        scanned.row["bytes"], scanned.row["sha256"] = status.st_size, remembered.sha256
        return self._finish(scanned)

    def read(self, file: ImageFile) -> _ScannedFile:
        """Return the file's findings, read from its bytes."""
        scanned = self._start(file)
        try:
            if file.unread:
                raise UnreadableImageError(file.unread)
            if file.leads_out(self.root):
                raise UnreadableImageError("a link that leads out of data/")
            self._fill_from_file(scanned, file.path)
        except OSError as error:
            scanned.facts["problem"] = f"{UNREADABLE}: cannot be opened: {error.strerror or error}"
        except TooLargeError as error:
            scanned.facts["problem"] = f"{TOO_LARGE}: {error} (validate.max_pixels)"
        except ValueError as error:
            # UnreadableImageError, and Pillow's refusal to convert a kind of pixels to RGB.
            scanned.facts["problem"] = f"{UNREADABLE}: {error}"
        return self._finish(scanned)

    def _start(self, file: ImageFile) -> _ScannedFile:
        label, split, group = file.place
        row = {
            "path": _storable(file.name),
            "label": _storable(label),
            "split": split,
            "group": _storable(group),
            "bytes": 0,
            "sha256": "",
        }
        return _ScannedFile(file.name, row)

    def _finish(self, scanned: _ScannedFile) -> _ScannedFile:
        facts = scanned.facts
        if scanned.row["path"] != scanned.name and not facts["problem"]:
            facts = {**_NO_FACTS, "problem": f"{UNREADABLE}: the file's name, or a folder's, is not valid UTF-8"}
        scanned.row.update((name, value) for name, value in facts.items() if name != "problem")
        scanned.row["left_out"] = why_left_out(facts, self.params)
        return scanned

    def _fill_from_file(self, scanned: _ScannedFile, path: Path) -> None:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            # Reading a named pipe would wait for ever.
            raise UnreadableImageError("not a regular file")
        scanned.row["bytes"] = status.st_size
        if status.st_size > _BYTES_PER_PIXEL * self.params.max_pixels + _METADATA_BYTES:
            raise TooLargeError(f"{status.st_size} bytes are more than {self.params.max_pixels} pixels can need")
        scanned.opened = True
        data = path.read_bytes()
        scanned.status = status  # taken before the bytes: a change in between makes the file unknown, not wrong
        scanned.row["sha256"] = hashlib.sha256(data).hexdigest()
        remembered = self.memory.picture(scanned.row["sha256"]) if self.memory else None
        if remembered is not None:
            scanned.facts = _from_memory(remembered)
            return
        image = open_image(data, self.params.max_pixels)
        scanned.facts["width"], scanned.facts["height"] = image.size
        scanned.facts["mode"], scanned.facts["format"] = image.mode, image.format
        rgb = to_rgb(image)
        if TAKEN_BITS in image.info:
            scanned.facts["mode"] = mode_name(scanned.facts["mode"], image.info[TAKEN_BITS])
        scanned.facts.update(vars(fingerprint(rgb)))


def _storable_facts(facts: dict[str, Any]) -> dict[str, Any]:
    return {**facts, "thumbnail": facts["thumbnail"].hex()}


def _from_memory(facts: dict[str, Any]) -> dict[str, Any]:
    facts["thumbnail"] = bytes.fromhex(facts["thumbnail"])
    return facts


def _status(file: ImageFile) -> os.stat_result | None:
    try:
        return file.entry.stat()
    except OSError:
        return None  # reading it says what is wrong


def _code(params: ValidateParams) -> str:
    """Return a text that names all that a scan's findings in a file depend on: the code, its libraries, and a limit."""
    import PIL

    digest = source_digest(*CODE)
    return f"{digest} pillow {PIL.__version__} imagehash {version('imagehash')} max_pixels {params.max_pixels}"


def _storable(name: str) -> str:
    """Return the name itself, or with escapes where it holds bytes that are not UTF-8."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode("utf-8")


def _class_folders(layout: Layout) -> list[str]:
    parents = [layout.root / name for name in layout.split_folders] or [layout.root]
    return sorted(
        {
            _storable(entry.name)
            for parent in parents
            for entry in parent.iterdir()
            if entry.is_dir() and not is_leftover(entry.name)
        }
    )


def _in_order(reader: _Reader, files: Iterable[ImageFile]) -> Iterator[_ScannedFile]:
    """Yield every one of ``files`` in their order; those that have to be read are read in threads.

    Decoding and hashing release the interpreter's lock. Only a window of files is under way at any time, so
    that neither paths nor results pile up.
    """
    files = iter(files)
    threads = min(cores(), _MAX_THREADS)
    pending: deque[Future[_ScannedFile] | _ScannedFile] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="scan")
    try:
        while batch := list(islice(files, _RECALLED)):
            for file, remembered in zip(batch, reader.recall(batch), strict=True):
                pending.append(remembered or pool.submit(reader.read, file))
                if len(pending) >= 8 * threads:
                    yield _result(pending.popleft())
        while pending:
            yield _result(pending.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _on_cluster(reader: _Reader, files: Iterable[ImageFile]) -> Iterator[_ScannedFile]:
    """Yield every one of ``files`` in their order; those that have to be read are read on Ray's nodes.

    Some ten thousand at a time, so that neither paths nor results pile up.
    """
    files = iter(files)
    there = ClusterStep(_ReaderThere(reader.root, reader.params).batch)
    while window := list(islice(files, _WINDOW)):
        parts = (window[start : start + _RECALLED] for start in range(0, len(window), _RECALLED))
        remembered = [one for part in parts for one in reader.recall(part)]
        wanted = [file for file, one in zip(window, remembered, strict=True) if one is None]
        if not is_for_cluster(len(wanted)):
            yield from _in_order(reader, window)
            continue
        sent = [pickle.dumps((file.name, file.place, file.entry.path, file.unread)) for file in wanted]
        read = rows_on_cluster({"file": sent}, there)
        for one in remembered:
            yield pickle.loads(next(read)["scanned"]) if one is None else one


@dataclass(frozen=True)
class _ReaderThere:
    """Reading of files on another machine, without the scan's memory of what it has seen."""

    root: Path
    params: ValidateParams

    def batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the findings for a batch of files."""
        import numpy as np

        reader = _Reader(self.root, self.params, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sent = map(pickle.loads, batch["file"])
            files = [ImageFile(name, place, FileEntry(path), unread) for name, place, path, unread in sent]
            scanned = np.empty(len(files), object)  # numpy's own kind of bytes would cut zeros off their end
            scanned[:] = [pickle.dumps(reader.read(file)) for file in files]
            return {"scanned": scanned}


def _result(file: Future[_ScannedFile] | _ScannedFile) -> _ScannedFile:
    return file if isinstance(file, _ScannedFile) else file.result()


def _groups(files: Iterable[_ScannedFile], size: int, advance: Advance) -> Iterator[list[_ScannedFile]]:
    """Yield the files in lists of ``size``; report each as done."""
    group: list[_ScannedFile] = []
    for file in files:
        group.append(file)
        advance(1)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
