"""The report and the model card, of generated predictions: what they say, their size and their time."""

import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import needs_browser, require_good
from evaluated_projects import evaluated_project
from ruamel.yaml import YAML
from typer.testing import CliRunner

from graft.bundle.record import SETTINGS_FILE, sha256
from graft.cli.main import app
from graft.core.params import load_params
from graft.core.project import Project
from graft.evaluation.mistakes import find_mistakes
from graft.registry.report.limits import limits
from graft.registry.report.model_facts import model_facts, robustness_file
from graft.registry.report.project_facts import project_facts
from graft.registry.report.report_page import matrix
from graft.registry.report.report_pictures import BUDGET_BYTES
from graft.registry.report.write_report import card_of, write_report

CLASSES = ["paper", "rock", "<b>scissors</b>"]
LIMIT_SECONDS, LIMIT_BYTES = 60, 10_000_000


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return evaluated_project(tmp_path_factory.mktemp("report") / "project", CLASSES, 180)


@pytest.fixture(scope="module")
def page(evaluated: Project) -> Path:
    return write_report(evaluated, load_params(evaluated.params_file)).page


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def test_the_page_asks_for_nothing_and_holds_its_pictures(page: Path) -> None:
    tags = Tags(page.read_text("utf-8")).found
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags}
    pictures = [own["src"] or "" for tag, own in tags if tag == "img"]
    assert len(pictures) > 20
    assert all(source.startswith(("data:image/jpeg;base64,", "data:image/png;base64,")) for source in pictures)
    assert all((own["href"] or "").startswith("#") for tag, own in tags if tag == "a")
    anchors = {own["id"] for _, own in tags if "id" in own}
    assert {(own["href"] or "")[1:] for tag, own in tags if tag == "a"} <= anchors


def test_figures_on_the_page_are_those_of_the_files(evaluated: Project, page: Path) -> None:
    words = Tags(page.read_text("utf-8")).words
    figures = json.loads((evaluated.artifacts("evaluate") / "figures" / "frozen.json").read_text())
    assert f"{100 * figures['accuracy']:.1f} %" in words
    low, high = 100 * figures["accuracy_low"], 100 * figures["accuracy_high"]
    assert f"{100 * figures['accuracy']:.1f} % [{low:.1f}, {high:.1f}]" in words
    assert "<b>scissors</b>" in words  # a class's name is text
    assert "CC BY 4.0" in words
    assert "unreadable: 1" in words


def test_mistakes_are_shown_in_their_order(evaluated: Project) -> None:
    facts = model_facts(evaluated, load_params(evaluated.params_file), "fine_tune")
    facts = replace(facts, mistakes=find_mistakes(facts.labels, facts.probabilities, most=12))
    wrong = np.flatnonzero(facts.probabilities.argmax(axis=1) != facts.labels)
    assert facts.mistakes.wrong == len(wrong) > 12
    stated = facts.probabilities[facts.mistakes.costliest, facts.labels[facts.mistakes.costliest]]
    assert list(stated) == sorted(facts.probabilities[wrong, facts.labels[wrong]])[:12]
    assert set(facts.mistakes.certain).isdisjoint(facts.mistakes.costliest)
    assert set(facts.mistakes.certain) <= set(wrong)
    assert set(facts.mistakes.right).isdisjoint(wrong)
    assert sum(len(pair.images) for pair in facts.mistakes.pairs) == len(wrong)  # all six pairs are shown
    assert [len(pair.images) for pair in facts.mistakes.pairs] == sorted(
        (len(pair.images) for pair in facts.mistakes.pairs), reverse=True
    )


def test_the_matrix_counts_every_test_image_and_is_left_out_of_many_classes(evaluated: Project, page: Path) -> None:
    facts = model_facts(evaluated, load_params(evaluated.params_file))
    tags = Tags(page.read_text("utf-8"))
    assert sum(own.get("class") == "matrix" for _, own in tags.found) == 1
    counts = np.array([[count for count, _ in cells] for _, cells in matrix(facts)])
    figures = json.loads((evaluated.artifacts("evaluate") / "figures" / "frozen.json").read_text())
    assert counts.sum() == len(facts.labels) == 180
    assert counts.trace() / counts.sum() == pytest.approx(figures["accuracy"])
    assert matrix(replace(facts, classes=[f"c{number}" for number in range(11)])) == []


