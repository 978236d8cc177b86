"""Stage validate: the raw images into a manifest, checked with Great Expectations before anything uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graft.core.params.models import ValidateParams
from graft.core.project import Project
from graft.core.timing import StageClock
from graft.data.folder.layout import read_layout

if TYPE_CHECKING:
    from graft.data.checks.check_verdict import Verdict


def validate_images(project: Project, params: ValidateParams, clock: StageClock) -> Verdict:
    """Run all of the stage: scan data/, find near-duplicates, check the manifest.

    Raises:
        GraftError: data/ is missing or holds no class folders, or a rule of severity ``error`` is broken.
    """
    scan_images(project, params, clock)
    group_near_duplicates(project, params, clock)
    return check_images(project, params, clock)


def scan_images(project: Project, params: ValidateParams, clock: StageClock) -> None:
    """Read every image that is new or changed, and write the manifest, a row for each image.

    Raises:
        GraftError: data/ is missing, or holds no class folders.
    """
    from graft.data.scan.scan_images import scan

    with clock.span("scan"):
        found = scan(read_layout(project.data), params, project.manifest, project.scan_memory)
    print(f"{found.opened:,} of {found.images:,} images were new or changed, and were read")
    if found.passed_over:
        kinds = sorted(found.passed_over.items(), key=lambda kind: (-kind[1], kind[0]))
        print(f"Passed over: {', '.join(f'{count:,} {kind}' for kind, count in kinds)}")


def group_near_duplicates(project: Project, params: ValidateParams, clock: StageClock) -> None:
    """Find the images that show the same but for a few pixels, and write their table."""
    with clock.span("pandas and scipy import", "imports"):
        import scipy.sparse.csgraph  # noqa: F401

        from graft.data.scan.manifest import read_manifest
        from graft.data.scan.near_duplicates import Limits, find_near_duplicates, write_near_duplicates

    with clock.span("near-duplicates"):
        groups = find_near_duplicates(read_manifest(project.manifest, thumbnails=True), Limits.of(params))
        write_near_duplicates(groups, project.near_duplicates)
    print(f"{len(groups)} images in {groups['group'].nunique()} groups of near-duplicates")


def check_images(project: Project, params: ValidateParams, clock: StageClock) -> Verdict:
    """Check the manifest; write verdict and Data Docs, which stay where a rule is broken.

    Raises:
        GraftError: a rule of severity ``error`` is broken.
    """
    with clock.span("great expectations import", "imports"):
        import great_expectations  # noqa: F401
    from graft.data.checks.check_verdict import print_warnings, raise_for
    from graft.data.checks.photograph_rules import check
    from graft.data.scan.leaving_out import as_lines, write_left_out
    from graft.data.scan.manifest import read_manifest

    folder = project.artifacts("validate")
    docs = folder / "data_docs"
    with clock.span("expectations"):
        verdict = check(project.manifest, project.near_duplicates, params, project.data, folder / "verdict.json", docs)
    images = read_manifest(project.manifest, columns=["path", "left_out"])
    write_left_out(images, folder / "left_out.csv")
    print(f"{verdict.images:,} images, {verdict.left_out:,} left out, {len(verdict.rules)} rules checked")
    if verdict.left_out:
        print("\n".join(["Left out:", *as_lines(images), f"All of them: {folder / 'left_out.csv'}"]))
    print_warnings(verdict, docs)
    raise_for(verdict, docs)
    return verdict
