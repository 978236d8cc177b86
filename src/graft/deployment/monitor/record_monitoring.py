"""A comparison in MLflow: a run in the data set's experiment, with a metric per check and the page."""

from pathlib import Path

from graft.core.params.monitor_params import MonitorParams
from graft.core.project import Project
from graft.deployment.monitor.drift_page import LATEST
from graft.deployment.monitor.monitor_predictions import DriftReport
from graft.registry.runs.strategy_runs import flatten
from graft.registry.store.tracking_store import start_run


def record_comparison(project: Project, params: MonitorParams, report: DriftReport, page: Path) -> str:
    """Log a comparison and return the run's id; the runs of one data set chart its drift over time.

    Metrics are ``drift`` (0 or 1), and of each check ``<check>_p``, ``<check>_p_adjusted``, ``<check>_effect`` and
    ``<check>_drift``; and how many images there were, see :meth:`graft.deployment.monitor.log_samples.Sample.counts`.
    """
    import mlflow

    drift = "yes" if report.drift else "no"
    tags = {"kind": "monitor", "source": report.source, "model": report.model, "drift": drift}
    metrics = {"drift": float(report.drift)}
    metrics |= {name: float(count) for name, count in report.recent.counts().items()}
    for check in report.checks:
        metrics[f"{check.name}_p"] = check.p_value
        metrics[f"{check.name}_p_adjusted"] = check.adjusted
        metrics[f"{check.name}_effect"] = check.effect
        metrics[f"{check.name}_drift"] = float(check.drift)
    with start_run(project, "monitor", tags) as run:
        mlflow.log_params(flatten(params.model_dump(mode="json", exclude={"log"})))
        mlflow.log_metrics(metrics)
        mlflow.log_dict(report.as_record(), "comparison.json")
        mlflow.log_text(page.read_text(encoding="utf-8"), LATEST)
    return str(run.info.run_id)
