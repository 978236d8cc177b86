"""Results that show themselves in a notebook: tables as DataFrames, pictures inside the page."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from graft.analysis.inspect.inspect_report import Report
    from graft.core.project import Project
    from graft.evaluation.metrics import Evaluation
    from graft.registry.promotion.gate_verdict import GateVerdict

MISTAKES_SHOWN = 24  # of each model, the surest first
_PAGE_HEIGHT = 640  # pixels


@dataclass(frozen=True)
class Inspection:
    """The findings of :func:`graft.inspect`.

    Attributes:
        report: all of it, see :mod:`graft.analysis.inspect.inspect_report`; ``report.as_json()`` as plain values.
        page: the HTML file that shows it, with contact sheets.
    """

    report: Report
    page: Path

    @property
    def classes(self) -> pd.DataFrame:
        """Number of images: a row for each class; columns by official split (or images), and left_out."""
        import pandas as pd

        splits = self.report.splits
        rows = {
            one.label: {**{split or "images": one.images.get(split, 0) for split in splits}, "left_out": one.left_out}
            for one in self.report.classes
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")

    @property
    def label_errors(self) -> pd.DataFrame:
        """Likely label errors, the likeliest first: path, label, its probability, suggested, and that probability."""
        import pandas as pd

        rows = [
            (one.picture.path, one.picture.label, one.given_probability, one.suggested, one.suggested_probability)
            for one in self.report.labels.issues
        ]
        columns = ["path", "label", "probability", "suggested", "suggested_probability"]
        return pd.DataFrame(rows, columns=columns)

    def __repr__(self) -> str:
        copies, near = len(self.report.copies), len(self.report.near_duplicates)
        return (
            f"{self.report.dataset}: {self.report.images:,} images in {len(self.report.classes)} classes, "
            f"{copies} sets of copies, {near} of near-duplicates, {len(self.report.labels.issues)} likely "
            f"label errors; {self.page}"
        )

    def _repr_html_(self) -> str:
        page = self.page.read_text(encoding="utf-8")
        return f'<iframe srcdoc="{escape(page)}" width="100%" height="{_PAGE_HEIGHT}"></iframe>'


@dataclass(frozen=True)
class Training:
    """The result of :func:`graft.train`.

    Attributes:
        name: of the strategy or ensemble.
        classes: C names.
        evaluation: figures on validation.
        run_id: of its MLflow run.
        history: a row for each epoch, see :mod:`graft.training.fit`; None for an ensemble.
        best_epoch: the epoch that the weights are of, from 0.
    """

    name: str
    classes: list[str]
    evaluation: Evaluation = field(repr=False)
    run_id: str
    history: pd.DataFrame | None = field(default=None, repr=False)
    best_epoch: int = 0

    @property
    def figures(self) -> dict[str, float]:
        """Accuracy and macro_f1 (0..1) and log_loss (nats), on validation."""
        return self.evaluation.headline()

    @property
    def confusion(self) -> pd.DataFrame:
        """Counts on validation, int ``[C, C]``: a row for each actual class, a column for each predicted one."""
        import pandas as pd

        rows = pd.Index(self.classes, name="actual")
        return pd.DataFrame(self.evaluation.confusion, rows, pd.Index(self.classes, name="predicted"))

    def _repr_html_(self) -> str:
        from graft.evaluation.figures import confusion_picture, learning_curves_picture

        parts = [
            f"<h4>{escape(self.name)}, validation</h4>",
            _figures_as_html({self.name: self.figures}),
            _picture(confusion_picture, self.evaluation.confusion, self.classes, f"{self.name}, validation"),
        ]
        if self.history is not None and len(self.history) > 1:
            parts.append(_picture(learning_curves_picture, self.history, self.best_epoch, self.name))
        return "".join(parts)


@dataclass(frozen=True)
class TestResults:
    """The results of :func:`graft.evaluate` in ``artifacts/evaluate``, for some models."""

    __test__ = False  # to pytest

    project: Project = field(repr=False)
    names: list[str]

    @property
    def figures(self) -> pd.DataFrame:
        """A row for each model: accuracy, macro_f1 (0..1), log_loss (nats)."""
        import pandas as pd

        rows = {}
        for name in self.names:
            text = (self._folder / "metrics" / f"{name}.json").read_text(encoding="utf-8")
            rows[name] = json.loads(text)["test"]
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")

    def per_class(self, name: str) -> pd.DataFrame:
        """Return precision, recall, f1 (0..1) and support (images): a row for each class."""
        import pandas as pd

        table = pd.read_csv(self._folder / "per_class" / f"{name}.csv", dtype={"class": str}, keep_default_na=False)
        return table.set_index("class")

    def confusion(self, name: str) -> pd.DataFrame:
        """Return counts, int ``[C, C]``: a row for each actual class, a column for each predicted one."""
        import pandas as pd

        table, classes = self.predictions(name), list(self.per_class(name).index)
        counts = pd.crosstab(table["label"], table["predicted"]).reindex(index=classes, columns=classes, fill_value=0)
        return counts.rename_axis("actual", axis="index").rename_axis("predicted", axis="columns")

    def predictions(self, name: str) -> pd.DataFrame:
        """Return a row for each test image: sha256, label, predicted, and ``p_<class>`` for each class (0..1)."""
        import pandas as pd

        texts = {"sha256": str, "label": str, "predicted": str}
        return pd.read_csv(self._folder / "predictions" / f"{name}.csv", dtype=texts, keep_default_na=False)

    def mistakes(self, name: str) -> pd.DataFrame:
        """Return test images taken for another class, the surest first: path, label, predicted, probability."""
        from graft.data.splits.split_tables import read_splits

        paths = read_splits(self.project, ["test"])["test"][["sha256", "path"]].drop_duplicates("sha256")
        table = self.predictions(name).merge(paths, on="sha256", how="left")
        table["probability"] = table.filter(regex="^p_").max(axis=1)
        wrong = table[table["label"] != table["predicted"]].sort_values("probability", ascending=False)
        return wrong[["path", "label", "predicted", "probability"]].reset_index(drop=True)

    def __repr__(self) -> str:
        return self.figures.to_string(float_format="{:.4f}".format)

    def _repr_html_(self) -> str:
        parts = [_figures_as_html(self.figures.to_dict("index"))]
        for name in self.names:
            picture, mistakes = self._folder / "pictures" / f"{name}.png", self.mistakes(name)
            parts += [
                f"<h4>{escape(name)}, test</h4>",
                _image(picture) if picture.is_file() else "",
                _contact_sheet(self.project, mistakes[:MISTAKES_SHOWN], len(mistakes)),
            ]
        return "".join(parts)

    @property
    def _folder(self) -> Path:
        return self.project.artifacts("evaluate")


@dataclass(frozen=True)
class Promotion:
    """The result of :func:`graft.promote`: the champion's name and version in the registry, and the gate's verdict."""

    model: str
    version: str
    strategy: str
    verdict: GateVerdict = field(repr=False)

    @property
    def rules(self) -> pd.DataFrame:
        """A row for each of the gate's rules: passed (bool), severity, found and needed (words)."""
        import pandas as pd

        rows = {rule.name: (rule.passed, rule.severity, rule.observed, rule.needed) for rule in self.verdict.rules}
        columns = ["passed", "severity", "found", "needed"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("rule")

    def _repr_html_(self) -> str:
        heading = f"{escape(self.model)} version {self.version} ({escape(self.strategy)}) is champion"
        return f"<h4>{heading}</h4>{self.rules.to_html()}"


def _figures_as_html(figures: Any) -> str:
    import pandas as pd

    return pd.DataFrame.from_dict(figures, orient="index").to_html(float_format="{:.4f}".format)


def _picture(draw: Callable[..., bool], *arguments: Any) -> str:
    """Return a picture that is drawn into a file as HTML; nothing where it cannot be drawn."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        return _image(path) if draw(path, *arguments) else ""


def _image(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img style="max-width: 100%" src="data:image/png;base64,{data}">'


def _contact_sheet(project: Project, mistakes: pd.DataFrame, count: int) -> str:
    """Return photographs with what they are and what they are taken for, as HTML."""
    from graft.bundle.images import DEFAULT_MAX_PIXELS
    from graft.data.scan.thumbnails import make_thumbnails

    if not count:
        return "<p>Every test photograph is right.</p>"
    thumbnails = make_thumbnails(project.data, mistakes["path"], DEFAULT_MAX_PIXELS)
    cells = "".join(
        '<figure style="display: inline-block; width: 130px; margin: 4px; vertical-align: top; font-size: 11px">'
        f'<img style="max-width: 130px; max-height: 130px" alt="" src="{thumbnails.get(row["path"], "")}">'
        f"<figcaption>{escape(row['label'])}, taken for {escape(row['predicted'])} ({row['probability']:.2f})<br>"
        f"{escape(row['path'])}</figcaption></figure>"
        for row in mistakes.to_dict("records")
    )
    more = f", the surest {len(mistakes)}" if count > len(mistakes) else ""
    return f"<p>{count:,} mistakes{more}:</p><div>{cells}</div>"
