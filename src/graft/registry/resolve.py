"""Resolve which model is meant: from what the user typed, or the registry's aliases, to a bundle on this disk."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graft.bundle.record import SETTINGS_FILE, read_settings, sha256
from graft.core.errors import GraftError, first_line
from graft.core.outside import own_path, path_below, require_sha256
from graft.core.progress import console
from graft.core.project import Project
from graft.registry.aliases import CHALLENGER, CHAMPION, registered_name
from graft.registry.store.read_registry import StoredModel, read_registry


@dataclass(frozen=True)
class ResolvedModel:
    """A model that is on this disk.

    Attributes:
        bundle: its folder, see :mod:`graft.bundle.model`; to be read only.
        name: in the registry, or what its folder is called.
        version: in the registry, ``""`` for a model that is not from there.
        alias: by which it was asked for, ``""`` where it was named otherwise.
        digest: SHA-256 of its model.json, hexadecimal, which names its content.
    """

    bundle: Path
    name: str
    version: str
    alias: str
    digest: str

    def __str__(self) -> str:
        text = f"{self.name} version {self.version}" if self.version else self.name
        return f"{text} ({self.alias})" if self.alias else text


def resolve_model(project: Project, text: str | None = None) -> ResolvedModel:
    """Return the model that ``text`` names; it may be downloaded for that.

    Args:
        text: a bundle's folder, or one that holds a bundle as ``model``; or a URI of MLflow's, such as
            ``models:/NAME@champion``, ``models:/NAME/3`` or ``models:/m-<id>``. None is the champion of the
            project's data set; where there is none yet, its challenger, with a notice.

    Raises:
        GraftError: there is no such model, or it is none of graft's.
    """
    if text is None:
        return _from_registry(project)
    if text.startswith("models:/"):
        return _stored(project, *stored_model(project, text))
    folder = own_path(text)
    for bundle in (folder, folder / "model"):
        if (bundle / SETTINGS_FILE).is_file():
            bundle = bundle.resolve()
            parent = bundle.parent
            name = parent.name if bundle.name == "model" else bundle.name
            return ResolvedModel(bundle, name, "", "", _digest(bundle))
    raise GraftError(
        f"There is no model in {text}: no {SETTINGS_FILE} in it, or in a folder model below it",
        "Name a folder such as artifacts/train/<strategy>, or a registered model: models:/NAME@champion",
    )


def resolve_trained(project: Project, text: str | None = None) -> ResolvedModel:
    """Return the model that a trained strategy's or ensemble's name means, or what :func:`resolve_model` takes."""
    if text is not None and "/" not in text:
        for folder in (project.strategy(text), project.ensemble(text)):
            if (folder / "model").is_dir():
                return resolve_model(project, str(folder))
    return resolve_model(project, text)


def wanted_decisions(project: Project, model: ResolvedModel) -> dict[str, Any] | None:
    """Return what params.yaml wants decided of a model; None for one of the registry, whose decisions it brings.

    Raises:
        GraftError: params.yaml names a class that the model does not have.
    """
    from graft.core.params import load_params

    if model.version or not project.params_file.is_file():
        return None
    text = project.params_file.read_text(encoding="utf-8")
    if "decide:" not in text:  # of a graft before there was any
        return None
    decide = load_params(project.params_file).decide
    decide.require_classes(read_settings(model.bundle)["classes"])
    return decide.wanted


def model_name(project: Project) -> str:
    """Return the name that the project registers its models under."""
    from graft.core.params import load_params

    return registered_name(project, load_params(project.params_file).register_)


def _from_registry(project: Project) -> ResolvedModel:
    name = model_name(project)
    registry = read_registry(project)
    found = registry.model(name)
    aliases = found.aliases if found else {}
    for alias in (CHAMPION, CHALLENGER):
        if alias in aliases:
            if alias == CHALLENGER:
                console.print(f"{name} has no champion yet: this is its challenger", soft_wrap=True)
            stored = registry.version(name, aliases[alias])
            if stored is not None:
                return _stored(project, stored, alias)
    raise GraftError(
        f"MLflow's registry has no champion and no challenger of '{name}'",
        "Train and register one: graft run; or name a model: --model artifacts/train/<strategy>",
    )


def stored_model(project: Project, uri: str) -> tuple[StoredModel, str]:
    """Return the model that a URI of MLflow's names, and the alias in it, ``""`` without one.

    Raises:
        GraftError: MLflow has no such model.
    """
    registry = read_registry(project)
    rest = uri.removeprefix("models:/")
    name, at, alias = rest.rpartition("@")
    number: str | None
    if at:
        model = registry.model(name)
        number = model.aliases.get(alias) if model else None
    else:
        name, _, number = rest.rpartition("/")
    stored = None
    if name and number:
        stored = registry.version(name, number)
    elif not name:
        stored = registry.logged_model(rest)
    if stored is None:
        raise GraftError(
            f"MLflow has no model {uri}",
            "Write models:/NAME@ALIAS, models:/NAME/VERSION or models:/m-<id>; `graft ui` shows what there is",
        )
    return stored, alias if at else ""


def _stored(project: Project, stored: StoredModel, alias: str) -> ResolvedModel:
    """Return a stored model, its files compared with the hash in its tags before anything is made of them."""
    from graft.registry.store.logged_models import HASH_TAG, bundle_path

    named = ResolvedModel(Path(), stored.name, stored.version, alias, "")
    expected = stored.tags.get(HASH_TAG)
    if not expected:
        raise GraftError(
            f"MLflow keeps no hash of {named}: it was not logged by graft, or by an older one",
            "Train and register it again: dvc repro",
        )
    expected = require_sha256(expected, f"The tag {HASH_TAG} of {named}")
    try:
        folder, found = _fetch(stored.location, expected, project.fetched_models)
        path = bundle_path(folder) if found == expected else ""
    except Exception as error:
        # Every kind of store raises its own.
        raise GraftError(
            f"The files of {named} cannot be read at {stored.location}: {first_line(error)}",
            "Check that the store is there and complete",
        ) from error
    if found != expected:
        raise GraftError(
            f"The files of {named} at {stored.location} are not those that were logged: their hash is "
            f"{found[:12]}..., and MLflow's tag {HASH_TAG} says {expected[:12]}...",
            "Find out who changed them; train and register the model again: dvc repro --force --downstream train",
        )
    bundle = path_below(folder, path, f"The MLmodel file of {named}")
    return replace(named, bundle=bundle, digest=_digest(bundle))


def _fetch(location: str, digest: str, cache: Path) -> tuple[Path, str]:
    """Return the folder of the model's files on this disk and the hash of what was found; download them at most once.

    ``digest`` is a SHA-256, and so a plain name below ``cache``. Only files of this hash are cached there; a copy
    that was damaged since is moved aside for a whole one.
    """
    from graft.registry.store.logged_models import model_files, model_hash

    cached = cache / digest
    if cached.is_dir() and model_hash(cached) == digest:
        return cached, digest
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        folder = model_files(location, Path(temporary) / "model")
        found = model_hash(folder)
        if not folder.is_relative_to(temporary):
            return folder, found
        if found == digest:
            try:
                folder.replace(cached)
            except OSError:
                # Something is there: another process was quicker, or it is the copy that was damaged.
                if not cached.is_dir() or model_hash(cached) != digest:
                    cached.rename(Path(temporary) / "damaged")
                    folder.replace(cached)
    return cached, found


def _digest(bundle: Path) -> str:
    return sha256(bundle / SETTINGS_FILE)