def test_limits_say_what_becomes_of_other_photographs(evaluated: Project) -> None:
    facts = model_facts(evaluated, load_params(evaluated.params_file))
    assert "whatever it is shown" in limits(project_facts(evaluated), facts)[0]
    refusing = replace(facts, decided={"unknown": 0.05})
    assert "it answers unknown" in limits(project_facts(evaluated), refusing)[0]


@needs_browser
def test_the_page_is_whole_in_a_browser(page: Path) -> None:
    require_good(page.as_uri())


def test_robustness_is_shown_of_the_model_that_it_was_measured_of(evaluated: Project) -> None:
    params = load_params(evaluated.params_file)
    bundle = evaluated.strategy("frozen") / "model"
    bundle.mkdir()
    (bundle / SETTINGS_FILE).write_text("{}")
    found = {"images": 30, "rows": [{"kind": ""}, *({"kind": "blur", "accuracy": 0.1 * k} for k in range(5))]}
    file = robustness_file(evaluated, sha256(bundle / SETTINGS_FILE))
    file.write_text(json.dumps(found))
    assert model_facts(evaluated, params).robustness == found
    assert model_facts(evaluated, params, "fine_tune").robustness is None


def test_the_card_has_the_metadata_of_hugging_face_and_the_same_figures(evaluated: Project) -> None:
    text = card_of(evaluated, load_params(evaluated.params_file))
    _, front, rest = text.split("---\n", 2)
    data = YAML(typ="safe").load(front)
    assert (data["license"], data["pipeline_tag"]) == ("cc-by-4.0", "image-classification")
    (result,) = data["model-index"][0]["results"]
    figures = json.loads((evaluated.artifacts("evaluate") / "figures" / "frozen.json").read_text())
    assert {one["type"]: one["value"] for one in result["metrics"]} == pytest.approx(
        {"accuracy": figures["accuracy"], "f1": figures["macro_f1"], "log_loss": figures["log_loss"]}, abs=1e-6
    )
    assert f"{100 * figures['accuracy']:.1f} %" in rest
    assert "\\<b\\>scissors" in rest
    assert not re.search(r"<b>", rest)


def test_a_licence_that_the_hub_does_not_know_is_named(tmp_path: Path) -> None:
    project = evaluated_project(tmp_path / "project", ["a", "b"], 24, licence="as our factory has it")
    front = card_of(project, load_params(project.params_file)).split("---\n")[1]
    data = YAML(typ="safe").load(front)
    assert (data["license"], data["license_name"]) == ("other", "as-our-factory-has-it")


def test_the_commands_write_to_where_they_are_told(
    evaluated: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(evaluated.root)
    out = tmp_path / "page.html"
    shown = CliRunner().invoke(app, ["report", "--strategy", "fine_tune", "--out", str(out)], catch_exceptions=False)
    assert "fine_tune" in shown.output
    assert "report on fine_tune" in out.read_text("utf-8")
    card = CliRunner().invoke(app, ["card", "--out", str(tmp_path / "README.md")], catch_exceptions=False)
    assert card.exit_code == 0
    assert (tmp_path / "README.md").read_text("utf-8").startswith("---\n")


def test_an_unknown_strategy_is_named(evaluated: Project) -> None:
    from graft.core.errors import GraftError

    with pytest.raises(GraftError, match="frozen"):
        model_facts(evaluated, load_params(evaluated.params_file), "frozn")


@pytest.mark.slow
def test_many_classes_and_test_images_are_a_small_page_soon(tmp_path: Path) -> None:
    """A fifth of the 20,000 images of which docs/report.md has the figures; what is shown has a limit of bytes."""
    classes = [f"class {number:03}" for number in range(200)]
    project = evaluated_project(tmp_path / "project", classes, 4000, 5, strategies=("frozen",))
    started = time.process_time()
    written = write_report(project, load_params(project.params_file))
    assert time.process_time() - started < LIMIT_SECONDS / 5
    assert BUDGET_BYTES < LIMIT_BYTES / 2 and written.size < LIMIT_BYTES
