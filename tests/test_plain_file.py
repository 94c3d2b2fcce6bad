"""Forms as clients write them are read without the parser, and exactly as the parser would."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from edge.errors import MalformedUpload
from edge.uploads import _only_file, plain_file

BOUNDARY = "----form"
_TEXT = st.text('ab\r\n-"%; =', max_size=12)
_HEAD = 'Content-Disposition: form-data; name="file"; filename="week.csv"\r\n'


def form(head: str, content: bytes, *, before: str = "", after: str = "\r\n", end: str = "--") -> bytes:
    """Write a form of one part."""
    opening = f"{before}--{BOUNDARY}\r\n{head}\r\n".encode()
    return opening + content + f"\r\n--{BOUNDARY}{end}{after}".encode()


def parsed(body: bytes) -> bytes | None:
    """Read a form with the parser alone; None if it is refused."""
    headers = Headers({"content-type": f"multipart/form-data; boundary={BOUNDARY}"})
    try:
        return asyncio.run(_only_file(headers, body))
    except MalformedUpload:
        return None


@pytest.mark.parametrize(
    "head",
    [
        _HEAD,
        f"{_HEAD}Content-Type: text/csv\r\n",
        f"{_HEAD}content-type: application/vnd.ms-excel\r\n",
        'content-disposition: form-data; name="file"; filename=""\r\n',
    ],
)
@pytest.mark.parametrize("content", [b"", b"time,power\r\n1,2\r\n", b"\r\n", b"--", b"x" * 100_000, "ä".encode()])
@pytest.mark.parametrize("after", ["", "\r\n"])
def test_usual_forms_need_no_parser(head: str, content: bytes, after: str) -> None:
    """What curl, requests and browsers send is cut out of the body, and is what the parser would give."""
    body = form(head, content, after=after)
    for held in (body, bytearray(body)):
        assert plain_file(f"multipart/form-data; boundary={BOUNDARY}", held) == content == parsed(body)


@pytest.mark.parametrize(
    "body",
    [
        form(_HEAD, b"a", before="preamble\r\n"),
        form(_HEAD, b"a", after="\r\nepilogue"),
        form(_HEAD, b"a", end=""),
        form(_HEAD, f"a\r\n--{BOUNDARY}\r\n{_HEAD}\r\nb".encode()),
        form(_HEAD, f"a\r\n--{BOUNDARY}".encode()),
        form(_HEAD, f"--{BOUNDARY}--\r\n".encode()[:-2]),
        form(_HEAD.replace("file", "other", 1), b"a"),
        form(_HEAD.replace("week.csv", 'we\\"ek'), b"a"),
        form(_HEAD.replace("; filename", "; filename*"), b"a"),
        form(f"{_HEAD}Content-Transfer-Encoding: base64\r\n", b"a"),
        form("", b"a"),
        b"",
        f"--{BOUNDARY}--".encode(),
        f"--{BOUNDARY}\r\n{_HEAD}\r\n--{BOUNDARY}--\r\n".encode(),
    ],
)
def test_every_other_form_goes_to_the_parser(body: bytes) -> None:
    """Whatever is not exactly of the usual form is read, or refused, by the library, which gets it as it came."""
    assert plain_file(f"multipart/form-data; boundary={BOUNDARY}", body) is None
    held = bytearray(body)
    assert plain_file(f"multipart/form-data; boundary={BOUNDARY}", held) is None
    assert held == body


@pytest.mark.parametrize("content_type", ["multipart/form-data", 'multipart/form-data; boundary="----form"', ""])
def test_a_boundary_that_is_written_in_another_way_goes_to_the_parser(content_type: str) -> None:
    """Quotes and missing boundaries are the library's matter, too."""
    assert plain_file(content_type, form(_HEAD, b"a")) is None


@given(
    content=st.binary(max_size=40) | _TEXT.map(str.encode), noise=_TEXT, cut=st.integers(0, 200), at=st.integers(0, 99)
)
def test_the_quick_way_and_the_parser_agree(content: bytes, noise: str, cut: int, at: int) -> None:
    """Where the quick way reads a form, the parser reads the same, whatever the form was damaged by."""
    body = form(_HEAD, content)
    for damaged in (body, body[:cut], body[:at] + noise.encode() + body[at:], form(_HEAD + noise, content)):
        quick = plain_file(f"multipart/form-data; boundary={BOUNDARY}", damaged)
        assert quick is None or quick == parsed(damaged)
