"""The page of a comparison, on made-up samples: it says when and of how many, and can be read on a telephone."""

import re
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from browser import needs_browser, require_good

from graft.core.params.monitor_params import MonitorParams
from graft.deployment.monitor.checks import run_checks
from graft.deployment.monitor.drift_page import LATEST, in_words, write_page
from graft.deployment.monitor.log_samples import FIGURES, ModelPredictions, Sample
from graft.deployment.monitor.monitor_predictions import DriftReport

AT = datetime(2026, 3, 1, 9, 5, tzinfo=UTC)
# What a telephone of 390 pixels leaves beside the page's margins.
NARROW = 342


def sample(images: int, classes: int, **more: Any) -> Sample:
    random = np.random.default_rng(images)
    figures = {name: random.uniform(0, 1, images) for name in FIGURES}
    labels = np.array([f"<b>class & {number}" for number in random.integers(0, classes, images)])
    predictions = ModelPredictions(labels, random.uniform(0, 1, images), "images")
    return Sample(figures, images, 0, predictions=predictions, **more)


def report(recent: Sample, at: datetime = AT) -> DriftReport:
    reference, params = sample(60, 3), MonitorParams(permutations=800)
    checks, skipped = run_checks(reference, recent, params)
    return DriftReport("signs", "a log", at, "m", "b", 0.01, checks, skipped, reference, recent, len(recent) < 30)


def page(folder: Path, recent: Sample) -> str:
    return write_page(folder, report(recent)).read_text(encoding="utf-8")


def test_d8_text_in_charts_keeps_its_size_on_a_telephone(tmp_path: Path) -> None:
    html = page(tmp_path, sample(40, 3))
    (font,) = re.findall(r"\bsvg \{[^}]*font: (\d+)px", html)
    widths = [int(width) for width in re.findall(r'viewBox="0 0 (\d+) ', html)]
    assert len(widths) == 5
    assert all(int(font) * min(1, NARROW / width) >= 12 for width in widths)


def test_d8_a_row_of_the_table_names_its_cells_where_it_stands_alone(tmp_path: Path) -> None:
    html = page(tmp_path, sample(40, 3))
    titles = re.findall(r"<th[^>]*>([^<]+)</th>", html)
    (first, *_) = re.findall(r"<tr>(<td.*?)</tr>", html)
    assert re.findall(r'data-title="([^"]+)"', first) == titles
    assert len(titles) <= 6  # as many as fit beside the page's contents at 1,280 pixels


def test_d8_the_page_is_dated_and_none_overwrites_another(tmp_path: Path) -> None:
    for days in range(3):
        logged = (AT + timedelta(days=days - 1), AT + timedelta(days=days))
        write_page(tmp_path, report(sample(40, 3, period=logged), logged[1]))
    pages = sorted(path.name for path in tmp_path.iterdir())
    assert pages == [*(f"2026-03-0{day}T090500-000000.html" for day in (1, 2, 3)), LATEST]
    html = (tmp_path / LATEST).read_text(encoding="utf-8")
    assert html == (tmp_path / pages[2]).read_text(encoding="utf-8")
    assert re.findall(r"<time [^>]*>([^<]+)</time>", html) == [
        *("03 March 2026, 09:05 UTC", "02 March 2026, 09:05 UTC", "03 March 2026, 09:05 UTC")
    ]
    assert re.findall(r'href="(2026[^"]+)"', html) == [pages[1], pages[0]]


def test_a10_photographs_on_the_page_are_their_owners(tmp_path: Path) -> None:
    page(tmp_path / "pages", sample(40, 3))
    assert stat.S_IMODE((tmp_path / "pages").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "pages").iterdir()} == {0o600}


def test_names_are_escaped_and_many_classes_are_bounded(tmp_path: Path) -> None:
    html = page(tmp_path, sample(3000, 1000))
    assert "<b>class &" not in html
    assert html.count("<li><b title=") == 20
    assert len(html) < 60_000


def test_c8_a_camera_that_is_stuck_is_said_with_all_its_images(tmp_path: Path) -> None:
    html = page(tmp_path, Sample({name: np.ones(1) for name in FIGURES}, 5000, 40, 4959))
    assert "of 4,960 recent images, all but 1 nearly repeat another one" in html
    assert "40 more cannot be read" in html
    assert "Not compared: images, 1 of 4,960 readable images are independent of each other" in html


def test_what_deliveries_have_shown_of_the_champion_is_said(tmp_path: Path) -> None:
    found = replace(report(sample(40, 3)), champion="The champion is worse than it was said to be.")
    assert in_words(found).endswith("The champion is worse than it was said to be.")
    assert found.as_record()["champion"] == found.champion
    assert found.champion in write_page(tmp_path, found).read_text(encoding="utf-8")


@needs_browser
def test_the_page_is_whole_in_a_browser(tmp_path: Path) -> None:
    require_good(write_page(tmp_path, report(sample(40, 3))).as_uri())
