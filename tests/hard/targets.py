"""What fuzz is pointed at: each reads bytes from outside, and gives a value or refuses in the form it documents."""

import functools
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mutate
import seeds
from document_targets import (
    bodies,
    bundle_records,
    champion_tags,
    contents,
    name_content,
    onnx_documents,
    open_bundle,
    params_documents,
    published,
    read_body,
    read_champion_tag,
    read_onnx,
    read_params,
    read_published,
    read_text_table,
    text_tables,
)
from photograph_targets import (
    csv_tables,
    lists,
    parquet_tables,
    predict_archive,
    read_archive,
    read_image_table,
    read_list,
    read_picture,
)


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
        Target("list", lists, read_list),
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
