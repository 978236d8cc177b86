"""Stage validate: the raw images into a manifest, checked with Great Expectations before anything uses them."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from graft.data.layout import read_layout
from graft.params import load_params
from graft.params.models import ValidateParams
from graft.project import Project
from graft.timing import StageClock
from pipelines.runner import run_stage


@task(name="scan", cache_policy=NO_CACHE)
def scan_images(project: Project, params: ValidateParams, clock: StageClock) -> None:
    """Reads every image once; a row of the manifest for each."""
    from graft.data.scanning import scan

    with clock.span("scan"):
        found = scan(read_layout(project.data), params, project.manifest, project.scan_memory)
    print(f"{found.opened:,} of {found.images:,} images were new or changed, and were read")


@task(name="check", cache_policy=NO_CACHE)
def check_manifest(project: Project, params: ValidateParams, clock: StageClock) -> None:
    """Runs the expectations; writes verdict and Data Docs, and fails where a rule is broken."""
    with clock.span("great expectations import", "imports"):
        import great_expectations  # noqa: F401
    from graft.data.expectations import check
    from graft.data.verdict import raise_for

    folder = project.artifacts("validate")
    with clock.span("expectations"):
        verdict = check(project.manifest, params, folder / "verdict.json", folder / "data_docs")
    print(
        f"{verdict.images} images, {verdict.unreadable} set aside as unreadable, {len(verdict.rules)} rules checked"
    )
    raise_for(verdict, folder / "data_docs")


@flow(name="validate", validate_parameters=False)
def validate(project: Project, clock: StageClock) -> None:
    """Checks the raw images; nothing downstream runs on data that broke a rule."""
    params = load_params(project.params_file).validate_
    scan_images(project, params, clock)
    check_manifest(project, params, clock)


if __name__ == "__main__":
    run_stage("validate", validate)
