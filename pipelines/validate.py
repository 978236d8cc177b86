"""Stage validate: the raw images into a manifest, checked with Great Expectations before anything uses them."""

from __future__ import annotations

from prefect import flow

from graft.core.params import load_params
from graft.core.params.models import ValidateParams
from graft.core.project import Project
from graft.core.timing import StageClock
from graft.data.folder.layout import read_layout
from pipelines.runner import print_warnings, run_stage, step


@step("scan")
def scan_images(project: Project, params: ValidateParams, clock: StageClock) -> None:
    """Reads every image once; a row of the manifest for each."""
    from graft.data.scan.scan_images import scan

    with clock.span("scan"):
        found = scan(read_layout(project.data), params, project.manifest, project.scan_memory)
    print(f"{found.opened:,} of {found.images:,} images were new or changed, and were read")


@step("near_duplicates")
def group_near_duplicates(project: Project, params: ValidateParams, clock: StageClock) -> None:
    """Finds the images that show the same but for a few pixels."""
    with clock.span("pandas and scipy import", "imports"):
        import scipy.sparse.csgraph  # noqa: F401

        from graft.data.scan.manifest import read_manifest
        from graft.data.scan.near_duplicates import Limits, find_near_duplicates, write_near_duplicates

    with clock.span("near-duplicates"):
        limits = Limits(params.near_duplicate_bits, params.near_duplicate_difference)
        groups = find_near_duplicates(read_manifest(project.manifest, thumbnails=True), limits)
        write_near_duplicates(groups, project.near_duplicates)
    print(f"{len(groups)} images in {groups['group'].nunique()} groups of near-duplicates")


@step("check")
def check_manifest(project: Project, params: ValidateParams, clock: StageClock) -> None:
    """Runs the expectations; writes verdict and Data Docs, and fails where a rule of severity error is broken."""
    with clock.span("great expectations import", "imports"):
        import great_expectations  # noqa: F401
    from graft.data.checks.check_verdict import raise_for
    from graft.data.checks.photograph_rules import check

    folder = project.artifacts("validate")
    docs = folder / "data_docs"
    with clock.span("expectations"):
        verdict = check(
            project.manifest, project.near_duplicates, params, project.data, folder / "verdict.json", docs
        )
    print(
        f"{verdict.images} images, {verdict.unreadable} set aside as unreadable, {len(verdict.rules)} rules checked"
    )
    print_warnings(verdict, docs)
    raise_for(verdict, docs)


@flow(name="validate", validate_parameters=False)
def validate(project: Project, clock: StageClock) -> None:
    """Checks the raw images; nothing downstream runs on data that broke a rule."""
    params = load_params(project.params_file).validate_
    scan_images(project, params, clock)
    group_near_duplicates(project, params, clock)
    check_manifest(project, params, clock)


if __name__ == "__main__":
    run_stage("validate", validate)
