"""Stage validate: the raw images into a manifest, checked with Great Expectations before anything uses them."""

from prefect import flow

from graft.automation.stage_runner import run_stage, step
from graft.core.params import load_params
from graft.core.project import Project
from graft.core.timing import StageClock
from graft.data import validate_stage

scan = step("scan")(validate_stage.scan_images)
near_duplicates = step("near_duplicates")(validate_stage.group_near_duplicates)
check = step("check")(validate_stage.check_images)


@flow(name="validate", validate_parameters=False)
def validate(project: Project, clock: StageClock) -> None:
    """Check the raw images; nothing downstream runs on data that broke a rule."""
    params = load_params(project.params_file).validate_
    scan(project, params, clock)
    near_duplicates(project, params, clock)
    check(project, params, clock)


if __name__ == "__main__":
    run_stage("validate", validate)
