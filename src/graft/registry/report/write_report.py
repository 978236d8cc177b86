"""Write the report and the model card of a model, and put both beside its run in MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from graft.core.errors import GraftError, first_line
from graft.core.files import write_file
from graft.core.model_folders import model_folders
from graft.core.params import Params
from graft.core.progress import console
from graft.core.project import Project
from graft.registry.report.model_card import model_card, summary
from graft.registry.report.model_facts import model_facts
from graft.registry.report.project_facts import project_facts
from graft.registry.report.report_page import in_words, report_page
from graft.registry.report.report_pictures import galleries, heat_maps

CARD_FILE = "README.md"
# Of the artifacts of a run in MLflow.
REPORT_FOLDER = "report"


@dataclass(frozen=True)
class WrittenReport:
    """A report: which model it is on, where it is, and its bytes."""

    model: str
    page: Path
    size: int


def write_report(project: Project, params: Params, name: str | None = None, out: Path | None = None) -> WrittenReport:
    """Write the page of an evaluated model, and put page and card into its MLflow run.

    Args:
        name: of a strategy or ensemble; by default what is registered.
        out: the file; by default ``artifacts/report/<name>.html``, which is the page that MLflow gets.

    Raises:
        GraftError: the model is not evaluated.
    """
    model, about = model_facts(project, params, name), project_facts(project)
    heats, no_heat = heat_maps(project, model, model_folders(project, params)[model.name] / "model")
    shown, pairs = galleries(project, model, params.validate_.max_pixels, heats)
    page = report_page(about, model, shown, pairs, no_heat).encode()
    target = out or project.artifacts("report") / f"{model.name}.html"
    write_file(target, page)
    if out is None:
        _log(project, params, model.name, target, model_card(about, model))
    return WrittenReport(model.name, target, len(page))


def card_of(project: Project, params: Params, name: str | None = None) -> str:
    """Return the model card of an evaluated model, see :func:`write_report`."""
    return model_card(project_facts(project), model_facts(project, params, name))


def describe_version(project: Project, params: Params) -> None:
    """Give the registered model a card among its run's artifacts, and its version a description and tags to be read.

    Raises:
        GraftError: what is registered is not evaluated.
    """
    from graft.registry.store.tracking_store import open_store

    model, about = model_facts(project, params), project_facts(project)
    client, known = open_store(project), model.registered
    words = f"{summary(about, model)} The report and the card are with its run, under {REPORT_FOLDER}."
    client.update_model_version(known["model"], known["version"], words)
    headline = model.headlines[model.name]
    tags = {f"test_{name}": in_words(name, figure) for name, figure in headline.figures.items()}
    tags |= {"test_images": f"{len(model.labels)}", "classes": f"{len(model.classes)}", "dataset": about.dataset}
    for name, value in tags.items():
        client.set_model_version_tag(known["model"], known["version"], name, value)
    of_all = (
        f"Classifiers of photographs of {about.dataset}. The alias challenger is the best of the last run, champion "
        "what is at work: only graft promote and graft rollback move that."
    )
    client.update_registered_model(known["model"], of_all)
    client.log_text(known["run_id"], model_card(about, model), f"{REPORT_FOLDER}/{CARD_FILE}")


def _log(project: Project, params: Params, name: str, page: Path, card: str) -> None:
    """Put page and card into the model's run; where MLflow does not take them, that is said, and the files stay."""
    from mlflow.exceptions import MlflowException

    from graft.registry.runs.strategy_runs import read_run
    from graft.registry.store.tracking_store import open_store

    try:
        run_id = read_run(model_folders(project, params)[name])["run_id"]
        client = open_store(project)
        client.log_artifact(run_id, str(page), REPORT_FOLDER)
        client.log_text(run_id, card, f"{REPORT_FOLDER}/{CARD_FILE}")
    except (GraftError, OSError, MlflowException) as error:
        console.print(f"The report is not in MLflow: {first_line(error)}", soft_wrap=True, markup=False)
