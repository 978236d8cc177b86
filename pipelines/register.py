"""Stage register: the best strategy or ensemble by validation becomes a version in MLflow's registry."""

from prefect import flow

from graft.automation.stage_runner import RETRIES, run_stage, step
from graft.core.model_folders import model_folders
from graft.core.params import Params, load_params
from graft.core.project import Project
from graft.core.timing import StageClock


@step("register", **RETRIES)
def register_version(project: Project, params: Params, clock: StageClock) -> None:
    """Choose, register and set the aliases; safe to repeat."""
    with clock.span("mlflow import", "imports"):
        import mlflow  # noqa: F401
    with clock.span("mlflow register", "mlflow"):
        from graft.registry.register import register_best
        from graft.registry.report.write_report import describe_version

        register_best(project, params.register_, model_folders(project, params), params.decide)
        describe_version(project, params)


@flow(name="register", validate_parameters=False)
def register(project: Project, clock: StageClock) -> None:
    """Register the best model."""
    register_version(project, load_params(project.params_file), clock)


if __name__ == "__main__":
    run_stage("register", register)
