"""data.dvc: written by DVC itself, read without it."""

import hashlib
import subprocess
import sys

import pytest
from photo_folders import tree, write

from graft.core.errors import GraftError
from graft.core.project import Project
from graft.data.folder import versioning
from graft.data.folder.versioning import dataset_name, pointer_file, run_dvc, track, tracked_hash
from graft.data.sources.importing import import_images

META = {"dataset": "pets", "licence": "CC BY 4.0", "source": "a source with a name that is long " * 4}


def test_tracking_writes_hash_and_meta_and_dvc_keeps_both(project, photos):
    write(project.data, photos)
    track(project, META)
    first = pointer_file(project).read_bytes()
    assert dataset_name(project) == "pets"
    assert tracked_hash(project).endswith(".dir")
    track(project, META)
    assert pointer_file(project).read_bytes() == first

    write(project.data, {"cat/new.png": b"new"})
    run_dvc(project, "add", "data")
    assert dataset_name(project) == "pets"
    assert pointer_file(project).read_bytes() != first
    (project.data / "cat/new.png").unlink()
    run_dvc(project, "add", "data")
    assert pointer_file(project).read_bytes() == first


def test_equal_images_give_an_equal_file_elsewhere(project, photos, tmp_path):
    write(project.data, photos)
    track(project, {"dataset": "something else"})
    track(project, META)
    other = Project(write(tmp_path / "other", tree(project.root / ".dvc")).rename(tmp_path / ".dvc").parent)
    write(other.data, photos)
    track(other, META)
    assert pointer_file(other).read_bytes() == pointer_file(project).read_bytes()


def test_replaced_images_come_back_with_dvc_checkout(project, photos, tmp_path):
    import_images(project, write(tmp_path / "old", photos))
    write(project.data, {"cat/added.png": b"added by hand"})
    files = {"a/1.png": b"1", "b/2.png": b"2"}
    imported = import_images(project, write(tmp_path / "new", files), replace=True)
    assert tree(project.data) == files
    pointer_file(project).write_bytes(imported.replaced.read_bytes())
    run_dvc(project, "checkout", "data.dvc")
    assert tree(project.data) == {**photos, "cat/added.png": b"added by hand"}
    assert dataset_name(project) == "old"


def test_git_ignores_data_once(tmp_path, photos):
    root = write(tmp_path / "project", {".gitignore": b"/data\n"})
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    project = Project(root)
    run_dvc(project, "init")
    write(project.data, photos)
    track(project, META)
    assert (root / ".gitignore").read_text() == "/data\n"
    status = subprocess.run(["git", "status", "--short"], cwd=root, capture_output=True, text=True, check=True)
    assert "?? data.dvc" in status.stdout
    assert "data/" not in status.stdout


def test_without_a_pointer_the_name_is_data(project):
    assert dataset_name(project) == "data"
    assert tracked_hash(project) is None
    pointer_file(project).write_text("outs:\n- md5: abc.dir\n  path: data\n")
    assert dataset_name(project) == "data"
    assert tracked_hash(project) == "abc.dir"


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", "a: b: c", "\x00"])
def test_a_pointer_that_dvc_did_not_write(text, project):
    pointer_file(project).write_text(text)
    with pytest.raises(
        GraftError, match=r"data\.dvc.* (is not valid YAML|where keys and values belong).*git checkout data.dvc"
    ):
        dataset_name(project)


def test_what_dvc_refuses_is_one_sentence(project, photos, tmp_path):
    with pytest.raises(GraftError, match=r"`dvc add data` failed in .*: output 'data' does not exist"):
        track(project, META)
    outside = Project(write(tmp_path / "outside", {"data/a/1.png": b"x"}))
    with pytest.raises(GraftError, match="Run `dvc init` once"):
        track(outside, META)


def test_reading_the_name_does_not_import_dvc():
    code = "import sys, graft.data.folder.versioning; sys.exit('dvc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert versioning.UNNAMED == "data"


def test_case_11_without_git_nothing_is_begun_and_one_sentence_says_why(project, photos, tmp_path, monkeypatch):
    from graft.automation.run_pipeline import reproduce
    from graft.data.sources import catalogue
    from graft.data.sources.importing import import_images

    write(project.root, {".dvc/config": b"[core]\n    analytics = false\n"})
    monkeypatch.setattr(catalogue, "fetch", None, raising=False)
    source = write(tmp_path / "pets", photos)
    for start in (
        lambda: import_images(project, source),
        lambda: catalogue.use(project, catalogue.DEFAULT),
        lambda: reproduce(project, []),
    ):
        with pytest.raises(GraftError, match="is no git repository .* git init .* core.no_scm true"):
            start()
    assert not project.data.exists()


@pytest.mark.parametrize("has", ["a repository", "a worktree", "one above", "no_scm", "no_scm here"])
def test_case_11_what_dvc_works_in_is_not_refused(has, project):
    write(project.root, {".dvc/config": b"[core]\n    analytics = false\n"})
    made = {
        "a repository": {"project/.git/HEAD": b""},
        "a worktree": {"project/.git": b"gitdir: elsewhere\n"},
        "one above": {".git/HEAD": b""},
        "no_scm": {"project/.dvc/config": b"[core]\n    no_scm = true\n['remote \"a\"']\n    url = s3://b/%s\n"},
        "no_scm here": {"project/.dvc/config.local": b"[core]\n    no_scm = True\n"},
    }
    write(project.root.parent, made[has])
    versioning.require_repository(project)


def test_an_image_that_did_not_get_into_the_cache_is_told_before_anything_relies_on_it(
    project, photos, tmp_path, monkeypatch
):
    """Draw 9 of tests/hard/accidents.py bring_in: DVC prints an error, ends well, and the old images were removed."""
    write(project.data, photos)
    really, lost = subprocess.run, hashlib.md5(photos["cat/1.png"]).hexdigest()

    def transfer_fails(*arguments, **options):
        done = really(*arguments, **options)
        (project.root / ".dvc/cache/files/md5" / lost[:2] / lost[2:]).unlink()
        return done

    with monkeypatch.context() as patch:
        patch.setattr(versioning.subprocess, "run", transfer_fails)
        with pytest.raises(GraftError, match="could not put 1 images, such as cat/1.png, into its cache"):
            import_images(project, write(tmp_path / "new", {"a/1.png": b"1", "b/2.png": b"2"}), replace=True)
    assert tree(project.data) == photos
    run_dvc(project, "add", "data")
