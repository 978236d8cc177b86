"""Stage split: the readable images of the manifest divided into train, val and test."""

from prefect import flow

from graft.automation.stage_runner import run_stage, step
from graft.core.params import load_params
from graft.core.project import Project
from graft.core.timing import StageClock
from graft.data import split_stage

split_images = step("split")(split_stage.split_images)


@flow(name="split", validate_parameters=False)
def split(project: Project, clock: StageClock) -> None:
    """Divide the images as params.yaml says; nothing downstream runs on a split that broke a rule."""
    split_images(project, load_params(project.params_file), clock)


if __name__ == "__main__":
    run_stage("split", split)
