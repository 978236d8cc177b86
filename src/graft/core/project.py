"""The paths of a project on disk.

    <root>/data                raw images, owned by data.dvc
    <root>/artifacts/<stage>   outputs of the pipeline's stages, owned by DVC
    <home>/mlflow.db           MLflow's runs and registry
    <home>/mlartifacts         MLflow's models and pictures
    <home>/.graft/cache        what is made again where it is missing: may be deleted at any time
    <home>/.graft/state        what nothing brings back: records, logs, trainings under way, Prefect's home, locks

``root`` and ``home`` are the same folder, except under ``dvc exp run --queue`` or ``--temp``: DVC then runs
the stages in a copy below ``.dvc/tmp/exps``, and runs and caches must land in the project itself.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from graft.core.errors import GraftError
from graft.core.outside import own_path

GRAFT_FOLDER = ".graft"
# A relative path to a database or a folder: no colon, no slash in front, and not the name that MLflow knows.
_LOCAL_STORE = re.compile(r"(sqlite(?:\+\w+)?:///|file:|)((?!databricks$)[^:/][^:]*)")
SPLITS = ("train", "val", "test")
# What commands that are told where to write are not to write into: photographs, settings, records, outputs of stages.
_KEPT = (
    *("data", "data.dvc", "dvc.yaml", "dvc.lock", "params.yaml", "prefect.yaml", "graft.version", "pipelines"),
    *(".git", ".dvc", GRAFT_FOLDER, "mlartifacts", "mlflow.db"),
    *(f"artifacts/{stage}" for stage in ("validate", "split", "choose", "train", "ensemble", "evaluate", "register")),
)


@dataclass(frozen=True)
class Project:
    """The paths of one project; see the module's text for what lies where."""

    root: Path

    @property
    def home(self) -> Path:
        """The project's own folder, also when DVC runs an experiment in a temporary copy of it."""
        parts = self.root.parts
        for i in range(len(parts) - 2):
            if parts[i : i + 3] == (".dvc", "tmp", "exps"):
                top, below = Path(*parts[:i]), Path(*parts[i + 4 :])
                # A copy of a repository in which the project is a subfolder, but for DVC's folder, which is its own.
                return top / below if (top / below / "dvc.yaml").is_file() else top
        return self.root

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def params_file(self) -> Path:
        return self.root / "params.yaml"

    @property
    def state(self) -> Path:
        """The folder of what cannot be made again; not to be deleted while a command is at work, since locks lie here
        too.
        """
        return self.home / GRAFT_FOLDER / "state"

    @property
    def scratch(self) -> Path:
        """Temporary files: on the project's own disk, since the system's folder for them may be memory."""
        return self.state / "scratch"

    @property
    def own_cache(self) -> Path:
        """Caches that belong to this project alone; may be deleted at any time."""
        return self.home / GRAFT_FOLDER / "cache"

    @property
    def cache(self) -> Path:
        """Downloads, weights and features; ``GRAFT_CACHE`` names another folder, such as one that projects share.

        A relative one begins at the project, wherever a command or a stage runs.
        """
        override = os.environ.get("GRAFT_CACHE")
        return self.home / own_path(override) if override else self.own_cache

    @property
    def features(self) -> Path:
        """The feature store: what frozen networks made of images; may be deleted at any time."""
        return self.cache / "features"

    @property
    def tracking_uri(self) -> str:
        """MLflow's store; ``MLFLOW_TRACKING_URI`` wins where it is set, as everywhere in MLflow.

        A relative path in that begins at the project, wherever a command or a stage runs.
        """
        uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
        local = _LOCAL_STORE.fullmatch(uri)
        return f"{local[1]}{self.home / own_path(local[2])}" if local else uri

    @property
    def tracking_is_own(self) -> bool:
        """Whether MLflow's store is the project's own database, with its files beside it."""
        return self.tracking_uri == f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def tracking_is_served(self) -> bool:
        """Whether MLflow's store is behind a server, which has pages of its own, and not a database or a folder."""
        return self.tracking_uri.split(":", 1)[0] in ("http", "https", "databricks")

    @property
    def mlflow_artifacts(self) -> Path:
        return self.home / "mlartifacts"

    @property
    def manifest(self) -> Path:
        return self.artifacts("validate") / "manifest.parquet"

    @property
    def scan_memory(self) -> Path:
        """The memory of earlier scans of data/."""
        return self.own_cache / "scan.sqlite"

    @property
    def timings(self) -> Path:
        """The folder of each stage's timings in its last run."""
        return self.own_cache / "timings"

    @property
    def inspection(self) -> Path:
        """The page of `graft data inspect`, and the manifest that it is made of."""
        return self.own_cache / "inspect"

    @property
    def fetched_models(self) -> Path:
        """Models fetched from MLflow, by their hash."""
        return self.own_cache / "models"

    @property
    def checkpoints(self) -> Path:
        """Trainings under way: an interrupted one carries on from here."""
        return self.state / "checkpoints"

    @property
    def sweeps(self) -> Path:
        """The trials of sweeps, which later sweeps add to."""
        return self.state / "sweeps"

    @property
    def replaced(self) -> Path:
        """Copies of what commands replaced: pointers to data, params.yaml."""
        return self.state / "replaced"

    @property
    def staging(self) -> Path:
        """Images on their way into data/, and those they replace until they are there."""
        return self.state / "staging"

    @property
    def prefect(self) -> Path:
        """Prefect's home, of the user's own: its database, the server's record and log."""
        return _own(self.state / "prefect")

    @property
    def private(self) -> Path:
        """The folder of the user's own secret."""
        return _own(self.state / "private")

    @property
    def mlflow_log(self) -> Path:
        """The log of MLflow's server that `graft ui` starts."""
        return self.state / "mlflow-server.log"

    @property
    def drift_reports(self) -> Path:
        """The pages of `graft monitor` and of retrainings that compared predictions."""
        return self.state / "monitor"

    @property
    def prediction_log(self) -> Path:
        """The log of predictions, where params.yaml asks for one."""
        return self.state / "predictions"

    @property
    def retraining(self) -> Path:
        """The folder of retraining's own records."""
        return self.state / "retrain"

    @property
    def near_duplicates(self) -> Path:
        """The images that have a near-duplicate, and their groups."""
        return self.artifacts("validate") / "near_duplicates.csv"

    def artifacts(self, stage: str) -> Path:
        """Return the folder of one stage's outputs."""
        return self.root / "artifacts" / stage

    def split_table(self, split: str) -> Path:
        """Return the path of one split's table: sha256 and label of each image."""
        return self.artifacts("split") / f"{split}.csv"

    @property
    def training_groups(self) -> Path:
        """The table of which images of train and val belong together."""
        return self.artifacts("split") / "training_groups.csv"

    @property
    def test_groups(self) -> Path:
        """The table of which images of test belong together."""
        return self.artifacts("split") / "test_groups.csv"

    @property
    def split_memory(self) -> Path:
        """The assignments that splits fixed for good; the one output that the next run of its stage reads."""
        return self.artifacts("split") / "settled.json"

    @property
    def settled_groups(self) -> Path:
        """The names that groups of near-duplicates have for good; read by the next run, as ``split_memory``."""
        return self.artifacts("split") / "settled_groups.csv"

    def strategy(self, name: str) -> Path:
        """Return the folder that training one strategy fills: model, history, validation predictions."""
        return self.artifacts("train") / name

    def ensemble(self, name: str) -> Path:
        """Return the folder that making one ensemble fills; built like a strategy's."""
        return self.artifacts("ensemble") / name


def _own(folder: Path) -> Path:
    """Return a folder that one account alone may enter; another one where it is another user's of the same project."""
    try:
        is_another = folder.stat().st_uid != os.getuid() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK)
    except OSError:
        return folder
    return folder.with_name(f"{folder.name}-{os.getuid()}") if is_another else folder


def require_outside_of_project(path: Path) -> None:
    """Refuse a path to write to that lies in what the project around it keeps: data/, a setting, a stage's output.

    Raises:
        GraftError: it does.
    """
    # Links on the way are followed, but not the last: it is what would be replaced.
    place = path.parent.resolve() / path.name
    for folder in place.parents:
        if (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file():
            for name in _KEPT:
                if place.is_relative_to(folder / name):
                    raise GraftError(f"{path} is no place to write to: {name} is the project's own", "Name another")
            return


def find_project(start: Path | None = None) -> Project:
    """Return the project that ``start`` (default: the working directory) lies in.

    Raises:
        GraftError: no folder from there up to the root holds both a params.yaml and a dvc.yaml.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file():
            return Project(folder)
    raise GraftError(
        f"No graft project in {here} or above it: a project holds params.yaml and dvc.yaml",
        "Change into the project's folder and run the command again",
    )
