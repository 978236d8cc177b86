"""Stage split: the readable images of the manifest divided into train, val and test."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from graft.params import load_params
from graft.params.models import SplitParams
from graft.project import Project
from graft.timing import StageClock
from pipelines.runner import run_stage


@task(name="split", cache_policy=NO_CACHE)
def split_images(project: Project, params: SplitParams, clock: StageClock) -> None:
    """Writes the three tables and a summary of how they came about."""
    with clock.span("pandas import", "imports"):
        from graft.data.manifest import read_manifest
        from graft.data.splitting import make_split, write_splits

    with clock.span("split"):
        division = make_split(read_manifest(project.manifest), params)
        write_splits(division, project.artifacts("split"))
    counts = ", ".join(f"{count} {split}" for split, count in division.summary["images"].items())
    dropped = len(division.summary["duplicates_dropped"])
    print(
        f"{division.summary['method']} split: {counts}"
        + (f"; {dropped} leaking copies left out" if dropped else "")
    )


@flow(name="split", validate_parameters=False)
def split(project: Project, clock: StageClock) -> None:
    """Divides the images as params.yaml says."""
    split_images(project, load_params(project.params_file).split, clock)


if __name__ == "__main__":
    run_stage("split", split)
