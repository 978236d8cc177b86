"""The command `graft`: one sentence and an exit code for every problem, and help that answers at once.

Commands import what they need when they run: TensorFlow, MLflow, DVC and pandas take seconds.
"""

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from graft.cli import (
    advise,
    cache,
    compare,
    data,
    doctor,
    export,
    init,
    label,
    migrate,
    monitor,
    predict,
    promotion,
    prune,
    recipe,
    report,
    retrain,
    robustness,
    run,
    schedule,
    serve,
    slices,
    study,
    sweep,
    ui,
    visualize,
)
from graft.cli.app import Commands
from graft.core.credentials import without_credentials
from graft.core.environment import name_the_user, share_with_the_group
from graft.core.errors import EXIT_FAILURE, EXIT_INTERRUPTED, GraftError, first_line
from graft.core.git import leave_other_repository
from graft.core.project import find_project
from graft.core.restart import restart_without_harmful_settings


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"graft {version('graft')}")
        raise typer.Exit()


app = Commands()


@app.callback(help="graft: from a folder of photographs to a registered model, with the proof of how it was made.")
def graft(
    version: Annotated[
        bool, typer.Option("--version", help="Show graft's version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Prepare the process for any command; --version and --help end before that."""
    name_the_user()
    leave_other_repository()
    with contextlib.suppress(GraftError):  # no project, which the command itself says where it needs one
        share_with_the_group(find_project())


app.add_typer(data.app, name="data")
app.add_typer(recipe.app, name="recipe")
app.add_typer(cache.app, name="cache")
app.add_typer(schedule.app, name="schedule")
app.command("init", epilog="Example: graft init flowers --remote s3://photographs/flowers")(init.init)
app.add_typer(visualize.app, name="visualize")
app.command("run", epilog="Example: graft run", context_settings=run.PASS_ON)(run.run)
app.command("results", epilog="Example: graft results")(run.results)
app.command("report", epilog="Example: graft report --open")(report.report)
app.command("card", epilog="Example: graft card --out README.md")(report.card)
app.command("compare", epilog="Example: graft compare champion challenger")(compare.compare)
app.command("slices", epilog="Example: graft slices champion --table cameras.csv")(slices.slices)
app.command("robustness", epilog="Example: graft robustness frozen")(robustness.robustness)
app.command("cv", epilog="Example: graft cv frozen --seeds 5")(study.cv)
app.command("curve", epilog="Example: graft curve")(study.curve)
app.command("ablate", epilog="Example: graft ablate frozen")(study.ablate)
app.command("advise", epilog="Example: graft advise")(advise.advise)
app.command("sweep", epilog="Example: graft sweep --trials 40")(sweep.sweep)
app.command("gate", epilog="Example: graft gate")(promotion.gate)
app.command("promote", epilog='Example: graft promote --reason "more photographs of yellow"')(promotion.promote)
app.command("rollback", epilog='Example: graft rollback --reason "wrong at night"')(promotion.rollback)
app.command("history", epilog="Example: graft history")(promotion.history)
app.command("predict", epilog="Example: graft predict ~/Pictures 'more/**/*.jpg' --out labels.parquet")(predict.predict)
app.command("monitor", epilog="Example: graft monitor ~/Pictures/this-week")(monitor.monitor)
app.command("export", epilog="Example: graft export --format onnx --format tflite --out exported")(export.export)
app.command("retrain", epilog="Example: graft retrain")(retrain.retrain)
app.command("prune", epilog="Example: graft prune --yes")(prune.prune)
app.command("label", epilog="Example: graft label ~/Pictures/this-week")(label.label)
app.command("serve", epilog="Example: graft serve --port 8000")(serve.serve)
app.command("ui", epilog="Example: graft ui --mlflow-port 5001")(ui.ui)
app.command("upgrade", epilog="Example: graft upgrade --dry-run")(init.upgrade)
app.command("migrate", epilog="Example: graft migrate http://mlflow:5000 --database postgresql://graft@db/mlflow")(
    migrate.migrate
)
app.command("doctor", epilog="Example: graft doctor")(doctor.doctor)


class _Ended(BaseException):
    """Raised where a supervisor, `timeout` or a closed terminal ends a command: what it has started ends with it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)


def _raise_ended(number: int, _: FrameType | None) -> NoReturn:
    raise _Ended(number)


def main() -> None:
    """Run the `graft` command."""
    restart_without_harmful_settings()
    try:
        # Commands that serve have handlers of their own. What `nohup` ignores stays ignored.
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _raise_ended)
        app()
    except _Ended as ended:
        print(f"\ngraft: ended by {ended.signal.name}; what was done before is kept.", file=sys.stderr)
        sys.exit(128 + ended.signal)  # as shells report it
    except GraftError as error:
        print(f"graft: {error}", file=sys.stderr)
        sys.exit(EXIT_FAILURE)
    except KeyboardInterrupt:
        print("\ngraft: interrupted; what was done before is kept.", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # `graft results | head` closes our output early, which is no error; Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        # A full or read-only disk shows up anywhere; the system's own words name what and where.
        words = f"graft: {error.strerror or error}: {error.filename or 'see above'}."
        print(without_credentials(words), file=sys.stderr)
        sys.exit(EXIT_FAILURE)
    except Exception as error:
        if type(error).__name__ == "MlflowException":
            # Its server has gone away since it was asked first, or refuses.
            print(f"graft: MLflow: {first_line(error)}.", file=sys.stderr)
            sys.exit(EXIT_FAILURE)
        import traceback

        sys.stderr.write(without_credentials(traceback.format_exc()))
        sys.exit(EXIT_FAILURE)
