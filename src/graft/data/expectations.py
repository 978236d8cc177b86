"""What the raw images must be like before anything is trained on them, checked with Great Expectations.

Three tables are checked: all images of the manifest, the readable ones, and the classes. The outcome is a
:class:`~graft.data.verdict.Verdict` of graft's own; no object of Great Expectations leaves this module.
"""

from __future__ import annotations

import html
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.data.data_docs import write_data_docs
from graft.data.manifest import read_class_folders, read_manifest
from graft.data.verdict import OFFENDERS_KEPT, Offender, Rule, Verdict
from graft.params.models import ValidateParams

if TYPE_CHECKING:
    import pandas as pd

# The tables under test.
IMAGES, READABLE, CLASSES = "images", "readable images", "classes"


@dataclass(frozen=True)
class _Check:
    """One rule before it is run: an expectation about one of the tables, and the words around it."""

    name: str
    table: str
    description: str
    expectation: Any  # of Great Expectations
    broken: str  # what is wrong with what breaks it, after a count: "images cannot be read"
    limit: str
    remedy: str
    found: str = "{}"  # an offender's value, as it reads behind its path


def check(manifest: Path, params: ValidateParams, verdict: Path, docs: Path) -> Verdict:
    """Runs every rule on a manifest; writes the verdict (JSON) and the Data Docs (HTML).

    The folder ``docs`` is replaced whole. Its ``index.html`` is the page to open, and ``offenders.csv`` lists
    every image that breaks a rule (columns rule, path, found). Equal input gives equal bytes. Broken rules do
    not raise here: see :func:`graft.data.verdict.raise_for`.

    Raises:
        GraftError: the manifest is missing or damaged.
    """
    images = read_manifest(manifest)
    outcomes, pages = _run(_tables(images, read_class_folders(manifest)), params)
    result = Verdict(
        passed=all(rule.passed for rule, _ in outcomes),
        images=len(images),
        unreadable=int((images["problem"] != "").sum()),
        rules=[rule for rule, _ in outcomes],
    )
    write_data_docs(docs, pages, result, {rule.name: offenders for rule, offenders in outcomes})
    verdict.parent.mkdir(parents=True, exist_ok=True)
    verdict.write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8", newline="\n")
    return result


def _tables(images: pd.DataFrame, class_folders: list[str]) -> dict[str, pd.DataFrame]:
    """The tables under test; ``path`` is what an offending row is called by."""
    import pandas as pd

    readable = images[images["problem"] == ""].reset_index(drop=True)
    width, height = readable["width"].astype("int64"), readable["height"].astype("int64")
    readable = readable.assign(shorter_side=width.where(width < height, height), pixels=width * height)
    labels = sorted({*class_folders, *images["label"]})
    for_training = readable.loc[readable["split"] != "test", "label"].value_counts()
    counts = [int(for_training.get(label, 0)) for label in labels]
    classes = pd.DataFrame(
        {"path": [f"{label}/" for label in labels], "label": labels, "for_training": counts}
    )
    # A class that only val or test knows has a rule of its own.
    unknown = set(readable["label"]) - _trainable(readable)
    classes = classes[~classes["label"].isin(unknown)].reset_index(drop=True)
    tables = {IMAGES: images, READABLE: readable, CLASSES: classes}
    return {name: _escaped(table) for name, table in tables.items()}


def _escaped(table: pd.DataFrame) -> pd.DataFrame:
    """With names fit for HTML: Great Expectations would put a file's name into its pages as it stands."""
    names = {
        column: table[column].map(html.escape) for column in ("path", "label", "problem") if column in table
    }
    return table.assign(**names)


def _trainable(readable: pd.DataFrame) -> set[str]:
    return set(readable.loc[readable["split"].isin(["", "train"]), "label"])


