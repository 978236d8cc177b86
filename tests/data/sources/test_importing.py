"""Importing: what is accepted, what is refused with data/ untouched, and being killed at every step."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest
from photo_folders import fake_dvc, png, tree, write

from graft.core.errors import GraftError
from graft.core.lock import project_lock
from graft.data.folder import swap, versioning
from graft.data.sources import importing
from graft.data.sources.importing import import_images
from graft.data.sources.readers.folders import by_suffix

pytestmark = pytest.mark.usefixtures("quick_dvc")


def pack(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def leftovers(project):
    """What an import may have left in the project's state, apart from what it is meant to leave."""
    stays = ("data.lock", "project.lock", "replaced")
    return sorted(path.name for path in project.state.glob("*") if path.name not in stays)


def test_class_folders(project, photos, tmp_path):
    imported = import_images(project, write(tmp_path / "pets", photos))
    assert tree(project.data) == photos
    assert imported.dataset == "pets" == versioning.dataset_name(project)
    assert imported.counts == {"": {"cat": 3, "dog": 3}}
    assert imported.images == 6
    assert imported.replaced is None
    assert leftovers(project) == []


def test_split_folders_keep_their_names(project, photos, tmp_path):
    files = {f"Training/{name}": data for name, data in photos.items()}
    files |= {f"Valid/{name}": data[::-1] for name, data in photos.items()}
    imported = import_images(project, write(tmp_path / "pets", files))
    assert tree(project.data) == files
    assert imported.counts == {"train": {"cat": 3, "dog": 3}, "val": {"cat": 3, "dog": 3}}


@pytest.mark.parametrize("top", ["", "archive/", "archive/pets/", "archive/train/"])
@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_folders_around_everything_are_dropped(top, kind, project, photos, tmp_path):
    files = {f"{top}{name}": data for name, data in photos.items()} | {"README.txt": b"x", "a/notes.csv": b"x"}
    source = write(tmp_path / "folder", files)
    if kind == "zip":
        source = pack(tmp_path / "my pets.zip", files)
    elif kind == "tar":
        with tarfile.open(tmp_path / "my pets.tar.gz", "w:gz") as archive:
            archive.add(source, ".")
        source = tmp_path / "my pets.tar.gz"
    imported = import_images(project, source)
    assert tree(project.data) == photos
    assert sorted(name.rpartition("/")[2] for name in imported.left_out) == ["README.txt", "notes.csv"]
    assert imported.dataset == ("folder" if kind == "folder" else "my_pets")


def test_single_files_that_cannot_be_taken_are_left_out_with_the_reason(project, photos, tmp_path):
    source = write(tmp_path / "pets", {**photos, "cat/notes.txt": b"x", "cat/film.mov": b"x"})
    (source / "cat/gone.png").symlink_to(source / "nowhere.png")
    (source / "dog/out.png").symlink_to(write(tmp_path / "x", {"out.png": png(900)}) / "out.png")
    expected = {
        "cat/film.mov": "",
        "cat/gone.png": "a link that leads nowhere",
        "cat/notes.txt": "",
        "dog/out.png": "a link that leads out of the folder",
    }
    with contextlib.suppress(OSError):  # file systems with names in UTF-8 alone
        (source / os.fsdecode(b"dog/caf\xe9.png")).write_bytes(png(901))
        expected["dog/caf\\udce9.png"] = "a name that is not UTF-8"
    imported = import_images(project, source)
    assert imported.left_out == expected
    assert tree(project.data) == photos
    assert by_suffix(name for name, why in imported.left_out.items() if not why) == "1 .mov, 1 .txt"


def test_images_without_a_suffix_are_known_by_their_bytes(project, photos, tmp_path):
    files = {name.removesuffix(".png"): data for name, data in photos.items()} | {"cat/README": b"about cats"}
    imported = import_images(project, pack(tmp_path / "pets.zip", files))
    assert imported.images == 6
    assert imported.left_out == {"cat/README": ""}


@pytest.mark.parametrize("top", ["", "train/"])
def test_a_class_that_loses_most_of_its_files_is_refused(top, project, photos, tmp_path):
    files = {f"{top}{name}": data for name, data in photos.items()}
    files |= {f"test/{name}": data[::-1] for name, data in photos.items()} if top else {}
    files |= {f"{top}dog/{i}.mov": b"film" for i in range(9)} | {f"{top}cat/{i}.txt": b"box" for i in range(9)}
    with pytest.raises(GraftError, match=r"The class 'dog' would lose most of its files: 9 \.mov .* and \d are"):
        import_images(project, write(tmp_path / "pets", files))
    assert not project.data.exists()


