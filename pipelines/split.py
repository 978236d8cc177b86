"""Stage split: the readable images of the manifest divided into train, val and test."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from graft.data.assignment import read_memory, write_memory
from graft.params import load_params
from graft.params.models import SplitParams
from graft.project import Project
from graft.timing import StageClock
from pipelines.runner import run_stage


@task(name="split", cache_policy=NO_CACHE)
def split_images(project: Project, params: SplitParams, clock: StageClock) -> None:
    """Writes the three tables, a summary of how they came about, and what was settled for later runs."""
    with clock.span("pandas import", "imports"):
        from graft.data.manifest import read_manifest
        from graft.data.split_tables import write_split_tables
        from graft.data.splitting import make_split

    with clock.span("split"):
        memory = read_memory(project.split_memory)
        division = make_split(read_manifest(project.manifest), params, memory)
        write_split_tables(division.tables, division.summary, project.artifacts("split"))
        write_memory(division.memory, project.split_memory)
    counts = ", ".join(f"{count} {split}" for split, count in division.summary["images"].items())
    dropped = len(division.summary["duplicates_dropped"])
    print(
        f"{division.summary['method']} split: {counts}"
        + (f"; {dropped} leaking copies left out" if dropped else "")
    )
    if alone := division.summary["unmatched"]["images"]:
        example = division.summary["unmatched"]["example"]
        print(f"{alone} images have no group and stand for themselves, for example {example}")


@flow(name="split", validate_parameters=False)
def split(project: Project, clock: StageClock) -> None:
    """Divides the images as params.yaml says."""
    split_images(project, load_params(project.params_file).split, clock)


if __name__ == "__main__":
    run_stage("split", split)
