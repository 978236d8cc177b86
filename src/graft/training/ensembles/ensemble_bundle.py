"""Write an ensemble as a bundle: its members' bundles and their weights, see graft.bundle.model."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from graft.bundle.decisions import Known
from graft.bundle.model import MEMBERS
from graft.bundle.record import read_settings, write_settings


def write_ensemble_bundle(members: Mapping[str, tuple[float, Path]], folder: Path, known: Known | None = None) -> None:
    """Copy the members' bundles into one, so that it needs nothing outside its folder.

    Args:
        members: weight and bundle of each by name; weights sum to 1, classes are in the same order in all.
        folder: the new bundle; replaced where it exists.
        known: what the ensemble answers for images that it was not fitted to.
    """
    shutil.rmtree(folder, ignore_errors=True)
    members = _single_networks(members)
    settings = []
    for name, (_, bundle) in members.items():
        shutil.copytree(bundle, folder / MEMBERS / name)
        settings.append(read_settings(bundle))
    own = {
        "classes": settings[0]["classes"],
        "max_pixels": min(member["max_pixels"] for member in settings),
        "members": [{"name": name, "weight": weight} for name, (weight, _) in members.items()],
    }
    if known is not None:
        known.write(folder)
    write_settings(folder, own)


def _single_networks(members: Mapping[str, tuple[float, Path]]) -> dict[str, tuple[float, Path]]:
    """Return the members with those of members that are blends themselves in the place of these."""
    found: dict[str, tuple[float, Path]] = {}
    for name, (weight, bundle) in members.items():
        own = read_settings(bundle).get("members")
        if own is None:
            found[name] = (weight, bundle)
        else:
            found |= {f"{name}-{one['name']}": (weight * one["weight"], bundle / MEMBERS / one["name"]) for one in own}
    return found
