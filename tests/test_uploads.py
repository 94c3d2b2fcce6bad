"""A request body becomes the bytes of one file, or a refusal that says why."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from edge.errors import BodyTooLarge, BodyTooSlow, MalformedUpload, Overloaded, RequestError, UnsupportedMediaType
from edge.shedding import Load
from edge.uploads import LARGEST_OTHER, UploadMiddleware

LIMIT = 1_000
FORM = "multipart/form-data; boundary=X"


def part(name: str | None = "file", content: bytes = b"a,b", filename: str | None = "load.csv") -> bytes:
    """Return one part of a form."""
    disposition = b"form-data" + (f'; name="{name}"'.encode() if name is not None else b"")
    if filename is not None:
        disposition += f'; filename="{filename}"'.encode()
    return b"--X\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    """Return a whole form."""
    return b"".join(parts) + b"--X--\r\n"


def send(
    body: bytes | Sequence[bytes],
    media_type: str | None = FORM,
    path: str = "/predict/gru",
    *,
    limit: int = LIMIT,
    load: Load | None = None,
    **headers: str,
) -> dict[str, Any]:
    """Send a body in chunks through the middleware; return what arrives behind it."""
    chunks = [body] if isinstance(body, bytes) else list(body)
    arrived: dict[str, Any] = {}

    async def app(scope: Scope, receive: Receive, _: Send) -> None:
        request = Request(scope, receive)
        arrived["body"] = await request.body()
        arrived["type"] = request.headers.get("content-type")
        arrived["upload"] = scope.get("state", {}).get("upload")

    async def messages() -> AsyncIterator[Message]:
        for at, chunk in enumerate(chunks):
            yield {"type": "http.request", "body": chunk, "more_body": at + 1 < len(chunks)}

    stream = messages()

    async def nothing(_: Message) -> None: ...

    sent = {"content-type": media_type} if media_type is not None else {}
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in {**sent, **headers}.items()]
    scope = {"type": "http", "method": "POST", "path": path, "headers": raw}
    middleware = UploadMiddleware(app, limits={"/predict/": limit}, seconds=5, load=load or Load(1, 0, 10**6))
    asyncio.run(middleware(scope, lambda: anext(stream), nothing))
    return arrived


GOOD = {
    "form": (form(part()), FORM),
    "form with another field": (form(part("note", b"hello", None), part()), FORM),
    "csv alone": (b"a,b", "text/csv"),
    "csv with charset": (b"a,b", "Text/CSV; charset=utf-8"),
    "in pieces": ([form(part())[at : at + 7] for at in range(0, 200, 7)], FORM),
}


@pytest.mark.parametrize("body, media_type", GOOD.values(), ids=GOOD)
def test_the_file_is_taken_out(body: bytes | list[bytes], media_type: str) -> None:
    """The endpoint finds the file's bytes; who reads the body finds it empty."""
    assert send(body, media_type) == {"body": b"", "type": media_type, "upload": b"a,b"}


BAD: dict[str, tuple[bytes, str | None, type[RequestError]]] = {
    "no type": (b"a,b", None, UnsupportedMediaType),
    "json": (b"{}", "application/json", UnsupportedMediaType),
    "a form without files": (b"a=b", "application/x-www-form-urlencoded", UnsupportedMediaType),
    "bentoml's pickle": (b"", "application/vnd.bentoml+pickle", UnsupportedMediaType),
    "no boundary": (form(part()), "multipart/form-data", MalformedUpload),
    "another boundary": (form(part()), "multipart/form-data; boundary=Y", MalformedUpload),
    "cut short": (form(part())[:-20], FORM, MalformedUpload),
    "no part": (form(), FORM, MalformedUpload),
    "nothing": (b"", FORM, MalformedUpload),
    "another field": (form(part("data")), FORM, MalformedUpload),
    "a part without a name": (form(part(None)), FORM, MalformedUpload),
    "two files": (form(part(), part()), FORM, MalformedUpload),
    "a second file elsewhere": (form(part(), part("data")), FORM, MalformedUpload),
    "three files": (form(part(), part(), part()), FORM, MalformedUpload),
    "text": (form(part(filename=None)), FORM, MalformedUpload),
    "a URL": (form(part(content=b"http://localhost/", filename=None)), FORM, MalformedUpload),
    "many fields": (form(*[part(str(at), b"", None) for at in range(20)]), FORM, RequestError),
}


@pytest.mark.parametrize("body, media_type, error", BAD.values(), ids=BAD)
def test_what_is_no_upload_is_refused(body: bytes, media_type: str | None, error: type[RequestError]) -> None:
    """Whatever is not exactly one file is refused with a sentence."""
    with pytest.raises(error, match=r"\w+ .*\w"):
        send(body, media_type)


def test_an_encoded_body_is_refused() -> None:
    """Nothing is decompressed here, so no small body can become a large one."""
    with pytest.raises(UnsupportedMediaType, match="gzip"):
        send(b"\x1f\x8b", "text/csv", content_encoding="gzip")


