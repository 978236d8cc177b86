"""data/ brought to what data.dvc says, with a real DVC."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quick import in_this_process, make_quick_project, retrain
from small_project import copied, picture, pictures_in, shell

from graft.automation.retraining import data_folder
from graft.automation.retraining.data_folder import bring_up_to_date, changes_in_data
from graft.core.errors import GraftError
from graft.core.project import Project
from graft.data.folder.versioning import copy_pointer

pytestmark = pytest.mark.usefixtures("no_outside_settings")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_quick_project(tmp_path_factory.mktemp("data") / "project")


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Iterator[Project]:
    with in_this_process():
        yield copied(made, tmp_path / "project")


def test_h1_a_photograph_in_another_class_folder_is_one_gone_and_one_new(project: Project) -> None:
    (project.data / "red/100.png").rename(project.data / "blue/moved.png")
    assert changes_in_data(project) == {"added": ["blue/moved.png"], "modified": [], "deleted": ["red/100.png"]}
    moved = pictures_in(project)
    outcome = retrain(project)
    assert outcome.reasons == ["data/ changed since the last run"]
    assert pictures_in(project) == moved
    assert shell(project.root, "git", "status", "--short") == ""
    assert shell(project.root, sys.executable, "-m", "dvc", "status", "--json") == "{}"


def one_image_more(project: Project) -> Path:
    """Have data.dvc name an image that data/ has not; return where DVC's cache holds it."""
    before = set((project.root / ".dvc/cache").rglob("*"))
    picture("red", 4000).save(project.data / "red/more.png")
    shell(project.root, sys.executable, "-m", "dvc", "add", "-q", "data")
    (project.data / "red/more.png").unlink()
    new = set((project.root / ".dvc/cache").rglob("*")) - before
    (one,) = [path for path in new if path.is_file() and path.suffix != ".dir"]
    return one


def test_m5_an_image_that_the_cache_lacks_is_an_error_and_not_no_change(project: Project) -> None:
    one_image_more(project).unlink()
    with pytest.raises(GraftError, match="cache lacks images that data.dvc names"):
        bring_up_to_date(project)


def test_m4_data_on_a_disk_of_its_own(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for a volume that is mounted at data/: no rename crosses its border."""
    really = Path.replace

    def replace(path: Path, target: Path) -> Any:
        if path.is_relative_to(project.data) != target.is_relative_to(project.data):
            raise OSError(18, "Invalid cross-device link")
        return really(path, target)

    one_image_more(project)
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(data_folder, "_disk", lambda folder: int(folder == project.data), raising=False)
    left = project.data / ".graft-copies"  # by a run that was killed
    left.mkdir()
    (left / "0").write_bytes(b"torn")
    assert bring_up_to_date(project) == []
    assert (project.data / "red/more.png").is_file()
    assert not left.exists()


def test_l5_what_is_no_md5_becomes_no_path(project: Project) -> None:
    one = one_image_more(project)
    (listing,) = (project.root / ".dvc/cache/files/md5").rglob(
        f"{(project.root / 'data.dvc').read_text().split('md5: ')[1].split('.dir')[0][2:]}.dir"
    )
    md5 = one.parent.name + one.name
    (project.root / ".dvc/cache/secret").write_text("of somebody else's")
    text = listing.read_text()
    listing.chmod(0o644)
    listing.write_text(text.replace(md5, "xx/../../../secret"))
    shutil.rmtree(project.data)
    project.data.mkdir()  # as after a clone: every file is to be put there
    with pytest.raises(GraftError, match="where an MD5 belongs"):
        bring_up_to_date(project)
    pointer = project.root / "data.dvc"
    pointer.write_text(pointer.read_text().replace("md5: ", "md5: ../../", 1))
    with pytest.raises(GraftError, match="where an MD5 belongs"):
        bring_up_to_date(project)


def test_l6_the_name_of_a_data_set_becomes_no_path_out_of_its_folder(project: Project) -> None:
    pointer = project.root / "data.dvc"
    pointer.write_text(pointer.read_text().replace("dataset: colours", "dataset: ../../../outside"))
    with pytest.raises(GraftError, match="does not stay below"):
        copy_pointer(project)
    assert not list(project.root.rglob("outside*"))
