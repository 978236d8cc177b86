"""From photographs to split tables: open_project, import_images, inspect, validate, split."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from graft.core.outside import own_path
from graft.core.project import Project

if TYPE_CHECKING:
    import pandas as pd

    from graft.api.shown import Inspection


def open_project(folder: str | os.PathLike[str] = ".") -> Project:
    """Open the project in a folder; make one where the folder is new or empty, as `graft init` does.

    Settings are in its ``params.yaml``, which all other functions read each time they are called. This process's
    temporary files lie in the project from now on, and its libraries send no telemetry.

    Args:
        folder: of the project, or one in it.

    Returns:
        The project, which every other function takes first; ``project.root`` is its folder.

    Raises:
        GraftError: the folder holds something and is in no project; or no project can be made there, see
            :func:`graft.automation.projects.init_project.init_project`.

    Example:
        >>> import graft
        >>> project = graft.open_project("flowers")
        >>> project.params_file.name
        'params.yaml'
    """
    from graft.automation.projects.init_project import holds_nothing, init_project
    from graft.core.environment import configure
    from graft.core.project import find_project

    place = own_path(folder)
    project = init_project(place) if holds_nothing(place) else find_project(place)
    configure(project)
    return project


def import_images(
    project: Project,
    source: str | os.PathLike[str],
    *,
    name: str | None = None,
    replace: bool = False,
    encoding: str | None = None,
    labels_from_names: bool = False,
) -> pd.DataFrame:
    """Copy photographs into the project's data/, all of them or none, and have DVC keep them.

    Args:
        source: a folder with a folder for each class (or with train/, val/, test/ and these inside), a zip or tar
            archive of such a folder, or a table with the columns path and label, or what public data sets call these.
        name: of the data set, by default its folder's or archive's.
        replace: replace what is in data/; DVC keeps that.
        encoding: of names in an archive, folder or table that are not in UTF-8, such as gbk or shift_jis.
        labels_from_names: whether the files' names say the classes, as in cat.1.jpg.

    Returns:
        Number of images, int: a row for each class, and a column for each split that the data brings, or else
        ``images`` alone.

    Raises:
        GraftError: data/ holds something and ``replace`` is False; or the images lie in no known layout, in fewer than
            two classes, or are damaged. Nothing has changed then.

    Example:
        >>> counts = graft.import_images(project, "photographs")
        >>> list(counts.index)
        ['daisy', 'rose']
    """
    import pandas as pd

    from graft.data.sources import importing

    imported = importing.import_images(
        project, Path(source), name=name, replace=replace, encoding=encoding, labels_from_names=labels_from_names
    )
    for note in imported.notes:
        print(f"{note}.")
    counts = {split or "images": pd.Series(classes) for split, classes in imported.counts.items()}
    return pd.DataFrame(counts).fillna(0).astype(int).sort_index().rename_axis("class")


def inspect(project: Project, *, labels: bool | None = None) -> Inspection:
    """Look at data/: classes, copies, near-duplicates, outliers and likely label errors. Nothing of it is changed.

    Args:
        labels: whether to look for label errors, with a network pretrained on ImageNet; None does where that takes
            about a minute.

    Returns:
        What was found; in a notebook it shows itself as a page with contact sheets.

    Raises:
        GraftError: data/ is missing, holds no class folders, or not one image that can be used.

    Example:
        >>> found = graft.inspect(project, labels=False)
        >>> int(found.classes.loc["rose", "left_out"])
        0
    """
    from graft.analysis.inspect.inspect_data import inspect_data
    from graft.analysis.inspect.inspect_page import write_page
    from graft.api.shown import Inspection
    from graft.core.params import load_params

    params = load_params(project.params_file)
    report, images = inspect_data(project, params, check_labels=labels)
    page = project.inspection / "index.html"
    write_page(page, report, images, project.data, params.validate_.max_pixels)
    return Inspection(report, page)


def validate(project: Project) -> pd.DataFrame:
    """Check the photographs by the rules under ``validate`` in params.yaml, as the stage validate does.

    Leaves ``artifacts/validate``: the manifest of all images, near-duplicates, the verdict, and a report in
    ``data_docs/index.html``.

    Returns:
        A row for each rule, by its name: passed (bool), severity, found and needed (words), offenders (int).

    Raises:
        GraftError: data/ is missing, or a rule of severity ``error`` is broken; the message has files and remedy.

    Example:
        >>> rules = graft.validate(project)
        >>> bool(rules.loc["readable", "passed"])
        True
    """
    import pandas as pd

    from graft.core.lock import project_lock
    from graft.core.params import load_params
    from graft.core.timing import StageClock
    from graft.data.validate_stage import validate_images

    with project_lock(project):
        verdict = validate_images(project, load_params(project.params_file).validate_, StageClock("validate"))
    rows = {
        rule.name: (rule.passed, rule.severity, rule.observed, rule.limit, rule.offender_count)
        for rule in verdict.rules
    }
    columns = ["passed", "severity", "found", "needed", "offenders"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("rule")


def split(project: Project) -> pd.DataFrame:
    """Divide the readable photographs into train, val and test as ``split`` in params.yaml says.

    Needs what :func:`validate` leaves. Leaves ``artifacts/split``. An image keeps its split as the data grows.

    Returns:
        A row for each image: split (train, val or test), path (below data/), label and sha256.

    Raises:
        GraftError: the images cannot be divided so, or the division breaks a rule of severity ``error``.

    Example:
        >>> images = graft.split(project)
        >>> sorted(images["split"].unique())
        ['test', 'train', 'val']
    """
    import pandas as pd

    from graft.core.lock import project_lock
    from graft.core.params import load_params
    from graft.core.project import SPLITS
    from graft.core.timing import StageClock
    from graft.data.split_stage import split_images
    from graft.data.splits.split_tables import read_splits

    with project_lock(project):
        split_images(project, load_params(project.params_file), StageClock("split"))
        tables = read_splits(project, SPLITS)
    return pd.concat([table.assign(split=name) for name, table in tables.items()], ignore_index=True)[
        ["split", "path", "label", "sha256"]
    ]