def test_folders_below_a_class_stay(project, photos, tmp_path):
    files = {name.replace("/", "/2024/may/"): data for name, data in photos.items()}
    import_images(project, write(tmp_path / "pets", files))
    assert tree(project.data) == files


def test_bytes_stay_as_they_are_even_of_what_is_no_image(project, photos, tmp_path):
    files = {**photos, "cat/broken.jpg": b"not a photograph", "dog/empty.jpg": b""}
    import_images(project, write(tmp_path / "pets", files))
    assert tree(project.data) == files


def test_data_that_is_there_is_not_touched(project, photos, tmp_path):
    mine = write(project.data, {"x/mine.png": b"mine"})
    with pytest.raises(GraftError, match=r"is not empty.*--replace"):
        import_images(project, write(tmp_path / "pets", photos))
    assert tree(mine) == {"x/mine.png": b"mine"}
    assert not versioning.pointer_file(project).exists()


def test_a_folder_with_a_placeholder_is_empty(project, photos, tmp_path):
    write(project.data, {".gitkeep": b""})
    assert import_images(project, write(tmp_path / "pets", photos)).replaced is None
    assert tree(project.data) == photos


def test_replacing_keeps_the_pointer_to_the_old_images(project, photos, tmp_path):
    import_images(project, write(tmp_path / "old", photos))
    pointer = versioning.pointer_file(project).read_text()
    imported = import_images(project, pack(tmp_path / "new.zip", {"a/1.png": b"1", "b/2.png": b"2"}), replace=True)
    assert tree(project.data) == {"a/1.png": b"1", "b/2.png": b"2"}
    assert imported.replaced.read_text() == pointer
    assert imported.replaced.name.startswith("old-")
    assert leftovers(project) == []


def test_the_same_images_again_replace_nothing(project, photos, tmp_path):
    source = write(tmp_path / "pets", photos)
    import_images(project, source)
    assert import_images(project, source, name="other", replace=True).replaced is None
    assert versioning.dataset_name(project) == "other"


def test_a_pointer_to_images_that_are_not_here_is_kept_too(project, photos, tmp_path):
    versioning.pointer_file(project).write_text("outs:\n- md5: abc.dir\n  path: data\nmeta:\n  dataset: away\n")
    imported = import_images(project, write(tmp_path / "pets", photos))
    assert "dataset: away" in imported.replaced.read_text()


