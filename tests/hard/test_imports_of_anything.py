"""Properties of an import, whatever folders, names and archives hold: all or nothing, nothing outside, all told."""

import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
import seeds
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from photo_folders import DVC_CONFIG, fake_dvc, png, write

from graft.bundle.images import SUFFIXES
from graft.core.errors import GraftError
from graft.core.project import Project
from graft.data.folder import versioning
from graft.data.folder.layout import GROUP_PREFIX, group_folder, read_layout
from graft.data.folder.photographs import suffix_of
from graft.data.sources.image_tables import Table
from graft.data.sources.importing import import_images

CI = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
IMAGES = [png(shade) for shade in range(3)]
ODD = [
    "..",
    ".",
    "",
    "-rf",
    "~",
    "~root",
    "CON",
    "con.jpg",
    "a ",
    "a.",
    ".hidden",
    "__MACOSX",
    "@eaDir",
    "$RECYCLE.BIN",
]
ODD += [
    "train",
    "test",
    "Test",
    "seg_pred",
    "group=ann",
    "group=",
    "C:",
    "a\\b",
    "a\nb",
    "a\rb",
    "\0",
    "\x7f",
    "\u202e",
]
ODD += ["cafe\u0301", "caf\u00e9", "ß", "SS", "猫", "🐈", "%2e%2e", "'; rm -rf x", "<b>", "null", "x" * 250, "x" * 300]
LETTERS = st.text(st.sampled_from("aAbB.- _é#%'\"&"), min_size=1, max_size=6)
PARTS = st.one_of(st.sampled_from(["cat", "dog", "Cat", "set"]), st.sampled_from(ODD), LETTERS)
SUFFIX = st.sampled_from([".jpg", ".JPG", ".png", ".txt", "", ".mp4", ".jpg.", ".heic"])
NAMES = st.builds(
    lambda folders, name, suffix: "/".join([*folders, f"{name}{suffix}"]),
    st.lists(PARTS, min_size=0, max_size=3),
    PARTS,
    SUFFIX,
)
# Some of them always make two classes, so that imports do not all end at the first rule.
MEMBERS = st.builds(
    lambda some, usual: {**(usual and {"cat/1.jpg": IMAGES[0], "dog/1.jpg": IMAGES[1]}), **some},
    st.dictionaries(NAMES, st.sampled_from([*IMAGES, b"note", b"", seeds.PHOTOGRAPH]), max_size=6),
    st.sampled_from([True, True, {}]),
)


def new_project(root: Path) -> Project:
    shutil.rmtree(root, ignore_errors=True)
    write(root, {"params.yaml": b"{}\n", "dvc.yaml": b"stages: {}\n", ".dvc/config": DVC_CONFIG.encode()})
    return Project(root)


def packed(kind: str, members: dict[str, bytes], place: Path) -> tuple[Path, dict[str, bytes]]:
    """A folder, zip or tar of members, and those that it could be given."""
    if kind == "zip":
        members = {name: data for name, data in members.items() if "\0" not in name}  # zipfile would cut them there
        path = place / "set.zip"
        path.write_bytes(seeds.zip_of(members, zipfile.ZIP_DEFLATED))
        return path, members
    if kind == "tar":
        path = place / "set.tar"
        path.write_bytes(seeds.tar_of(members, tarfile.PAX_FORMAT))
        return path, members
    folder = place / "set"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    there = {}
    for name, data in members.items():
        if any(part in ("", ".", "..") for part in name.split("/")):
            continue
        try:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except (OSError, ValueError):  # no name for a file here
            continue
        there[name] = data
    return folder, there


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        Path(here, name).relative_to(folder).as_posix(): Path(here, name).read_bytes()
        for here, _, names in os.walk(folder)
        for name in names
    }


def outside(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if not name.startswith("project/")}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
@settings(CI, max_examples=25)
@given(members=MEMBERS)
@example(members={"cat/1.jpg": IMAGES[0], "dog/1.jpg": IMAGES[1], "cat/../../../out.jpg": IMAGES[2]})
@example(members={"cat/1.jpg": IMAGES[0], "dog/1.jpg": IMAGES[1], "cat": b"", "cat/1.jpg/2.jpg": IMAGES[2]})
@example(members={"cat/1.jpg": IMAGES[0], "dog/1.jpg": IMAGES[1], "cat/\0/1.jpg": IMAGES[2]})
def test_an_import_takes_or_names_each_photograph_and_writes_nowhere_else(
    kind: str, members: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("import")
    project = new_project(place / "project")
    source, given_members = packed(kind, members, place)
    before = files_below(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versioning, "run_dvc", fake_dvc)
        try:
            imported = import_images(project, source)
        except GraftError as error:
            assert str(error)
            assert not files_below(project.data)
            assert outside(files_below(place)) == outside(before)
            shutil.rmtree(place)
            return
    taken = files_below(project.data)
    assert imported.images == len(taken) >= 2
    # All bytes as they were, as often as they were.
    contents = sorted(given_members.values())
    assert all(contents.count(data) >= list(taken.values()).count(data) for data in taken.values())
    photographs = {"/".join(part for part in name.split("/") if part != ".") for name in given_members}
    photographs = {name for name in photographs if suffix_of(name) in SUFFIXES}
    told = set(imported.left_out)
    missing = [
        name
        for name in photographs
        if not any(name.endswith(one) for one in taken)
        and not any(name == one or name.startswith(f"{one}/") for one in told)
    ]
    assert not missing
    assert outside(files_below(place)) == outside(before)
    layout = read_layout(project.data)
    assert sum(len(classes) for classes in imported.counts.values()) >= 2
    assert all(layout.place(project.data / name)[0] for name in taken)
    shutil.rmtree(place)


CELLS = st.one_of(PARTS, st.text(max_size=8), st.sampled_from(["cat", "dog", "1", "001", "NA", "nan", "é" * 150]))


@settings(CI, max_examples=60)
@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=4), quoted=st.booleans())
def test_a_table_gives_each_image_its_label_and_its_group_or_is_refused(
    rows: list[tuple[str, str, str]], quoted: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import contextlib
    import csv

    place = tmp_path_factory.mktemp("table")
    for number in range(len(rows)):
        (place / f"{number}.jpg").write_bytes(seeds.PHOTOGRAPH)
    with (place / "table.csv").open("w", encoding="utf-8", newline="", errors="replace") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
        writer.writerow(["path", "label", "group"])
        writer.writerows((f"{number}.jpg", label, group) for number, (_, label, group) in enumerate(rows))
    try:
        with contextlib.ExitStack() as stack:
            plan = Table(place / "table.csv").open(stack, 1_000_000)
    except GraftError as error:
        assert "table.csv" in str(error)
    else:
        data = place / "data"
        for name in plan.sizes:
            (data / name).parent.mkdir(parents=True, exist_ok=True)
        assert len(plan.sizes) == len(rows)
        layout = read_layout(data)
        if not layout.is_official:
            found = sorted((layout.place(data / name)[0], layout.group(data / name)) for name in plan.sizes)
            assert found == sorted((label.strip(), group.strip()) for _, label, group in rows)
    shutil.rmtree(place)


@settings(CI, max_examples=200)
@given(group=st.text(min_size=1, max_size=20))
def test_the_folder_of_a_group_is_one_name_and_gives_the_group_back(group: str) -> None:
    from urllib.parse import unquote

    folder = group_folder(group)
    assert "/" not in folder
    assert folder not in (".", "..")
    assert unquote(folder.removeprefix(GROUP_PREFIX)) == group
