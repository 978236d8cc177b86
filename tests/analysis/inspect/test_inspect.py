"""The whole inspection on generated photographs, and the page it makes."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import needs_browser, require_good
from markupsafe import escape
from photographs import HOSTILE, add_oddities, manifest_rows, write_photographs
from tiny import tiny_params, write_hub_module

from graft.analysis.inspect import inspect_page as page_module
from graft.analysis.inspect.contact_sheets import contact_sheets
from graft.analysis.inspect.inspect_data import inspect_data
from graft.analysis.inspect.inspect_page import write_page
from graft.analysis.inspect.similar_pairs import exact_copies
from graft.core.errors import GraftError
from graft.data.scan.thumbnails import make_thumbnails
from graft.data.splits.grouping import joined

# Elements that HTML never closes.
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Collects what a page loads or leads to, and whether its elements are closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(found)
        if "href" in found:
            self.links.append(found["href"] or "")
        if "id" in found:
            self.ids.append(found["id"] or "")

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """(project, report, images) of photographs with something of everything in them, labels unchecked."""
    project = write_photographs(tmp_path_factory.mktemp("odd") / "project")
    add_oddities(project)
    return project, *inspect_data(project, tiny_params(), check_labels=False)


def paths(group):
    return {picture.path for picture in group.pictures}


def test_counts_by_class_and_split(odd):
    _, report, images = odd
    assert report.splits == ["train", "test"]
    counts = {entry.label: (entry.images, entry.left_out) for entry in report.classes}
    assert counts["red"] == ({"train": 16, "test": 5}, 1)
    assert counts["green"] == ({"train": 17, "test": 5}, 1)
    assert counts["empty <i>class"] == ({}, 0)
    assert report.images == len(images) == 64
    assert (report.width.least, report.width.median, report.width.most) == (48, 48, 52)
    assert report.formats == {"PNG": 64}
    assert [(file.path, file.reason) for file in report.left_out] == [
        ("train/blue/conflict.png", "two labels: the same bytes as train/red/001.png"),
        ("train/green/broken.png", "unreadable: not an image that can be read, but text"),
        ("train/red/001.png", "two labels: the same bytes as train/blue/conflict.png"),
    ]


def test_copies_worst_first(odd):
    _, report, _ = odd
    conflict, leak, same = report.copies
    assert paths(conflict) == {"train/red/001.png", "train/blue/conflict.png"}
    assert (conflict.conflicts, conflict.leaks) == (True, False)
    assert paths(leak) == {"test/green/003.png", "train/green/leak.png"}
    assert (leak.conflicts, leak.leaks) == (False, True)
    assert paths(same) == {"train/red/000.png", "train/red/same.png"}


def test_near_duplicates_are_more_than_copies(odd):
    _, report, _ = odd
    assert [paths(group) for group in report.near_duplicates] == [{"train/blue/000.png", "train/blue/near.png"}]


def test_dark_and_blurred_pictures_stand_out(odd):
    _, report, _ = odd
    assert [outlier.picture.path for outlier in report.darkest.outliers] == [f"train/red/{HOSTILE}"]
    blurred = {outlier.picture.path for outlier in report.blurriest.outliers}
    assert {"train/green/blurred.png", f"train/red/{HOSTILE}"} == blurred
    assert all(outlier.score < -3.5 for outlier in report.blurriest.outliers)


def test_the_report_is_json(odd):
    _, report, _ = odd
    found = json.loads(json.dumps(report.as_json()))
    assert found["copies"][0]["conflicts"] is True
    assert found["labels"]["skipped"] == "--no-labels was given"


def test_the_page_loads_nothing_and_escapes_names(odd, tmp_path):
    project, report, images = odd
    target = tmp_path / "page" / "index.html"
    size = write_page(target, report, images, project.data, 10**8)
    text = target.read_text(encoding="utf-8")
    assert size == target.stat().st_size < 2**20
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert len(reader.images) > 60
    assert all((image["src"] or "").startswith("data:image/") and image["alt"] for image in reader.images)
    assert not re.search(r"https?:|@import|url\(", text)
    assert not {"script", "link", "iframe", "b&", "i&"} & reader.tags
    assert HOSTILE not in text
    assert escape(HOSTILE) in text
    assert "empty &lt;i&gt;class" in text
    assert len(set(reader.ids)) == len(reader.ids)
    inside = {link[1:] for link in reader.links if link.startswith("#")}
    assert inside <= set(reader.ids)
    to_files = [link for link in reader.links if not link.startswith("#")]
    assert any("%3Cb%3E%26%22x%231%25.png" in link for link in to_files)
    assert all(link.startswith("../") for link in to_files)


def test_d8_what_is_across_splits_is_one_click_away(odd, tmp_path):
    project, report, images = odd
    leaking = replace(report, copies=[], near_duplicates=[g for g in report.copies if g.leaks])
    for shown, section in ((report, "copies"), (leaking, "near")):
        write_page(tmp_path / "page.html", shown, images, project.data, 10**8)
        text = (tmp_path / "page.html").read_text(encoding="utf-8")
        tile = re.search(r'href="#([a-z]+)"><b>1</b><span>pictures across splits', text)
        assert tile is not None
        assert tile[1] == section
        body = text[text.index(f'<section id="{section}"') :]
        assert "splits test, train" in body[: body.index("</section>")]


def test_d8_the_text_of_charts_can_be_read_on_a_phone(odd, tmp_path):
    project, report, images = odd
    write_page(tmp_path / "page.html", report, images, project.data, 10**8)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    size = float(re.search(r"svg \{[^}]*font: (\d+)px", text)[1])
    widths = [int(width) for width in re.findall(r'viewBox="0 0 (\d+)', text)]
    assert len(widths) == 3
    # Of a screen of 360 pixels, 16 on either side are the page's margin.
    assert min(size * min(1, (360 - 32) / width) for width in widths) >= 11


def test_an_equal_report_gives_an_equal_page(odd, tmp_path):
    project, report, images = odd
    for name in ("a", "b"):
        write_page(tmp_path / name, report, images, project.data, 10**8)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_cut_off_is_counted(odd, tmp_path, monkeypatch):
    project, report, images = odd
    monkeypatch.setattr(page_module, "MAX_GROUPS", 1)
    write_page(tmp_path / "page.html", report, images, project.data, 10**8)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "1 of 3 shown (groups, the worst first)." in text


def test_thumbnails_stop_at_their_budget(odd):
    project, _, images = odd
    everything = make_thumbnails(project.data, images["path"], 10**8)
    assert len(everything) == len(images)
    some = make_thumbnails(project.data, images["path"], 10**8, budget=20_000)
    assert 0 < len(some) < len(everything)
    assert sum(map(len, some.values())) <= 20_000


def test_a_picture_that_went_away_leaves_its_frame(odd, tmp_path):
    project, report, images = odd
    shutil.copytree(project.data, tmp_path / "data")
    (tmp_path / "data/train/red/000.png").unlink()
    write_page(tmp_path / "page.html", report, images, tmp_path / "data", 10**8)
    assert "not shown" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_contact_sheets_are_even_and_bounded(odd):
    _, _, images = odd
    sheets = contact_sheets(images, per_class=5)
    assert list(sheets) == ["blue", "green", "red"]
    blue = [picture.path for picture in sheets["blue"]]
    every = images.loc[images["label"] == "blue", "path"].tolist()
    assert (len(blue), blue[0], blue[-1]) == (5, every[0], every[-1])
    assert {len(sheet) for sheet in contact_sheets(images, per_class=24, in_all=6).values()} == {2}
    assert list(contact_sheets(images, in_all=2)) == ["blue", "green"]


def test_the_first_few_of_a_large_group_show_all_its_labels_and_splits():
    labels = ["a"] * 9 + ["b", "a"]
    images = manifest_rows(labels, ["same"] * 11).assign(split=["train"] * 10 + ["test"])
    first = exact_copies(images)[0].pictures[:3]
    assert [(picture.label, picture.split) for picture in first] == [("a", "train"), ("b", "train"), ("a", "test")]


def test_groupings_are_joined():
    first, second = np.array(["a", "a", "b", "c", "d"]), np.array([1, 2, 2, 3, 4])
    groups = joined(first, second)
    assert groups[0] == groups[1] == groups[2]
    assert len(set(groups.tolist())) == 3


def test_without_an_official_split_and_without_readable_images(tmp_path):
    project = write_photographs(tmp_path / "project", per_class=4)
    for label in ("red", "green", "blue"):
        (project.data / "train" / label).rename(project.data / label)
    shutil.rmtree(project.data / "train")
    shutil.rmtree(project.data / "test")
    report, images = inspect_data(project, tiny_params(), check_labels=False)
    assert report.splits == [""]
    write_page(tmp_path / "page.html", report, images, project.data, 10**8)
    for path in project.data.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(GraftError, match="no image that can be used .9 files"):
        inspect_data(project, tiny_params(), check_labels=False)


@pytest.mark.slow
def test_flipped_labels_are_found_in_photographs_with_a_real_backbone(tmp_path):
    project = write_photographs(tmp_path / "project")
    module = write_hub_module(tmp_path / "module")
    train, moved = project.data / "train", [("red", "blue"), ("green", "red"), ("blue", "green")]
    for label, other in moved:
        (train / label / "005.png").rename(train / other / f"was {label}.png")
    params = tiny_params(backbone={"source": "hub", "name": str(module)})
    report, _ = inspect_data(project, params)
    assert not report.labels.skipped
    found = {issue.picture.path: issue.suggested for issue in report.labels.issues}
    assert found == {f"train/{other}/was {label}.png": label for label, other in moved}


def test_labels_are_not_checked_unasked_where_it_takes_long(tmp_path):
    project = write_photographs(tmp_path / "project", per_class=4)
    report, _ = inspect_data(project, tiny_params(image_size=8000))
    assert "12 images of 8000 pixels a side take more than a minute" in report.labels.skipped
    assert "--labels" in report.labels.skipped


def test_a_backbone_that_cannot_be_had_is_no_reason_to_show_nothing(tmp_path):
    project = write_photographs(tmp_path / "project", per_class=4)
    report, _ = inspect_data(project, tiny_params(backbone={"source": "hub", "name": str(tmp_path / "none")}))
    assert "no Hub module" in report.labels.skipped


@needs_browser
def test_the_page_is_whole_in_a_browser(odd, tmp_path):
    project, report, images = odd
    write_page(tmp_path / "index.html", report, images, project.data, 10**8)
    require_good((tmp_path / "index.html").as_uri())