def _checks(tables: dict[str, pd.DataFrame], params: ValidateParams) -> list[_Check]:
    import great_expectations.expectations as gxe

    share, side, pixels = params.max_broken_share, params.min_side_px, params.max_pixels
    fewest = params.min_images_per_class
    return [
        _Check(
            name="has_images",
            table=IMAGES,
            description="There are images",
            expectation=gxe.ExpectTableRowCountToBeBetween(min_value=1),
            broken="images found",
            limit="at least 1",
            remedy="Bring images in with `graft data import FOLDER`",
        ),
        _Check(
            name="readable",
            table=IMAGES,
            description=f"Images can be read; at most {100 * share:.3g} % of them may be broken",
            expectation=gxe.ExpectColumnValuesToBeInSet(
                column="problem",
                value_set=[""],
                mostly=round(1 - share, 12),  # in binary, 1 - 0.7 is a hair above 0.3
            ),
            broken="images cannot be read",
            limit=f"at most {100 * share:.3g} %",
            remedy="Replace or remove the broken files, or raise validate.max_broken_share in params.yaml",
        ),
        _Check(
            name="labelled",
            table=IMAGES,
            description="Every image has a class",
            expectation=gxe.ExpectColumnValuesToNotBeNull(column="label"),
            broken="images have no class",
            limit="none",
            remedy="Put every image into a class folder",
        ),
        _Check(
            name="large_enough",
            table=READABLE,
            description=f"Every image is at least {side} pixels wide and high",
            expectation=gxe.ExpectColumnValuesToBeBetween(column="shorter_side", min_value=side),
            broken="images are too small",
            limit=f"at least {side} pixels wide and high",
            remedy="Remove images that are too small, or lower validate.min_side_px in params.yaml",
            found="{} pixels",
        ),
        _Check(
            name="not_too_large",
            table=READABLE,
            description=f"No image has more than {pixels} pixels",
            expectation=gxe.ExpectColumnValuesToBeBetween(column="pixels", max_value=pixels),
            broken="images are too large",
            limit=f"at most {pixels} pixels",
            remedy="Shrink images that are too large, or raise validate.max_pixels in params.yaml",
            found="{} pixels",
        ),
        _Check(
            name="hashed",
            table=READABLE,
            description="Every image is identified by the SHA-256 of its bytes",
            expectation=gxe.ExpectColumnValuesToMatchRegex(column="sha256", regex="^[0-9a-f]{64}$"),
            broken="images have no valid SHA-256",
            limit="64 hex digits each",
            remedy="Make the manifest anew with `dvc repro -f validate`",
            found="'{}'",
        ),
        _Check(
            name="several_classes",
            table=READABLE,
            description="There are at least two classes",
            expectation=gxe.ExpectColumnUniqueValueCountToBeBetween(column="label", min_value=2),
            broken="classes with readable images found",
            limit="at least 2",
            remedy="Bring images of another class, in a folder of its own",
        ),
        _Check(
            name="known_classes",
            table=READABLE,
            description="Every class of val and test has images in train",
            expectation=gxe.ExpectColumnValuesToBeInSet(
                column="label", value_set=sorted(_trainable(tables[READABLE]))
            ),
            broken="images are of a class that train has no image of",
            limit="none",
            remedy="Add images of the class to train, or take it out of val and test",
            found="class {}",
        ),
        _Check(
            name="enough_per_class",
            table=CLASSES,
            description=f"Every class has at least {fewest} readable images outside test",
            expectation=gxe.ExpectColumnValuesToBeBetween(column="for_training", min_value=fewest),
            broken="classes have too few images",
            limit=f"at least {fewest} readable images outside test",
            remedy="Add images, remove the class, or lower validate.min_images_per_class in params.yaml",
            found="{} images",
        ),
    ]


def _run(
    tables: dict[str, pd.DataFrame], params: ValidateParams
) -> tuple[list[tuple[Rule, list[Offender]]], dict[str, str]]:
    """Every rule's outcome with all its offenders, and the page that GX rendered for each table."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import; it would call home
    import great_expectations as gx
    from great_expectations.checkpoint import UpdateDataDocsAction
    from great_expectations.core.run_identifier import RunIdentifier

    checks = _checks(tables, params)
    outcomes: list[tuple[Rule, list[Offender]]] = []
    pages: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="graft-docs-") as site:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": site}
        context.add_data_docs_site("graft", {"class_name": "SiteBuilder", "store_backend": store})
        source = context.data_sources.add_pandas("manifest")
        for table, frame in tables.items():
            suite = gx.ExpectationSuite(name=table)
            for rule in (one for one in checks if one.table == table):
                rule.expectation.meta = {"rule": rule.name}
                rule.expectation.description = rule.description
                rule.expectation.severity = "critical"
                suite.add_expectation(rule.expectation)
            batch = source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
            definition = gx.ValidationDefinition(name=table, data=batch, suite=context.suites.add(suite))
            checkpoint = gx.Checkpoint(
                name=table,
                validation_definitions=[context.validation_definitions.add(definition)],
                actions=[UpdateDataDocsAction(name="data_docs", site_names=["graft"])],
                result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["path"]},
            )
            run = context.checkpoints.add(checkpoint).run(
                batch_parameters={"dataframe": frame},
                # A fixed time: equal data gives equal pages.
                run_id=RunIdentifier(run_name="validate", run_time=datetime(1970, 1, 1, tzinfo=UTC)),
            )
            (outcome,) = run.run_results.values()
            results = {
                result.expectation_config.meta["rule"]: result.to_json_dict() for result in outcome.results
            }
            outcomes += [_outcome(one, results[one.name]) for one in checks if one.table == table]
            (page,) = Path(site, "validations", table).rglob("*.html")
            pages[table] = page.read_text(encoding="utf-8")
    return outcomes, pages


def _outcome(rule: _Check, result: dict[str, Any]) -> tuple[Rule, list[Offender]]:
    for traceback in _exceptions(result["exception_info"]):
        # A rule that could not be run says nothing about the data: a bug, so with its traceback.
        raise RuntimeError(f"The rule {rule.name} could not be run:\n{traceback}")
    found = result["result"]
    column = result["expectation_config"]["kwargs"].get("column")
    offenders = [
        Offender(path=html.unescape(row["path"]), found=rule.found.format(html.unescape(str(row[column]))))
        for row in found.get("unexpected_index_list") or []
    ]
    offenders.sort(key=lambda offender: offender.path)
    if "observed_value" in found:
        observed = f"{found['observed_value']} {rule.broken}"
    else:
        count, total = found["unexpected_count"], found["element_count"]
        observed = f"{count} of {total} {rule.broken}" + (f", {100 * count / total:.3g} %" if count else "")
    outcome = Rule(
        name=rule.name,
        description=rule.description,
        passed=result["success"],
        observed=observed,
        limit=rule.limit,
        offender_count=len(offenders),
        offenders=offenders[:OFFENDERS_KEPT],
        remedy=rule.remedy,
    )
    return outcome, offenders


def _exceptions(info: dict[str, Any]) -> Iterator[str]:
    """Tracebacks in a result's exception info, which is one entry or one per metric."""
    entries = [info] if "raised_exception" in info else info.values()
    for entry in entries:
        if entry["raised_exception"]:
            yield str(entry["exception_traceback"])
