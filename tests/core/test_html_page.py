"""The pieces that pages are made of: whatever a name holds, it is text."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from graft.core.html import html_page
from graft.core.html.charts import BarLine, BarPart, BarRow, Drawing, class_bars
from graft.core.html.html_page import PageSection, ShownPicture, link_to, sections_by_key

HOSTILE = "<script>alert('1')</script>\"'&😀"
EVERYTHING = """{% import "core/html/macros.html" as kit %}
{% call kit.section(part) %}{{ name }}{% endcall %}{{ kit.cut(1, 2, name) }}{{ kit.picture(shown) }}
{{ kit.picture(bare) }}
{% call kit.figure(shown) %}{{ name }}{% endcall %}{{ kit.bars(name, rows, "compared") }}
{{ kit.legend([("recent", name, 3)], name) }}{{ kit.svg(drawing) }}"""


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.texts += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_hostile_names_are_text_in_every_piece() -> None:
    drawing = Drawing(10, 10, HOSTILE)
    drawing.add("text", "dot", text=HOSTILE, title=HOSTILE, x=1.0)
    html = (
        html_page._environment()
        .from_string(EVERYTHING)
        .render(
            name=HOSTILE,
            part=PageSection("key", HOSTILE),
            shown=ShownPicture(HOSTILE, link_to(f"../{HOSTILE}"), "data:image/png;base64,AA==", HOSTILE),
            bare=ShownPicture(HOSTILE, instead=HOSTILE),
            rows=[BarRow(HOSTILE, [BarLine([BarPart("recent", 0.5, HOSTILE)], HOSTILE)])],
            drawing=drawing,
        )
    )
    reader = Reader()
    reader.feed(html)
    assert "script" not in reader.tags
    assert not {name for name in reader.attributes if name.startswith("on") or "alert" in name}
    # Section, cut, picture and its words, figure, bars, legend and drawing: each shows it whole.
    assert sum(HOSTILE in text for text in reader.texts) >= 14


def test_a_name_that_a_template_lacks_is_an_error() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError, match="sections"):
        html_page.render("core/html/page.html", title="a page")


def test_sections_keep_their_order() -> None:
    parts = [PageSection("b", "B"), PageSection("a", "A")]
    assert list(sections_by_key(parts).values()) == parts


def test_there_is_one_style_sheet_and_no_page_is_made_of_strings() -> None:
    graft = Path(html_page.__file__).parents[2]
    assert [path.name for path in graft.rglob("*.css")] == ["page.css"]
    styled = {path.name for path in graft.rglob("*.html") if "<style" in path.read_text("utf-8")}
    assert styled == {"frame.html"}
    # The Python door shows pictures in a notebook, whose page is not graft's; content.py knows drawings by a tag.
    others = {graft / "bundle/content.py", *(graft / "api").glob("*.py")}
    files = [path for path in graft.rglob("*.py") if path not in others]
    tags = ("<div", "<td", "<li>", "<svg")
    assert [path.name for path in files if any(tag in path.read_text("utf-8") for tag in tags)] == []


def test_of_many_classes_the_largest_and_the_smallest_have_a_bar_of_their_splits() -> None:
    classes = {"few": {"train": 1}, "most": {"train": 6, "test": 2}, "many": {"train": 4}, "none": {"train": 0}}
    first, last = class_bars(classes, ("train", "val", "test"), 2)
    assert [first.name, last.name] == ["most", "none"]
    (line,) = first.lines
    assert line.words == "8"
    assert [(part.kind, part.share, part.words) for part in line.parts] == [
        ("split-train", 0.75, "most: 6 train"),
        ("split-test", 0.25, "most: 2 test"),
    ]
    assert last.lines[0].parts == []
