"""Write the report on what is registered, in a process of its own, as the last thing of `graft run`.

    python -m graft.automation.run_report

The pictures need TensorFlow and Matplotlib, which :mod:`graft.automation.warm` has imported for the stages already.
"""

from graft.automation.warm.client import hand_over


def main() -> None:
    """Write the page, and say where it is, or why there is none."""
    from graft.core.environment import configure
    from graft.core.errors import GraftError
    from graft.core.params import load_params
    from graft.core.progress import console
    from graft.core.project import find_project
    from graft.registry.report.write_report import write_report

    project = find_project()
    configure(project)
    try:
        written = write_report(project, load_params(project.params_file))
        words = f"Report: {written.page.relative_to(project.root)} ({written.size / 1e6:.1f} MB)"
    except GraftError as error:  # of stages that were named, all is well without one
        words = f"No report: {error}"
    console.print(words, soft_wrap=True, markup=False)


if __name__ == "__main__":
    hand_over()
    main()