REFUSED = {
    "empty": ({}, "holds no images"),
    "no images": ({"cat/1.txt": b"x", "notes.pdf": b"x"}, r"holds no images, but 1 .txt, 1 .pdf.*ends in one of"),
    "loose images": ({"1.png": b"x", "2.png": b"y"}, "2 images lie in no class folder, for example '1.png'"),
    "one loose image": ({"1.png": b"x", "a/2.png": b"y", "b/3.png": b"z"}, "1 images lie in no class folder"),
    "loose in a split": (
        {"train/1.png": b"x", "train/a/2.png": b"y", "test/a/3.png": b"z"},
        "for example 'train/1.png'",
    ),
    "one class": ({"cat/1.png": b"x"}, "All images lie in one class folder, 'cat'"),
    "one class around": ({"pets/cat/1.png": b"x", "pets/cat/2.png": b"x"}, "one class folder, 'cat'"),
    "one class in splits": ({"train/cat/1.png": b"x", "test/cat/2.png": b"x"}, "one class folder, 'cat'"),
    "split and class": (
        {"train/a/1.png": b"x", "test/a/2.png": b"y", "b/3.png": b"z"},
        r"data/ has split folders.*beside them 'b'",
    ),
    "two trains": (
        {"train/a/1.png": b"x", "training/b/2.png": b"y", "test/a/3.png": b"z"},
        "two folders for one split",
    ),
    "case of files": ({"a/1.png": b"x", "a/1.PNG": b"y", "b/3.png": b"z"}, "'a/1.*' and 'a/1.*' differ only"),
    "case of classes": ({"Cat/1.png": b"x", "cat/2.png": b"y"}, "'Cat' and 'cat' differ only"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_what_cannot_be_imported_leaves_data_as_it_was(case, kind, project, tmp_path):
    files, message = REFUSED[case]
    source = tmp_path / "source"
    source.mkdir()
    if kind == "zip":
        source = pack(tmp_path / "source.zip", files)
    elif len(tree(write(source, files))) < len(files):
        pytest.skip("needs a file system that tells upper and lower case apart")
    before = write(project.data, {"x/mine.png": b"mine"})
    with pytest.raises(GraftError, match=message):
        import_images(project, source, replace=True)
    assert tree(before) == {"x/mine.png": b"mine"}
    assert leftovers(project) == []
    assert not versioning.pointer_file(project).exists()


def test_a_name_twice_in_an_archive(project, photos, tmp_path):
    path = pack(tmp_path / "pets.zip", photos)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("cat/1.png", b"another")
    with pytest.raises(GraftError, match=r"holds 'cat/1\.png' more than once"):
        import_images(project, path)


@pytest.mark.parametrize("place", ["project/data", "project/data/x", "project", "."])
def test_data_and_source_in_each_other(place, project, tmp_path):
    write(project.data, {"x/1.png": b"x"})
    with pytest.raises(GraftError, match="lie in each other"):
        import_images(project, tmp_path / place, replace=True)


def test_a_missing_source(project, tmp_path):
    with pytest.raises(GraftError, match="There is no"):
        import_images(project, tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["", "a b", "../x", "[red]", "-x"])
def test_a_name_that_is_none(name, project, photos, tmp_path):
    with pytest.raises(GraftError, match="not a name"):
        import_images(project, write(tmp_path / "pets", photos), name=name)


def test_names_in_any_script(project, tmp_path):
    files = {"猫/写真 1.png": b"1", "сова/é.png": b"2"}
    assert import_images(project, write(tmp_path / "動物", files)).dataset == "動物"
    assert tree(project.data) == files


def test_no_space_is_said_before_anything_is_copied(project, photos, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(GraftError, match=r"needs \d+ MB .* 0 MB are free"):
        import_images(project, write(tmp_path / "pets", photos))
    assert not project.data.exists()


def test_a_disk_that_fills_up_meanwhile(project, photos, tmp_path, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importing, "sha256_of", full)
    write(project.data, {"x/mine.png": b"mine"})
    with pytest.raises(GraftError, match=r"No space left on device\. Free some space"):
        import_images(project, write(tmp_path / "pets", photos), replace=True)
    assert tree(project.data) == {"x/mine.png": b"mine"}
    assert leftovers(project) == []


def test_bytes_that_do_not_arrive(project, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "sha256_of", lambda path: "0" * 64)
    with pytest.raises(GraftError, match="other bytes than were written"):
        import_images(project, write(tmp_path / "pets", photos))
    assert not project.data.exists()
    assert leftovers(project) == []


def test_one_import_at_a_time(project, photos, tmp_path):
    with project_lock(project), pytest.raises(GraftError, match="Another command is bringing data"):
        import_images(project, write(tmp_path / "pets", photos))


def test_data_that_is_a_link(project, photos, tmp_path):
    elsewhere = write(tmp_path / "elsewhere", {"x/mine.png": b"mine"})
    project.data.symlink_to(elsewhere)
    with pytest.raises(GraftError, match="is a link"):
        import_images(project, write(tmp_path / "pets", photos), replace=True)
    assert tree(elsewhere) == {"x/mine.png": b"mine"}


@pytest.mark.parametrize("step", ["_move_aside", "_move_in"])
@pytest.mark.parametrize("error", [OSError(16, "Device or resource busy"), KeyboardInterrupt()])
def test_a_swap_that_fails_is_undone(step, error, project, photos, tmp_path, monkeypatch):
    write(project.data, {"x/mine.png": b"mine"})

    def fail(project):
        raise error

    monkeypatch.setattr(swap, step, fail)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else GraftError):
        import_images(project, write(tmp_path / "pets", photos), replace=True)
    assert tree(project.data) == {"x/mine.png": b"mine"}
    assert leftovers(project) == []


def test_tracking_that_fails_is_done_again(project, photos, tmp_path, monkeypatch):
    def fail(project, *arguments):
        raise GraftError("DVC is busy")

    with monkeypatch.context() as patch:
        patch.setattr(versioning, "run_dvc", fail)
        with pytest.raises(GraftError, match="DVC is busy"):
            import_images(project, write(tmp_path / "pets", photos))
    assert tree(project.data) == photos
    swap.recover(project)
    assert versioning.dataset_name(project) == "pets"
    assert leftovers(project) == []


# The child kills itself with SIGKILL, before or after the named function does its work.
CHILD = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path

    tests, root, source, module, function, when = sys.argv[1:]
    sys.path.insert(0, tests)
    from photo_folders import fake_dvc
    from graft.core.project import Project
    from graft.data.folder import swap, versioning
    from graft.data.sources import importing

    versioning.run_dvc = fake_dvc
    owner = {"importing": importing, "swap": swap, "versioning": versioning, "shutil": swap.shutil}[module]
    original = getattr(owner, function)

    def killing(*arguments, **options):
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        original(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, function, killing)
    importing.import_images(Project(Path(root)), Path(source), replace=True)
""")

POINTS = [
    ("importing", "sha256_of", "after"),
    ("versioning", "copy_pointer", "before"),
    ("versioning", "copy_pointer", "after"),
    ("swap", "_write_journal", "after"),
    ("swap", "_move_aside", "after"),
    ("swap", "_move_in", "after"),
    ("versioning", "track", "after"),
    ("shutil", "rmtree", "before"),
]


@pytest.mark.parametrize("had_data", [True, False])
@pytest.mark.parametrize("module, function, when", POINTS)
def test_killed_at_any_step_leaves_old_or_new(module, function, when, had_data, project, photos, tmp_path):
    old = {f"{label}/{i}.png": png(500 + i) for label in ("owl", "bat") for i in range(2)} if had_data else {}
    if had_data:
        import_images(project, write(tmp_path / "old", old))
    source = write(tmp_path / "new", photos)
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parents[1]), str(project.root), str(source)]
    done = subprocess.run([*command, module, function, when], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr

    swap.recover(project)
    is_new = (module, function) in [("swap", "_move_in"), ("versioning", "track"), ("shutil", "rmtree")]
    assert (tree(project.data) if project.data.exists() else {}) == (photos if is_new else old)
    expected_name = "new" if is_new else "old" if had_data else "data"
    assert versioning.dataset_name(project) == expected_name
    if function != "rmtree":  # a folder under another name is removed by whichever import comes next
        assert leftovers(project) == []

    import_images(project, source, replace=True)
    assert tree(project.data) == photos
    assert leftovers(project) == []


def test_a_kill_while_the_recovery_itself_drops_the_new_images(project, photos, tmp_path, monkeypatch):
    import_images(project, write(tmp_path / "old", {"a/1.png": b"1", "b/2.png": b"2"}))
    staging = write(project.state / "staging", {f"incoming/data/{name}": data for name, data in photos.items()})
    (staging / "import.json").write_text(json.dumps({"dataset": "new"}))

    def killed(*arguments, **options):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(SystemExit):
            swap.recover(project)
    swap.recover(project)
    assert versioning.dataset_name(project) == "old"
    assert tree(project.data) == {"a/1.png": b"1", "b/2.png": b"2"}


def test_images_put_there_by_hand_after_a_kill_are_not_lost(project, photos, tmp_path):
    left = {"previous/x/old.png": b"old", "incoming/data/x/new.png": b"new", "import.json": b"{}"}
    write(project.state / "staging", left)
    write(project.data, {"x/by_hand.png": b"mine"})
    swap.recover(project)
    assert tree(project.data) == {"x/by_hand.png": b"mine"}
    assert leftovers(project) == []


def test_the_fake_dvc_of_these_tests_tells_trees_apart(project):
    write(project.data, {"a/1.png": b"1"})
    fake_dvc(project, "add", "data")
    first = versioning.tracked_hash(project)
    (project.data / "a").rename(project.data / "b")
    fake_dvc(project, "add", "data")
    assert versioning.tracked_hash(project) != first


def test_old_images_that_come_back_keep_their_own_record(project, tmp_path, monkeypatch):
    """A kill before the new data was tracked, and data/ emptied by hand."""
    left = {"staging/previous/x/old.png": b"old", "staging/import.json": b'{"dataset": "new"}'}
    write(project.state, left)
    project.data.mkdir(exist_ok=True)
    tracked = []
    monkeypatch.setattr(versioning, "track", lambda project, meta: tracked.append(meta))
    swap.recover(project)
    assert tree(project.data) == {"x/old.png": b"old"}
    assert tracked == []
    assert not project.staging.exists()
