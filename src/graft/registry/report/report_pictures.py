"""The pictures of a report: which test images are shown in which gallery, and what stands below each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from graft.core.errors import GraftError
from graft.core.html.html_page import ShownPicture
from graft.core.progress import progress_bar
from graft.core.project import Project
from graft.data.scan.manifest import read_manifest
from graft.data.scan.thumbnails import make_thumbnails
from graft.registry.report.model_facts import ModelFacts

# Of all thumbnails of a page, encoded: with as much again for heat maps, and the text, it stays below 10 MB.
BUDGET_BYTES = 3 * 2**20
# Of a kind, at most.
SUSPECTS, OF_A_PAIR = 12, 4


@dataclass(frozen=True)
class CaptionedImage:
    """A test image as the page shows it.

    Attributes:
        index: of the image in the table of predictions.
        picture: of it, and ``heat``, where the model looked; None where there is no such map.
        label, predicted: its class, and the one that the model takes it for, with ``confidence``, 0..1.
        note: a line more, or "".
        path: below data/; the hash where the file is gone.
    """

    index: int
    picture: ShownPicture
    heat: ShownPicture | None
    label: str
    predicted: str
    confidence: float
    note: str
    path: str


@dataclass(frozen=True)
class ReportGallery:
    """Images of one kind, with a heading and a sentence on what they are."""

    title: str
    words: str
    images: list[CaptionedImage]
    total: int


def shown_images(facts: ModelFacts) -> list[int]:
    """Return the indices of all images that a report shows, the most important first, each once."""
    found, mistakes = list(facts.mistakes.costliest), facts.mistakes
    found += [suspect.index for suspect in facts.suspects[:SUSPECTS]]
    found += [index for pair in mistakes.pairs for index in pair.images[:OF_A_PAIR]]
    found += [*mistakes.certain, *mistakes.right]
    return list(dict.fromkeys(int(index) for index in found))


def test_paths(project: Project, facts: ModelFacts) -> dict[int, str]:
    """Return the path below data/ of each image that is shown, by index; one that is gone has none."""
    if not project.manifest.is_file():
        return {}
    manifest = read_manifest(project.manifest, columns=["path", "sha256"])
    by_hash = dict(zip(manifest["sha256"], manifest["path"], strict=True))
    hashes = facts.images["sha256"]
    found = {index: by_hash.get(hashes.iloc[index]) for index in shown_images(facts)}
    return {index: str(path) for index, path in found.items() if path}


def heat_maps(project: Project, facts: ModelFacts, bundle: Path) -> tuple[dict[int, str], str]:
    """Return pictures of what speaks for the class that each shown image is taken for, and why there are none.

    Returns:
        Data URIs by index of the image, and ``""``; or none and a reason.
    """
    from graft.bundle.images import UnreadableImageError, decode
    from graft.networks.explain.heat_maps import HeatMaps
    from graft.networks.explain.heat_picture import heat_uri

    if not bundle.is_dir():
        return {}, f"the model is not on this machine ({bundle.name} is missing; `dvc pull` brings it)"
    try:
        network = HeatMaps(bundle)
    except GraftError as error:
        return {}, error.what
    found, used = {}, 0
    paths = test_paths(project, facts)
    with progress_bar("Heat maps", len(paths)) as advance:
        for index, path in paths.items():
            advance(1)
            try:
                data = (project.data / path).read_bytes()
                pixels = {size: decode(data, size, view=network.view)[None] for size in network.image_sizes}
                label = network.classes.index(str(facts.images["predicted"].iloc[index]))
                uri = heat_uri(data, network.of(pixels, [label])[0], network.view)
            except (OSError, UnreadableImageError):
                continue
            used += len(uri)
            if used > BUDGET_BYTES:
                break
            found[index] = uri
    return found, ""


def galleries(
    project: Project, facts: ModelFacts, max_pixels: int, heats: Mapping[int, str]
) -> tuple[list[ReportGallery], list[ReportGallery]]:
    """Return the galleries of mistakes and of others, and those of confused pairs.

    Args:
        max_pixels: larger pictures are not decoded.
        heats: data URIs of where the model looked, by index of the image.
    """
    paths, mistakes = test_paths(project, facts), facts.mistakes
    thumbnails = make_thumbnails(project.data, paths.values(), max_pixels, BUDGET_BYTES)

    def captioned(indices: Iterable[int], notes: Sequence[str] = ()) -> list[CaptionedImage]:
        found = []
        for place, index in enumerate(map(int, indices)):
            label, predicted = facts.images["label"].iloc[index], facts.images["predicted"].iloc[index]
            path = paths.get(index, "")
            alt = f"A test image of class {label}, taken for {predicted}"
            picture = ShownPicture(path, "", thumbnails.get(path, ""), alt)
            heat = ShownPicture(path, "", heats[index], f"What {predicted} was seen in") if index in heats else None
            confidence = float(facts.probabilities[index].max())
            note = notes[place] if notes else ""
            name = path or facts.images["sha256"].iloc[index][:12]
            found.append(CaptionedImage(index, picture, heat, label, predicted, confidence, note, name))
        return found

    stated = [f"its own class: {facts.probabilities[i, facts.labels[i]]:.3f}" for i in mistakes.costliest]
    suspects = facts.suspects[:SUSPECTS]
    found = [
        ReportGallery(
            "The costliest mistakes",
            "The least probability given to the right class: these raise the log loss most.",
            captioned(mistakes.costliest, stated),
            mistakes.wrong,
        ),
        ReportGallery(
            "The most certain of the other mistakes",
            "Wrong, and sure of it.",
            captioned(mistakes.certain),
            mistakes.wrong - len(mistakes.costliest),
        ),
        ReportGallery(
            "Labels that may be wrong",
            "Test images whose label the model contradicts, by confident learning (Northcutt, Jiang and Chuang 2021). "
            "It has seen none of them. Look before you change a label: figures on a test split that was mended where "
            "this model disagreed flatter this model.",
            captioned(
                [suspect.index for suspect in suspects],
                [f"as labelled: {suspect.given_probability:.3f}" for suspect in suspects],
            ),
            len(facts.suspects),
        ),
        ReportGallery(
            "Some that are right",
            "Drawn at random, to compare with.",
            captioned(mistakes.right),
            len(facts.labels) - mistakes.wrong,
        ),
    ]
    pairs = [
        ReportGallery(
            f"{facts.classes[pair.actual]} taken for {facts.classes[pair.predicted]}",
            f"{len(pair.images):,} of its images, {pair.share:.1%}",
            captioned(pair.images[:OF_A_PAIR]),
            len(pair.images),
        )
        for pair in mistakes.pairs
    ]
    return [one for one in found if one.images], pairs
