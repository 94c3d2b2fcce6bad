"""A bounded request body to the bytes of one file, before BentoML sees the request.

BentoML's own upload code has no size limit, writes to temporary files, and fetches the URL that it is given
in place of a file (CVE-2025-54381 and what its fix leaves open). So the file is taken out of the body here, in
memory, and lies in `request.state.upload`; whoever reads the body after that finds it empty.
"""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.audited import tell_input
from edge.errors import BodyTooLarge, BodyTooSlow, MalformedUpload, UnsupportedMediaType
from edge.shedding import Load, Room
from edge.timing import stage
from edge.turns import SHORT
from processing.cells import Body

# The parser warns of what a client has done wrong; the client is told, and no stranger may fill the log.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

FIELD = "file"
LARGEST_OTHER = 65_536  # bytes; a log-in form needs a few hundred
AHEAD = 16 << 20  # bytes that there is room for before they come; of larger blocks the C library moves pages
_BOUNDARY = re.compile(r"multipart/form-data; boundary=([0-9A-Za-z'()+_,./:=?-]{1,70})")
_PART = re.compile(
    rb'Content-Disposition: form-data; name="file"; filename="[^"\\%\r\n]*"\r\n'
    rb"(?:Content-Type: [\w.+/-]+(?:; charset=[\w-]+)?\r\n)?\r\n",
    re.IGNORECASE,
)


class UploadMiddleware:
    """Takes the file out of POSTs to the upload routes and bounds every other body.

    Args:
        app: the rest of the service.
        limits: the largest body in bytes for each start of a path, such as '/predict/', where a POST carries a file.
        seconds: the time within which the whole body must arrive.
        load: of this worker, which has room for so many bytes at a time.
    """

    def __init__(self, app: ASGIApp, *, limits: Mapping[str, int], seconds: float, load: Load) -> None:
        self.app, self.load = app, load
        self.limits = dict(limits)
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its file in `scope["state"]["upload"]`, or with its small body read."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["method"] == "POST" and (limit := self._limit(scope["path"])) is not None:
            state = scope.setdefault("state", {})
            with self.load.room(getattr(state.get("user"), "name", "")) as room:
                with stage("body"):
                    state["upload"] = await self._in_time(read_file(scope, receive, limit, room))
                tell_input(scope, state["upload"])
                await self.app(scope, _replayed(b"", receive), send)
        elif _has_body(scope):
            body = await self._in_time(whole(_bounded(scope, receive, LARGEST_OTHER)))
            await self.app(scope, _replayed(bytes(body), receive), send)
        else:
            await self.app(scope, receive, send)

    async def _in_time(self, reading: Coroutine[Any, Any, Body]) -> Body:
        try:
            async with asyncio.timeout(self.seconds):
                return await reading
        except TimeoutError:
            raise BodyTooSlow(self.seconds) from None

    def _limit(self, path: str) -> int | None:
        """Return the largest body of a path where a POST carries a file; None for the other paths."""
        return next((limit for prefix, limit in self.limits.items() if path.startswith(prefix)), None)


async def read_file(scope: Scope, receive: Receive, max_bytes: int, room: Room) -> Body:
    """Return the bytes of the one file that the body holds.

    Raises:
        BodyTooLarge, UnsupportedMediaType, MalformedUpload, Overloaded: the request is refused.
        ClientDisconnect: the client went away; there is no one to answer.
    """
    headers = Headers(scope=scope)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if encoding := headers.get("content-encoding"):
        raise UnsupportedMediaType(f"encoded as {encoding}")
    if media_type not in {"multipart/form-data", "text/csv"}:
        raise UnsupportedMediaType(media_type)
    body = await whole(_bounded(scope, receive, max_bytes, room), _declared(headers))
    if media_type == "text/csv":
        return body
    file = plain_file(headers["content-type"], body)
    if file is not None:
        return file
    if len(body) <= SHORT:
        return await _only_file(headers, bytes(body))
    return await asyncio.to_thread(lambda: asyncio.run(_only_file(headers, bytes(body))))


