"""C1: a thousand classes go through import, validate, split and inspect, and every page and picture is bounded."""

import io
from pathlib import Path

import pandas as pd
import pytest
from photo_folders import DVC_CONFIG, fake_dvc, noise_image, write
from test_expectations import Checked, again
from tiny import tiny_params

from graft.analysis.inspect.inspect_data import inspect_data
from graft.analysis.inspect.inspect_page import write_page
from graft.analysis.inspect.inspect_report import Report
from graft.cli.data import _report
from graft.core.params.models import SplitParams, ValidateParams
from graft.core.progress import console
from graft.core.project import Project
from graft.data.checks.split_rules import check_split
from graft.data.folder import versioning
from graft.data.scan.manifest import FOR_SPLIT, read_manifest
from graft.data.scan.near_duplicates import Limits, find_near_duplicates, write_near_duplicates
from graft.data.sources.importing import Imported, import_images
from graft.data.splits.split_images import make_split

CLASSES = 1000
LIMITS = Limits(4, 0.02)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Imported]:
    folder = tmp_path_factory.mktemp("thousand")
    files = {}
    for number in range(3 * CLASSES):
        stream = io.BytesIO()
        noise_image(number, (10, 10)).save(stream, "PNG", compress_level=1)
        files[f"class {number // 3:04d}/{number % 3}.png"] = stream.getvalue()
    root = write(folder / "project", {"params.yaml": b"{}\n", "dvc.yaml": b"stages: {}\n"})
    project = Project(write(root, {".dvc/config": DVC_CONFIG.encode()}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versioning, "run_dvc", fake_dvc)
        return project, import_images(project, write(folder / "many", files))


@pytest.fixture(scope="module")
def inspected(imported: tuple[Project, Imported]) -> tuple[Project, Report, pd.DataFrame]:
    project, _ = imported
    return project, *inspect_data(project, tiny_params(), check_labels=False)


def test_c1_what_was_imported_is_shown_in_short(imported: tuple[Project, Imported]) -> None:
    with console.capture() as shown:
        _report(imported[1])
    text = shown.get()
    assert "960 more" in text
    assert text.count("\n") < 60


def test_c1_validate_and_split_with_a_thousand_classes(
    inspected: tuple[Project, Report, pd.DataFrame], tmp_path: Path
) -> None:
    project, _, _ = inspected
    manifest = read_manifest(project.inspection / "manifest.parquet", thumbnails=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.parquet").write_bytes((project.inspection / "manifest.parquet").read_bytes())
    near = find_near_duplicates(manifest, LIMITS)
    write_near_duplicates(near, tmp_path / "out" / "near_duplicates.csv")
    # Every class breaks a rule, and the page shows the first.
    validated: Checked = again(tmp_path / "out", project.data, ValidateParams(min_images_per_class=4))
    assert validated.broken == ["enough_per_class"]
    assert validated.rule("enough_per_class").offender_count == CLASSES
    assert (validated.docs / "index.html").stat().st_size < 100_000
    params = SplitParams()
    division = make_split(manifest[list(FOR_SPLIT)], params, None, near)
    assert {name: table["label"].nunique() for name, table in division.tables.items()} == dict.fromkeys(
        ("train", "val", "test"), CLASSES
    )
    verdict = check_split(
        division.tables, division.summary, near, len(manifest), params, project.data,
        tmp_path / "verdict.json", tmp_path / "docs",
    )  # fmt: skip
    assert verdict.images == 3 * CLASSES
    assert (tmp_path / "docs" / "index.html").stat().st_size < 100_000


def test_c1_the_page_of_an_inspection_is_bounded(
    inspected: tuple[Project, Report, pd.DataFrame], tmp_path: Path
) -> None:
    project, report, images = inspected
    assert len(report.classes) == CLASSES
    size = write_page(tmp_path / "page.html", report, images, project.data, 10**8)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert size < 5_000_000
    assert text.count("<li><b title=") == 60  # bars: the largest classes and the smallest
    assert 960 <= text.count("<img ") < 980  # of the contact sheets, and what stands out
    assert "60 of 1,000 shown" in text
    assert "960 of 1,000 shown (classes)" in text
