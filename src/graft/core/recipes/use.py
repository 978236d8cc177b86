"""Make a recipe the project's params.yaml, in a way that can be undone."""

import hashlib
from pathlib import Path

from graft.core.errors import GraftError
from graft.core.files import write_file
from graft.core.params.load_params import parse_text
from graft.core.project import Project
from graft.core.recipes import Recipe, with_recipe


def use_recipe(project: Project, recipe: Recipe) -> Path | None:
    """Put the recipe's sections into params.yaml, which is at any moment the old file or the new one.

    Returns:
        A copy of the params.yaml that was there, named by its content, so that no copy takes another's place;
        None where params.yaml is what the recipe makes of it already.

    Raises:
        GraftError: params.yaml cannot take the recipe, or its other sections are wrong; nothing was written then.
    """
    path = project.params_file
    try:
        before = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise GraftError(f"{path} is not text in UTF-8", "Restore it with git") from None
    after = with_recipe(before, recipe)
    parse_text(after, path.name)
    if after == before:
        return None
    digest = hashlib.sha256(before.encode()).hexdigest()[:8]
    backup = project.replaced / f"params-{digest}.yaml"
    write_file(backup, before)
    write_file(path, after)
    return backup