def plain_file(content_type: str, body: Body) -> Body | None:
    """Return the file of a form that holds nothing else and is written as clients do; None for every other form.

    A body that may be changed is cut down to the file, so that a large one is not held twice.
    The parser looks at every byte's surroundings; here it is enough to find that the boundary stands at both ends and
    nowhere between. What is not exactly of this form goes to the parser, which reads the same from it or refuses it.
    """
    boundary = _BOUNDARY.fullmatch(content_type)
    if boundary is None:
        return None
    edge = b"--" + boundary[1].encode()
    head = _PART.match(body, len(edge) + 2)
    end = len(body) - (2 if body.endswith(b"\r\n") else 0) - len(edge) - 4
    if head is None or end < head.end() or not body.startswith(edge + b"\r\n"):
        return None
    start, mark = head.end(), b"\r\n" + edge
    # The boundary's own line break may be the one that ends the part's head.
    if not body.startswith(mark + b"--", end) or body.startswith(mark, start - 2):
        return None
    # One character is found ten times as fast as several, and many a file has no carriage return.
    if body.find(b"\r", start) != end and body.find(mark, start) != end:
        return None
    if isinstance(body, bytes):
        return body[start:end]
    del body[end:], body[:start]
    return body


async def whole(receive: Receive, declared: int = 0) -> Body:
    """Return the bytes of a whole body, of which the client said how long it would be; 0 if it did not.

    Appended chunk by chunk a body is moved as it grows, and leaves holes of its own size in the worker's memory, unless
    it is so large that the C library moves pages and not bytes. So there is room for it from its first chunk on.

    Raises:
        BodyTooLarge: as `receive` does.
        ClientDisconnect: the client went away; there is no one to answer.
    """
    body, filled = bytearray(), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
        if not more and not filled:
            return bytes(chunk)
        if not filled:
            body = bytearray(min(declared, AHEAD))
        body[filled : filled + len(chunk)] = chunk  # what lies beyond its end makes it longer
        filled += len(chunk)
        if not more:
            del body[filled:]
            return body


async def _only_file(headers: Headers, body: bytes) -> bytes:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(headers, stream(), max_files=2, max_fields=16)
    parser.spool_max_size = len(body) + 1  # never a temporary file: a read-only container has nowhere to put it
    try:
        return await _file_of(await parser.parse())
    except (MultiPartException, UnicodeDecodeError, KeyError) as error:
        # A part without a name, or a boundary that is missing, reaches us as KeyError from the parser.
        reason = error.message if isinstance(error, MultiPartException) else "it is not multipart/form-data"
        raise MalformedUpload(f"The form cannot be read: {reason}") from None
    finally:
        # The parser closes them on its own error only, and a form knows nothing of a part that has no end.
        for file in parser._files_to_close_on_error:  # noqa: SLF001
            file.close()


async def _file_of(form: FormData) -> bytes:
    parts = form.getlist(FIELD)
    files = [name for name, part in form.multi_items() if isinstance(part, UploadFile)]
    if len(parts) != 1 or len(files) > 1:
        found = ", ".join(repr(name[:40]) for name, _ in form.multi_items()[:5]) or "nothing"
        raise MalformedUpload(f"The form must hold one file, in the field {FIELD!r}; it holds {found}.")
    part = parts[0]
    if not isinstance(part, UploadFile):
        raise MalformedUpload(f"The field {FIELD!r} holds text. Send it as a file, with a file name.")
    return await part.read()


def _bounded(scope: Scope, receive: Receive, limit: int, room: Room | None = None) -> Receive:
    """Return a `receive` that raises BodyTooLarge as soon as the body is known to pass the limit.

    With a `room` it raises Overloaded as soon as the body is known not to fit.
    """
    length = _declared(Headers(scope=scope))
    if length > limit:
        raise BodyTooLarge(limit)
    if room is not None:
        room.need(length)
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise BodyTooLarge(limit)
        if room is not None:
            room.need(seen)
        return message

    return bounded


def _declared(headers: Headers) -> int:
    """Return the declared length of a body; 0 if there is none that is a number."""
    length = headers.get("content-length", "0")
    return int(length[:20]) if length.isdecimal() else 0


def _has_body(scope: Scope) -> bool:
    return any(name in {b"content-length", b"transfer-encoding"} for name, _ in scope["headers"])


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body which has been read, and then what else happens."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