@pytest.mark.parametrize("path, limit", [("/predict/gru", LIMIT), ("/token", LARGEST_OTHER)])
def test_bodies_are_bounded(path: str, limit: int) -> None:
    """A body may have as many bytes as the limit says and not one more, on every route."""
    send([b"x" * (limit - 1), b"x"], "text/csv", path, transfer_encoding="chunked")
    with pytest.raises(BodyTooLarge, match=str(limit)):
        send([b"x" * limit, b"x"], "text/csv", path, transfer_encoding="chunked")


@pytest.mark.parametrize("length", ["1001", "9" * 100])
def test_a_declared_length_is_refused_before_the_body(length: str) -> None:
    """A body that says that it is too large is not read."""
    with pytest.raises(BodyTooLarge):
        send([], "text/csv", content_length=length)


def test_a_lied_length_does_not_help() -> None:
    """What arrives counts, not what was declared."""
    with pytest.raises(BodyTooLarge):
        send(b"x" * (LIMIT + 1), "text/csv", content_length="3")


@pytest.mark.parametrize("length", ["", "0", "1", "400", "520", "900"])
def test_a_body_in_pieces_arrives_whole_whatever_was_declared(length: str) -> None:
    """What arrives counts, not what was declared."""
    whole = bytes(range(256)) * 2 + b"the last"
    pieces = [whole[at : at + 13] for at in range(0, len(whole), 13)]
    assert send(pieces, "text/csv", content_length=length)["upload"] == whole


def _waiting(message: Message | None, path: str = "/predict/gru") -> None:
    """Run the middleware on a client that sends one message, or nothing at all."""

    async def app(_: Scope, __: Receive, ___: Send) -> None:
        raise AssertionError("nothing may pass")

    async def receive() -> Message:
        if message is None:
            await asyncio.Event().wait()
        assert message is not None
        return message

    async def nothing(_: Message) -> None: ...

    headers = [(b"content-type", b"text/csv"), (b"content-length", b"5")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    middleware = UploadMiddleware(app, limits={"/predict/": 9}, seconds=0.01, load=Load(1, 0, 10**6))
    asyncio.run(middleware(scope, receive, nothing))


@pytest.mark.parametrize("path", ["/predict/gru", "/token"])
def test_a_body_that_does_not_come_is_given_up(path: str) -> None:
    """A client that keeps the connection and sends nothing is refused after the time that it has."""
    with pytest.raises(BodyTooSlow):
        _waiting(None, path)


@pytest.mark.parametrize("length", ["200000", None])
def test_a_large_body_needs_room(length: str | None) -> None:
    """A body that does not fit into what is left of the memory is refused: at once where it says how large it is."""
    load, chunks = Load(1, 0, 300_000), [b"x" * 100_000] * (0 if length else 3)
    declared = {"content_length": length} if length else {"transfer_encoding": "chunked"}
    with pytest.raises(Overloaded):
        send(chunks, "text/csv", limit=10**6, load=load, **declared)
    with load.room("ada") as room:
        room.need(150_000)  # nothing of it is left behind


def test_a_client_that_leaves_is_not_answered() -> None:
    """There is no one to answer; the layer above ends quietly."""
    with pytest.raises(ClientDisconnect):
        _waiting({"type": "http.disconnect"})


@given(
    st.binary(max_size=400),
    st.sampled_from([FORM, "text/csv", "multipart/form-data; boundary=", "multipart/form-data"]),
)
def test_any_body_is_an_upload_or_refused(body: bytes, media_type: str) -> None:
    """No body makes anything but bytes or a refusal."""
    try:
        assert isinstance(send(body, media_type)["upload"], bytes)
    except RequestError as refused:
        assert str(refused)


@given(
    st.lists(
        st.sampled_from(
            [
                b"--X",
                b"--X--",
                b"\r\n",
                b"\r\n\r\n",
                b'Content-Disposition: form-data; name="file"',
                b'; filename="f"',
                b"a,b",
                b"\0",
            ]
        ),
        max_size=12,
    ).map(b"".join)
)
def test_any_form_is_an_upload_or_refused(body: bytes) -> None:
    """Nor do pieces of forms in any order."""
    try:
        assert isinstance(send(body)["upload"], bytes)
    except RequestError as refused:
        assert str(refused)


def test_a_large_form_for_the_parser_is_parsed_in_a_thread() -> None:
    """The form of a client that writes more heads than usual: the same file, and the event loop is free meanwhile."""
    content = b"a,b\n" * 50_000
    head = b'--X\r\nContent-Disposition: form-data; name="file"; filename="f"\r\nContent-Length: 200000\r\n\r\n'
    arrived = send(head + content + b"\r\n--X--\r\n", limit=1_000_000)
    assert bytes(arrived["upload"]) == content
    with pytest.raises(MalformedUpload, match="field 'file'"):
        send(form(part("other", content)), limit=1_000_000)
