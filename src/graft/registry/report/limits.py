"""State what a model must not be used for, as far as the facts of its run say it."""

from graft.core.wording import some
from graft.registry.report.model_facts import ModelFacts
from graft.registry.report.project_facts import ProjectFacts

# Classes named in a sentence.
_NAMED = 5
# Of a class: fewer test images say nothing of it, and a recall of less than this is not to be left alone with.
_LEAST_IMAGES, _LEAST_RECALL = 20, 0.8


def limits(project: ProjectFacts, model: ModelFacts) -> list[str]:
    """Return sentences on what the model is not for, the most general first."""
    classes, images = model.classes, len(model.labels)
    found = [
        f"Photographs of anything but {named(classes)}: {_of_others(model)}.",
        f"Photographs unlike those it was tested on ({images:,} of {project.dataset}): other cameras, places, seasons "
        "or ways of framing. The command graft monitor tells whether new photographs are alike.",
        "Decisions about people, their health, safety or rights, without an assessment made for that use.",
    ]
    rows = model.per_class
    weak = rows[(rows["support"] >= _LEAST_IMAGES) & (rows["recall_low"] < _LEAST_RECALL)].sort_values("recall")
    if len(weak):
        names = [f"{row['class']} ({row['recall']:.0%})" for row in weak.to_dict("records")]
        found.append(
            f"Finding {named(names)} without a person who looks: that less than {_LEAST_RECALL:.0%} of their images "
            "are recognised cannot be ruled out."
        )
    rare = rows[rows["support"] < _LEAST_IMAGES]
    if len(rare):
        found.append(
            f"Conclusions about {named(list(rare['class']))}: the test split has fewer than {_LEAST_IMAGES} images "
            f"of {'it' if len(rare) == 1 else 'each'}."
        )
    error = model.figures.get("calibration_error", 0.0)
    by_chance = model.figures.get("calibration_error_by_chance_high", 1.0)
    if error > by_chance:
        found.append(
            f"Taking its probabilities at their word: they are off by {error:.3f} on average, and chance alone "
            f"explains {by_chance:.3f}."
        )
    if not project.has_licence:
        found.append("Passing it on: the licence of the photographs is not stated in data.dvc.")
    for name, verdict in project.verdicts.items():
        if verdict.warnings:
            rules = named(sorted({warning.partition(":")[0] for warning in verdict.warnings}))
            found.append(f"What warnings about {name[0].lower()}{name[1:]} speak against ({rules}).")
    return found


def _of_others(model: ModelFacts) -> str:
    """Return what becomes of a photograph of no known class."""
    if share := model.decided.get("unknown"):
        return (
            f"it answers unknown where one is unlike its training images, and may so refuse {share:.0%} of those that "
            "it should answer, but of a new class that looks like these it mostly notices nothing"
        )
    return f"it answers with one of these {len(model.classes)} classes whatever it is shown, often with certainty"


def named(names: list[str]) -> str:
    """Return names as an enumeration, of which the first few are spelled out."""
    if len(names) > _NAMED:
        return some(names, _NAMED)
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
