"""The gate's verdict: every rule with value and limit, and exactly what was judged. A file, and part of MLflow's run.

The file in the project is for reading and for git. What `graft promote` goes by is the copy in the candidate's run,
which everybody who shares the tracking server sees; a tag of the version holds its SHA-256.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from graft.core.errors import GraftError, first_line
from graft.core.params.gate_params import GateParams
from graft.core.params.sections import RunSeverity
from graft.core.project import Project
from graft.evaluation.comparison import Comparison
from graft.registry.promotion.standing import Standing
from graft.registry.store.read_registry import is_missing

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

VERDICT_FILE = "gate/verdict.json"
# On the version: whether it passed, the digest of the verdict's text, and when.
PASSED_TAG, DIGEST_TAG, TIME_TAG = "gate.passed", "gate.verdict_sha256", "gate.at"
STANDING_TAG = "gate.standing"  # the sentences of its standing


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GateRule(_Record):
    """The outcome of one rule.

    Attributes:
        name: short and stable; the key of its severity in params.yaml.
        severity: ``error`` where breaking it refuses the candidate, ``warn`` where it is only shown.
        description: what is expected, as a sentence.
        passed: whether it is so.
        value, limit: as numbers, where the rule has them.
        observed: what was found, in words.
        needed: what would be right, in words.
        remedy: what to do where the rule is broken.
    """

    name: str
    severity: RunSeverity
    description: str
    passed: bool
    value: float | None
    limit: float | None
    observed: str
    needed: str
    remedy: str


class ClassFigures(_Record):
    """Recall of one class, 0..1, and its images in the test split."""

    recall: float
    images: int


class Judged(_Record):
    """A registered model and what it did on the test images.

    Attributes:
        version, model_uri, run_id: in MLflow.
        digest: SHA-256 over its files, see :mod:`graft.registry.store.logged_models`.
        strategy, commit, data: as its run records; "" where unknown. ``commit`` was checked out when it was trained,
            maybe with changes; ``data`` is DVC's hash.
        accuracy, macro_f1, log_loss, calibration_error: see :mod:`graft.evaluation.metrics`.
        calibration_error_by_chance: what 95 % of models whose probabilities are exactly true stay within on as many
            images, see :func:`graft.evaluation.metrics.calibration_error_by_chance`.
        classes: figures of each class of the test split.
        latency_ms: median time of a single photograph, decoding included.
        size_mb: of its files, in units of a million bytes.
    """

    version: str
    model_uri: str
    run_id: str
    digest: str
    strategy: str
    commit: str
    data: str
    accuracy: float
    macro_f1: float
    log_loss: float
    calibration_error: float
    calibration_error_by_chance: float
    classes: dict[str, ClassFigures]
    latency_ms: float
    size_mb: float


class JudgedOn(_Record):
    """The test split: number of images and of groups of images that belong together, and SHA-256 of its table
    (:mod:`graft.data.splits.split_tables`).
    """

    images: int
    groups: int
    table_sha256: str


class GateVerdict(_Record):
    """The whole verdict.

    Attributes:
        model: name in the registry.
        passed: no rule of severity ``error`` is broken.
        at: when, UTC, ISO 8601.
        commit: that was checked out where the gate ran, or "".
        made_from: the commit that holds all the candidate was made from; "" where none does.
        candidate, champion: the models; the champion is None where there was none, or where it is the candidate.
        is_champion: the candidate is the champion itself.
        test: what they were judged on.
        comparison: the two on the same images.
        standing: of the candidate in the line of all that was judged.
        params: the section ``gate`` as it was.
        rules: the outcome of every rule that is not off.
        off: names of the others.
    """

    model: str
    passed: bool
    at: str
    commit: str
    made_from: str
    candidate: Judged
    champion: Judged | None
    is_champion: bool
    test: JudgedOn
    comparison: Comparison | None
    standing: Standing
    params: GateParams
    rules: list[GateRule]
    off: list[str]

    @property
    def broken(self) -> list[GateRule]:
        """The rules that refuse the candidate."""
        return [rule for rule in self.rules if not rule.passed and rule.severity == "error"]

    def text(self) -> str:
        """Return the verdict as JSON, ending with a line feed; equal for equal verdicts."""
        return self.model_dump_json(indent=2) + "\n"

    @property
    def sha256(self) -> str:
        """SHA-256 of :meth:`text` in UTF-8."""
        return hashlib.sha256(self.text().encode()).hexdigest()


def verdict_file(project: Project) -> Path:
    """Return the path of the verdict in the project."""
    return project.artifacts("gate") / Path(VERDICT_FILE).name


def publish_verdict(client: MlflowClient, verdict: GateVerdict) -> None:
    """Write a verdict into the candidate's run, and its summary into tags of the version for the registry's pages."""
    client.log_text(verdict.candidate.run_id, verdict.text(), VERDICT_FILE)
    tags = {PASSED_TAG: "yes" if verdict.passed else "no", DIGEST_TAG: verdict.sha256, TIME_TAG: verdict.at}
    tags[STANDING_TAG] = " ".join(verdict.standing.sentences())
    for name, value in tags.items():
        client.set_model_version_tag(verdict.model, verdict.candidate.version, name, value)


def fetch_verdict(client: MlflowClient, version: ModelVersion) -> GateVerdict | None:
    """Return the last verdict on a version, read from its run; None where the gate has not judged it.

    Raises:
        GraftError: the run has not the verdict that the version's tag names, or not as it was written, or another
            version of graft wrote it.
    """
    digest = version.tags.get(DIGEST_TAG)
    if digest is None:
        return None
    again = "Judge it again: graft gate"
    with tempfile.TemporaryDirectory() as folder:
        try:
            text = Path(client.download_artifacts(version.run_id, VERDICT_FILE, folder)).read_bytes()
        except Exception as error:
            what = f"The verdict on version {version.version} of '{version.name}'"
            if _is_absent(error):
                raise GraftError(f"{what} is not in its run {version.run_id}", again) from error
            raise GraftError(
                f"{what} cannot be read from MLflow: {first_line(error)}",
                "Check that its server and its store of artifacts can be reached",
            ) from error
    if hashlib.sha256(text).hexdigest() != digest:
        raise GraftError(
            f"The verdict in run {version.run_id} is not the one that version {version.version} of "
            f"'{version.name}' was judged by: its SHA-256 is not {digest}",
            again,
        )
    try:
        return GateVerdict.model_validate_json(text)
    except ValidationError:
        raise GraftError(
            f"The verdict on version {version.version} of '{version.name}' was written by another version of graft",
            again,
        ) from None


def _is_absent(error: Exception) -> bool:
    """Return whether there is no such file; each kind of artifact store says so in its own way."""
    from mlflow.exceptions import MlflowException
    from requests import HTTPError

    if isinstance(error, HTTPError):
        return error.response is not None and error.response.status_code == 404
    return isinstance(error, FileNotFoundError) or (isinstance(error, MlflowException) and is_missing(error))
