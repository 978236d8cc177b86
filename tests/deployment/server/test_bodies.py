"""Bodies within limits: read no further than these, and taken apart into the bytes of images."""

import asyncio
import base64
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from malformed import FORM, JSON, encoded, form_of, json_of, text_of

from graft.core.params.serve_params import ServeParams
from graft.deployment.server.admission import Admission, BusyError, Place
from graft.deployment.server.bodies import Kind, RefusedError, body_limit, images_in, kind_of, read_body

PARAMS = ServeParams(max_image_mb=0.01, max_request_mb=0.05, max_images=3)
IMAGES = [encoded(seed=seed) for seed in range(3)]


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("image/jpeg", Kind.RAW),
        ("IMAGE/PNG; q=1", Kind.RAW),
        ("application/octet-stream", Kind.RAW),
        (FORM, Kind.FORM),
        ("Multipart/Form-Data; boundary=x", Kind.FORM),
        ("application/json; charset=utf-8", Kind.JSON),
    ],
)
def test_the_content_type_says_how_images_stand_in_the_body(content_type: str, kind: Kind) -> None:
    assert kind_of(content_type) is kind


def read(chunks: list[bytes], limit: int, declared: str | None = None) -> tuple[bytes, list[int]]:
    held: list[int] = []

    async def arrive() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return asyncio.run(read_body(arrive(), declared, limit, held.append)), held


def test_a_body_is_read_up_to_its_limit() -> None:
    assert read([b"abc", b"", b"de"], 5, "5") == (b"abcde", [3, 0, 2])


def test_what_is_declared_too_large_is_refused_before_it_arrives() -> None:
    async def nothing_may_be_read() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    with pytest.raises(RefusedError) as refused:
        asyncio.run(read_body(nothing_may_be_read(), "6", 5, lambda size: None))
    assert refused.value.status == 413


def test_no_chunk_past_the_limit_is_held() -> None:
    held: list[int] = []

    async def arrive() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"abc"

    with pytest.raises(RefusedError) as refused:
        asyncio.run(read_body(arrive(), None, 10, held.append))
    assert (refused.value.status, sum(held)) == (413, 9)


def test_raw_bodies_have_the_limit_of_an_image() -> None:
    limits = {kind: body_limit(kind, PARAMS) for kind in Kind}
    assert limits == {Kind.RAW: 10_000, Kind.FORM: 50_000, Kind.JSON: 50_000}


@pytest.mark.parametrize("count", [1, 3])
def test_images_come_out_as_they_went_in(count: int) -> None:
    images = IMAGES[:count]
    assert images_in(Kind.FORM, FORM, form_of(*images), PARAMS) == images
    assert images_in(Kind.FORM, FORM, form_of(*images) + b"epilogue", PARAMS) == images
    texts = json_of({"images": list(map(text_of, images))})
    assert images_in(Kind.JSON, JSON, texts, PARAMS) == images
    assert images_in(Kind.RAW, "image/png", images[0], PARAMS) == images[:1]


def test_an_image_that_looks_like_a_boundary_stays_whole() -> None:
    image = b"\r\n--edg\r\n--edge\r\r\n--" + bytes(range(256)) + b"\r\n-"
    image = image.replace(b"\r\n--edge\r", b"\r\n--Edge\r")
    assert images_in(Kind.FORM, FORM, form_of(image), PARAMS) == [image]


def test_the_name_of_a_file_says_nothing() -> None:
    assert images_in(Kind.FORM, FORM, form_of(IMAGES[0], name="../../etc/passwd"), PARAMS) == IMAGES[:1]


@pytest.mark.parametrize(("kind", "content_type"), [(Kind.FORM, FORM), (Kind.JSON, JSON)])
def test_too_many_or_too_large_images_are_refused(kind: Kind, content_type: str) -> None:
    def body(images: list[bytes]) -> bytes:
        return form_of(*images) if kind is Kind.FORM else json_of({"images": list(map(text_of, images))})

    with pytest.raises(RefusedError, match="at most 3 images") as refused:
        images_in(kind, content_type, body([*IMAGES, IMAGES[0]]), PARAMS)
    assert refused.value.status == 413
    with pytest.raises(RefusedError, match="Image 1 is larger than 0.01 MB") as refused:
        images_in(kind, content_type, body([IMAGES[0], bytes(10_001)]), PARAMS)
    assert refused.value.status == 413
    assert images_in(kind, content_type, body([bytes(10_000)]), PARAMS) == [bytes(10_000)]


