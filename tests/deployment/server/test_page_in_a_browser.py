"""The serving page in a real browser, over a stand-in for its server: photographs, answers, heat maps."""

import io
from pathlib import Path
from typing import Any

from browser import Seen, browser, look_at, needs_browser
from PIL import Image

from graft.deployment.server.serving_page import PAGE, PAGE_POLICY

ADDRESS = "http://graft.test/"
MODEL = {"model": "signs", "version": "3", "classes": ["stop", "go"], "kept": "nothing"}
ANSWER = {"predictions": [{"label": "stop", "probability": 0.9, "probabilities": {"stop": 0.9, "go": 0.1}}]}


def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(stream, "JPEG")
    return stream.getvalue()


def answer(route: Any) -> None:
    path = route.request.url.removeprefix(ADDRESS)
    if path == "":
        route.fulfill(body=PAGE, content_type="text/html", headers={"content-security-policy": PAGE_POLICY})
    elif path == "explain":
        route.fulfill(body=picture(), content_type="image/jpeg")
    else:
        route.fulfill(json=MODEL if path == "model" else ANSWER)


def drop_and_ask(page: Any, photograph: Path) -> None:
    page.set_input_files("#files", str(photograph))
    page.get_by_role("button", name="Show where the model looked").click()
    page.wait_for_selector("img.heat")
    assert page.locator("img.heat").get_attribute("alt").endswith("speaks for stop")
    assert page.evaluate("document.querySelector('img.heat').naturalWidth") == 40


@needs_browser
def test_a_click_shows_where_the_model_looked_and_the_page_stays_whole(tmp_path: Path) -> None:
    photograph = tmp_path / "stop.jpg"
    photograph.write_bytes(picture())
    with browser() as started:
        for size in ("desktop", "phone"):
            seen = look_at(started, ADDRESS, size, serve=answer, act=lambda page: drop_and_ask(page, photograph))
            asked = [one.removeprefix(ADDRESS) for one in seen.requests if not one.startswith("blob:")]
            assert set(asked) == {"model", "predict", "explain"}
            seen.requests.clear()
            assert seen == Seen()
