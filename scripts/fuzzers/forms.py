"""Throws changed forms at the reading of uploads, in pieces of any size: each gives one file, or a refusal.

A file that is taken must stand in the body as it is. Forms are changed in their bytes, in their headers, in the
boundary, and by parts that come twice, are missing or are many.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from edge.errors import RequestError
from edge.shedding import Load
from edge.uploads import read_file
from scripts.fuzzers.rounds import require

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

LIMIT = 20_000  # bytes of a body
LOAD = Load(places=1, queue=0, room=10 * LIMIT)
FILE = b"Datum,Wert (kW)\n2016-12-25 00:00:00,119.2\n"
PIECES = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"--",
        b"--edge",
        b"--edge--",
        b"\r\n--edge",
        b"\r\n--edge--\r\n",
        b'"',
        b";",
        b"\0",
        b"\xff",
    ),
    *(
        b"Content-Disposition: form-data",
        b'; name="file"',
        b'; filename="a.csv"',
        b"filename*=UTF-8''a",
        b"X: " + b"y" * 9_000,
    ),
    *(
        b"Content-Type: text/csv",
        b"Content-Transfer-Encoding: base64",
        b"\r\n\r\n",
        b"x" * LIMIT,
        b"X: " + b"y" * 9_000,
    ),
]
TYPES = [
    *("multipart/form-data; boundary=edge",) * 8,
    *("multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary="edge"', "text/csv"),
    *(
        "multipart/form-data; boundary=" + "e" * 80,
        "multipart/mixed; boundary=edge",
        "application/x-www-form-urlencoded",
    ),
    *(
        "MULTIPART/FORM-DATA; BOUNDARY=edge",
        "multipart/form-data; boundary=edge; boundary=other",
        "",
        "\xe9",
        "text/csv;",
    ),
]


def part(name: bytes, content: bytes, filename: bytes | None = b"week.csv") -> bytes:
    """Write a part of a form, with the boundary before it."""
    file = b"" if filename is None else b'; filename="' + filename + b'"'
    head = b'--edge\r\nContent-Disposition: form-data; name="' + name + b'"' + file
    return head + b"\r\nContent-Type: text/csv\r\n\r\n" + content + b"\r\n"


def attempt(chance: random.Random) -> tuple[Any, Callable[[], bool]]:
    """Change a form; return its type and body, and what checks it and tells whether a file was taken."""
    parts = [part(b"file", FILE)]
    if chance.random() < 0.3:  # noqa: PLR2004
        extra = [part(b"file", b"twice"), part(b"note", b"text", None), part(b"other", b"file"), part(b"", b"")]
        parts[chance.randrange(2) : 0] = chance.choices(extra, k=chance.choice([1, 2, 20]))
    body = b"".join(parts) + b"--edge--\r\n"
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(len(body) + 1)
        cut = chance.choice([0, 0, 1, 30])
        body = body[:at] + chance.choice([*PIECES, bytes([chance.randrange(256)])]) + body[at + cut :]
    media_type = chance.choice(TYPES)
    sizes = [chance.choice([1, 7, 100, 5_000]) for _ in range(10)]
    return (media_type, body, sizes), lambda: check(media_type, body, sizes)


def check(media_type: str, body: bytes, sizes: list[int]) -> bool:
    """Read a form that comes in pieces; tell whether it gave a file."""
    headers = [(b"content-type", media_type.encode("latin-1"))]
    pieces = _pieces(body, sizes)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    try:
        with LOAD.room("ada") as room:
            file = asyncio.run(read_file({"type": "http", "headers": headers}, receive, LIMIT, room))
    except RequestError as refused:
        require(str(refused) != "", "a refusal has words")
        return False
    require(len(body) <= LIMIT, "what is longer than the limit is refused")
    require(bytes(file) in body, "a file stands in the body as it is")
    return True


def _pieces(body: bytes, sizes: list[int]) -> list[bytes]:
    pieces: list[bytes] = []
    at = 0
    while at < len(body):
        size = sizes[len(pieces) % len(sizes)] if len(pieces) < 50 else LIMIT  # noqa: PLR2004
        pieces.append(body[at : at + size])
        at += size
    return pieces or [b""]