@pytest.mark.parametrize(
    "text", ["A" * 100 + "\U0001f600", "A" * 100 + "ü", "\\u2028", "\\ud83d\\ude00", "\\u00e4", "\\uFFFF", "\\u0080"]
)
def test_a7_json_beyond_ascii_is_refused_before_it_is_parsed(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("graft.deployment.server.bodies.json.loads")
    for body in (f'{{"images": ["{text}"]}}', f'{{"{text}": ["AAAA"]}}'):
        with pytest.raises(RefusedError, match="beyond ASCII, which base64 does not need") as refused:
            images_in(Kind.JSON, JSON, body.encode(), PARAMS)
        assert refused.value.status == 400


def test_base64_may_be_escaped_as_some_programs_do() -> None:
    """PHP escapes the slash, .NET the plus."""
    image = bytes.fromhex("fbefbefff7")  # "++++//c="
    assert b"+" in base64.b64encode(image)
    text = base64.b64encode(image).decode().replace("/", "\\/").replace("+", "\\u002B")
    assert images_in(Kind.JSON, JSON, f'{{"images": ["{text}"]}}'.encode(), PARAMS) == [image]


def test_case_16_base64_in_lines_or_a_data_url_is_read_within_the_limits() -> None:
    texts = [base64.encodebytes(IMAGES[0]).decode(), f"data:image/png;base64,{text_of(IMAGES[1])}"]
    assert images_in(Kind.JSON, JSON, json_of({"images": texts}), PARAMS) == IMAGES[:2]
    largest = base64.encodebytes(bytes(10_000)).decode()
    assert images_in(Kind.JSON, JSON, json_of({"images": [largest]}), PARAMS) == [bytes(10_000)]
    for text in (base64.encodebytes(bytes(10_001)).decode(), f"data:image/png;base64,{text_of(bytes(10_001))}"):
        with pytest.raises(RefusedError, match="Image 0 is larger than 0.01 MB") as refused:
            images_in(Kind.JSON, JSON, json_of({"images": [text]}), PARAMS)
        assert refused.value.status == 413
    with pytest.raises(RefusedError, match="Image 0 is not base64: it has a blank within a line") as refused:
        images_in(Kind.JSON, JSON, json_of({"images": ["AA AA"]}), PARAMS)
    assert refused.value.status == 422


PEAK = """
import resource, sys
from graft.core.params.serve_params import ServeParams
from graft.deployment.server.bodies import Kind, RefusedError, images_in

params = ServeParams(max_request_mb=32)
size = params.max_request_bytes - 200
start, end = b'{"images": ["', b'"]}'
part = b'--edge\\r\\nContent-Disposition: form-data; name="file"; filename="a"\\r\\n\\r\\n'
body = {
    "base64": lambda: start + b"A" * size + end,
    "four of base64": lambda: start + b'", "'.join([b"A" * (size // 16 * 4)] * 4) + end,
    "an emoji": lambda: start + b"A" * size + "\U0001f600".encode() + end,
    "an escaped emoji": lambda: start + b"A" * size + b"\\\\ud83d\\\\ude00" + end,
    "a key": lambda: b'{"' + b"A" * size + b'": 0}',
    "escapes": lambda: start + b"\\\\u0041" * (size // 6) + end,
    "a form": lambda: part + bytes(size) + b"\\r\\n--edge--\\r\\n",
    "a form of four": lambda: (part + bytes(size // 4 - 99) + b"\\r\\n") * 4 + b"--edge--\\r\\n",
    "a name": lambda: part.replace(b'"a"', b'"' + b"a" * size + b'"') + b"\\r\\n--edge--\\r\\n",
}[sys.argv[1]]()
kind = Kind.FORM if body.startswith(b"--") else Kind.JSON
# The high-water mark of what comes from here on (Linux).
open("/proc/self/clear_refs", "w").write("5")
before = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
try:
    images_in(kind, "multipart/form-data; boundary=edge", body, params)
except RefusedError:
    pass
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
print((peak - before) / len(body))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads peaks of memory from /proc")
@pytest.mark.parametrize(
    "body",
    [
        "base64",
        "four of base64",
        "an emoji",
        "an escaped emoji",
        "a key",
        "escapes",
        "a form",
        "a form of four",
        "a name",
    ],
)
def test_a7_a_body_is_taken_apart_in_three_times_its_size(body: str) -> None:
    """Itself and twice as much beside it; one emoji alone used to take seven times as much."""
    command = [sys.executable, "-c", PEAK, body]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert float(run.stdout) < 2.5, body


def test_places_are_given_back() -> None:
    admission = Admission(max_images=3, max_bytes=10)
    with Place(admission) as first:
        first.hold_bytes(6)
        first.hold_images(2)
        with Place(admission) as second:
            second.hold_bytes(4)
            with pytest.raises(BusyError, match="hold 0 MB"):
                second.hold_bytes(1)
            with pytest.raises(BusyError, match="2 images are under way"):
                second.hold_images(2)
            second.hold_images(1)
        assert (admission.images, admission.bytes) == (2, 6)
    assert (admission.images, admission.bytes) == (0, 0)


def test_a_place_is_given_back_after_an_error() -> None:
    admission = Admission(max_images=3, max_bytes=10)
    with pytest.raises(KeyError), Place(admission) as place:
        place.hold_bytes(6)
        place.hold_images(2)
        raise KeyError
    assert (admission.images, admission.bytes) == (0, 0)


def test_case_16_a_file_whose_name_is_not_ascii_is_a_file() -> None:
    body = form_of(IMAGES[0]).replace(b'filename="', b"filename*=UTF-8''%C3%BC.jpg; was=\"")
    assert b"filename=" not in body and b"filename*=" in body
    assert images_in(Kind.FORM, FORM, body, PARAMS) == [IMAGES[0]]


def test_case_16_a_byte_order_mark_before_json_is_passed_over() -> None:
    assert images_in(Kind.JSON, JSON, b"\xef\xbb\xbf" + json_of({"images": [text_of(IMAGES[0])]}), PARAMS) == [
        IMAGES[0]
    ]
