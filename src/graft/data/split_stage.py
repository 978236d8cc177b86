"""Stage split: the readable images of the manifest divided into train, val and test."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from graft.core.params.models import Params, SplitParams
from graft.core.project import Project
from graft.core.timing import StageClock
from graft.core.wording import some
from graft.data.splits.split_memory import read_memory, write_memory

if TYPE_CHECKING:
    import pandas as pd

    from graft.data.checks.check_verdict import Verdict
    from graft.data.splits.series import Series


_CLASSES_NAMED = 10


def split_images(project: Project, params: Params, clock: StageClock) -> Verdict:
    """Write the three tables, check them, and write down the assignments that later runs keep.

    A split that is refused assigns nothing for good; its tables and its report stay to be looked at.

    Raises:
        GraftError: the images cannot be divided as params.yaml says, or the division breaks a rule of severity
            ``error``.
    """
    with clock.span("pandas import", "imports"):
        import pandas  # noqa: F401

        from graft.data.scan.manifest import FOR_SPLIT, read_manifest
        from graft.data.scan.near_duplicates import read_near_duplicates
        from graft.data.splits.image_groups import write_split_groups
        from graft.data.splits.split_images import make_split
        from graft.data.splits.split_tables import write_split_tables

    with clock.span("split"):
        manifest = read_manifest(project.manifest, columns=FOR_SPLIT)
        near_duplicates = read_near_duplicates(project.near_duplicates)
        series = _series(project, manifest, near_duplicates) if params.split.group_by == "none" else None
        division = make_split(manifest, params.split, read_memory(project), near_duplicates, series)
        write_split_tables(division.tables, division.summary, project.artifacts("split"), division.new_test)
        write_split_groups(division.tables, series.for_folds if series else near_duplicates, project)
    _print_summary(division.summary, manifest, params.split)
    if params.train.validates_in_folds(few := division.summary["images"]["val"]):
        print(
            "What chooses between strategies is measured out of fold, on the "
            f"{division.summary['images']['train'] + few} images of train and val: the {few} of val alone would choose "
            f"by luck (train.validation: {params.train.validation})"
        )
    verdict = _check(project, params.split, division.tables, division.summary, near_duplicates, manifest, clock)
    write_memory(division.memory, project)
    return verdict


def _series(project: Project, manifest: pd.DataFrame, near_duplicates: pd.DataFrame) -> Series | None:
    import numpy as np

    from graft.data.scan.manifest import read_manifest
    from graft.data.splits.series import find_series

    rows = np.flatnonzero(manifest["left_out"] == "")

    @cache
    def pixels() -> pd.Series:
        return read_manifest(project.manifest, thumbnails=True, columns=["thumbnail"])["thumbnail"]

    def thumbnails(some: np.ndarray) -> np.ndarray:
        return np.frombuffer(b"".join(pixels().iloc[rows[some]]), np.uint8).reshape(len(some), -1)

    carved = len({"val", "test"} - set(manifest["split"]))
    return find_series(manifest.iloc[rows].reset_index(drop=True), near_duplicates, thumbnails, carved)


def _print_summary(summary: dict[str, Any], manifest: pd.DataFrame, params: SplitParams) -> None:
    counts = ", ".join(f"{count} {split}" for split, count in summary["images"].items())
    dropped = len(summary["duplicates_dropped"])
    print(f"{summary['method']} split: {counts}" + (f"; {dropped} leaking copies left out" if dropped else ""))
    if new := summary.get("new_test"):
        print(f"Beside them {new['images']} new test images in {new['groups']} groups (split.new_to_test)")
    if params.group_by == "none" and (brought := set(manifest["group"].unique()) - {""}):
        print(f"The data brings {len(brought)} groups, and split.group_by is none: set it to column to keep them whole")
    if near := summary["near_duplicates_dropped"]:
        parts = " and ".join(sorted({one["split"] for one in near}))
        print(
            f"{len(near)} images of {parts} left out: they show what one further from training shows, for example "
            f"{near[0]['path']} what {near[0]['near']} does"
        )
    if whole := summary["near_duplicates_together"]:
        print(
            f"{whole['images']} near-duplicates in {whole['groups']} groups were kept together, each group in one part "
            "(split.method: auto)"
        )
    if series := summary["series"]:
        _print_series(series)
    if small := summary["classes_left_out"]:
        named = some([f"'{label}' ({count})" for label, count in small.items()], _CLASSES_NAMED)
        print(
            f"Classes left out, with too few different images or groups of images to be in train, val and test: "
            f"{named}. Add images of them"
        )
    if alone := summary["unmatched"]["images"]:
        example = summary["unmatched"]["example"]
        print(f"{alone} images have no group and stand for themselves, for example {example}")
    if joined := summary["groups_joined_later"]:
        print(f"{len(joined)} groups of images that are alike grew together; every image stays where it was")


def _print_series(series: dict[str, Any]) -> None:
    told = f"names tell them, as that of {series['example']}, and images of one series look alike"
    if not series["together"]:
        print(f"There are series of images: {told}. split.method: auto, or split.group_by, keeps each in one part")
        return
    if series["images"]:
        print(
            f"{series['images']} images in {series['series']} series were kept together, each in one part: {told} "
            "(split.method: auto; stratified divides image by image)"
        )
    if few := series["few"]:
        named = some([f"'{label}'" for label in few], _CLASSES_NAMED)
        print(
            "Images of one series are in several parts, and figures on them promise too much, in classes with fewer "
            f"than {series['least']} series, or with one that is most of the class: {named}; {told}. Add images "
            "of other series"
        )


def _check(
    project: Project,
    params: SplitParams,
    tables: dict[str, pd.DataFrame],
    summary: dict[str, Any],
    near_duplicates: pd.DataFrame,
    manifest: pd.DataFrame,
    clock: StageClock,
) -> Verdict:
    with clock.span("great expectations import", "imports"):
        import great_expectations  # noqa: F401
    from graft.data.checks.check_verdict import print_warnings, raise_for
    from graft.data.checks.split_rules import check_split

    folder = project.artifacts("split")
    docs = folder / "data_docs"
    with clock.span("expectations"):
        verdict = check_split(
            tables, summary, near_duplicates, len(manifest), params, project.data, folder / "verdict.json", docs
        )
    print_warnings(verdict, docs)
    raise_for(verdict, docs, "The split")
    return verdict
