"""`graft advise`: what suits the images, measured within a minute or two; nothing is trained."""

from graft.cli.app import opened
from graft.cli.options import JsonOption
from graft.cli.output import messages_aside, say
from graft.core.progress import console


def advise(as_json: JsonOption = False) -> None:
    """Measure frozen backbones, sizes and mirror images on train and val, and say what that speaks for.

    It is stage choose by itself: data and split are those of the last run, nothing is trained, and no test image is
    looked at. How long, and among what, stands under `choose` in params.yaml; the page is artifacts/choose/choose.html.
    """
    import json

    from graft.core.timing import StageClock
    from graft.networks.engines.tensorflow_import import import_tensorflow

    project, params = opened()
    with messages_aside(as_json):
        import_tensorflow()
        from graft.analysis.choose.choose_project import choose_for_project
        from graft.analysis.choose.write_choice import PAGE_FILE, record

        choice = choose_for_project(project, params, StageClock("choose"))
    if as_json:
        print(json.dumps(record(choice), indent=1))
        return
    if choice is None:
        console.print("No strategy in train.run leaves a setting to auto: there is nothing to measure.")
        return
    for step in choice.selection.steps:
        say(f"{step}.")
    names = ", ".join(choice.measured[index].candidate.name for index in choice.selection.weights)
    console.print(
        f"Chosen: {names}: {choice.selection.accuracy:.1%} right out of fold. "
        f"Why: {project.artifacts('choose') / PAGE_FILE}",
        soft_wrap=True,
        markup=False,
    )
