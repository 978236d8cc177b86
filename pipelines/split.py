"""Stage split: the readable images of the manifest divided into train, val and test."""

from __future__ import annotations

from prefect import flow

from graft.core.params import load_params
from graft.core.params.models import Params
from graft.core.project import Project
from graft.core.timing import StageClock
from graft.data.splits.split_memory import read_memory, write_memory
from pipelines.runner import print_warnings, run_stage, step


@step("split")
def split_images(project: Project, params: Params, clock: StageClock) -> None:
    """Writes the three tables, checks them, and writes down what was settled for later runs.

    A split that is refused settles nothing; its tables and its report stay to be looked at.
    """
    with clock.span("pandas import", "imports"):
        from graft.data.scan.manifest import FOR_SPLIT, read_manifest
        from graft.data.scan.near_duplicates import Limits, read_near_duplicates
        from graft.data.splits.settled_groups import NearDuplicates
        from graft.data.splits.split_images import make_split
        from graft.data.splits.split_tables import write_split_tables
        from graft.data.splits.training_groups import training_groups, write_training_groups

    folder = project.artifacts("split")
    with clock.span("split"):
        manifest = read_manifest(project.manifest, columns=FOR_SPLIT)
        near_duplicates = read_near_duplicates(project.near_duplicates)
        limits = Limits(params.validate_.near_duplicate_bits, params.validate_.near_duplicate_difference)
        division = make_split(
            manifest, params.split, read_memory(project), NearDuplicates(near_duplicates, limits)
        )
        summary = division.summary
        write_split_tables(division.tables, summary, folder)
        write_training_groups(
            training_groups(division.tables["train"], near_duplicates), project.training_groups
        )
    counts = ", ".join(f"{count} {split}" for split, count in summary["images"].items())
    dropped = len(summary["duplicates_dropped"])
    print(
        f"{summary['method']} split: {counts}" + (f"; {dropped} leaking copies left out" if dropped else "")
    )
    if params.split.group_by == "none" and (brought := set(manifest["group"].unique()) - {""}):
        print(
            f"The data brings {len(brought)} groups, and split.group_by is none: set it to column to keep them whole"
        )
    if conflicting := summary["conflicting_labels_dropped"]:
        print(
            f"{len(conflicting)} files left out whose bytes lie under two labels, "
            f"for example {conflicting[0]['path']}"
        )
    if alone := summary["unmatched"]["images"]:
        example = summary["unmatched"]["example"]
        print(f"{alone} images have no group and stand for themselves, for example {example}")
    if joined := summary["groups_joined_later"]:
        print(f"{len(joined)} groups of near-duplicates grew together; every image stays where it was")

    with clock.span("great expectations import", "imports"):
        import great_expectations  # noqa: F401
    from graft.data.checks.check_verdict import raise_for
    from graft.data.checks.split_rules import check_split

    docs = folder / "data_docs"
    with clock.span("expectations"):
        verdict = check_split(
            division.tables,
            summary,
            near_duplicates,
            len(manifest),
            params.split,
            project.data,
            folder / "verdict.json",
            docs,
        )
    print_warnings(verdict, docs)
    raise_for(verdict, docs, "The split")
    write_memory(division.memory, project)


@flow(name="split", validate_parameters=False)
def split(project: Project, clock: StageClock) -> None:
    """Divides the images as params.yaml says; nothing downstream runs on a split that broke a rule."""
    split_images(project, load_params(project.params_file), clock)


if __name__ == "__main__":
    run_stage("split", split)
