"""A folder of photographs as a project that is scanned and split, without DVC, Prefect and MLflow."""

from pathlib import Path

from graft.core.params import Params
from graft.core.project import Project


def prepare(root: Path, data: Path, params: Params) -> Project:
    """Make a project in ``root`` over the photographs in ``data``, with the split that ``params`` names."""
    from graft.data.folder.layout import read_layout
    from graft.data.scan.manifest import read_manifest
    from graft.data.scan.near_duplicates import Limits, find_near_duplicates
    from graft.data.scan.scan_images import scan
    from graft.data.splits.image_groups import write_split_groups
    from graft.data.splits.split_images import make_split
    from graft.data.splits.split_tables import write_split_tables

    root.mkdir(parents=True, exist_ok=True)
    if not (root / "data").exists():
        (root / "data").symlink_to(data, target_is_directory=True)
    project = Project(root)
    project.artifacts("validate").mkdir(parents=True, exist_ok=True)
    scan(read_layout(project.data), params.validate_, project.manifest)
    manifest = read_manifest(project.manifest, thumbnails=True)
    limits = Limits(params.validate_.near_duplicate_bits, params.validate_.near_duplicate_difference)
    near = find_near_duplicates(manifest, limits)
    division = make_split(read_manifest(project.manifest), params.split, near_duplicates=near)
    write_split_tables(division.tables, division.summary, project.artifacts("split"))
    write_split_groups(division.tables, near, project)
    return project
