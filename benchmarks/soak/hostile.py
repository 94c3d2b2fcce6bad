"""Clients that mean harm, or are broken, beside the good ones of a soak.

In: where the service is, tokens to misuse, how long. Out: how often each attack came to which outcome. An outcome is
the status of the answer, with `closed` or `open` behind it where the service has to close the connection; `closed`
alone is a connection closed without an answer, `gone` one that the client dropped on purpose. Each attack knows which
outcomes are right; 503 always is, as the service may shed load, and no other 5xx ever. All run in a process of their
own, in an open loop, so that they take nothing from the clock of the good requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import multiprocessing
import random
import ssl
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from benchmarks.soak.mix import SEED, week

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.connection import Connection

    from benchmarks.soak.target import Target

Outcomes = Counter[tuple[str, str]]  # attack and outcome → how often

CLOSING = 15.0  # seconds in which a connection must be closed that is to be
UNDER_WAY = 300  # attacks at a time: below the connections that one address may have
SHED = ("503", "503 closed")
GONE, CLOSED, SILENT = "gone", "closed", "no answer"
HELD = 2.0  # seconds between two drops of a slow client
PARTS = 9_000_000  # bytes of a form of very many parts
LIE = 49_000_000  # bytes that are declared and never come
TOO_LARGE = 60_000_000


@dataclass(frozen=True)
class Attack:
    """One kind of hostile client.

    Attributes:
        rate: how many come in a second.
        expected: the right outcomes, 503 aside.
        pieces: gives what one client sends, and the seconds it waits in between.
        tls: whether it speaks TLS.
        closing: whether the service has to close the connection.
        taken: bytes of the answer after which the client drops the connection; below 0 it does not.
    """

    name: str
    rate: float
    expected: tuple[str, ...]
    pieces: Callable[[random.Random], Iterable[bytes | float]]
    tls: bool = True
    closing: bool = False
    taken: int = -1

    def right(self, outcome: str) -> bool:
        """Say whether the service may answer so."""
        return outcome in self.expected or outcome in SHED


def message(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """Return the bytes of a request; its length is declared unless a header has done so."""
    named = {header.partition(":")[0].lower() for header in headers}
    length = () if not body or named & {"content-length", "transfer-encoding"} else (f"Content-Length: {len(body)}",)
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, *length, "", ""]).encode() + body


def attacks(target: Target) -> tuple[Attack, ...]:
    """List all attacks on a service."""
    return (
        *_on_tokens(target),
        *_on_log_ins(target),
        *_on_connections(target),
        *_on_bodies(target),
        *_on_names(target),
    )


def _bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


def _upload(token: str, body: bytes, path: str = "/predict/gru", *headers: str) -> bytes:
    return message("POST", path, _bearer(token), *(headers or ("Content-Type: text/csv",)), body=body)


def _one(messages: Iterable[bytes]) -> Callable[[random.Random], Iterable[bytes | float]]:
    """Give one of several messages each time."""
    several = list(messages)
    return lambda dice: [dice.choice(several)]


def _on_tokens(target: Target) -> Iterator[Attack]:
    file = week()
    yield Attack("no token", 2, ("401",), _one([message("POST", "/predict/gru", "Content-Type: text/csv", body=file)]))
    yield Attack("forged token", 4, ("401",), _one(_upload(each, file) for each in target.forged))
    yield Attack("expired or revoked token", 3, ("401",), _one(_upload(each, file) for each in target.ended))
    yield Attack("token without the scope", 3, ("403",), _one([_upload(target.narrow, file)]))


def _on_log_ins(target: Target) -> Iterator[Attack]:
    form = "Content-Type: application/x-www-form-urlencoded"

    def guesses(dice: random.Random) -> list[bytes | float]:
        name = dice.choice(["admin", "ada", f"nobody-{dice.randrange(1_000)}"])
        body = f"username={name}&password=guess-{dice.randrange(10**9)}".encode()
        return [message("POST", "/token", form, body=body)]

    def secrets(dice: random.Random) -> list[bytes | float]:
        client = target.client.replace(":", "%3A")
        body = f"grant_type=client_credentials&client_id={client}&client_secret=lgc_{dice.randrange(10**9)}".encode()
        return [message("POST", "/token", form, body=body)]

    yield Attack("wrong password", 3, ("401", "429"), guesses)
    yield Attack("wrong secret of a client", 2, ("401", "429"), secrets)
    bodies = [b"", b"username=a", b"a=&" * 21_800, b"grant_type=nothing", b"grant_type=refresh_token&refresh_token=x"]
    odd = [
        message("POST", "/token", form, "Content-Length: 0"),
        *(message("POST", "/token", form, body=b) for b in bodies),
    ]
    odd += [message("POST", "/token", "Content-Type: application/json", body=b'{"username": ["admin"]}')]
    odd += [message("POST", "/token", "Content-Type: multipart/form-data; boundary=x", body=b"no form")]
    yield Attack("malformed log-in", 2, ("400", "401", "415", "422", "429"), _one(odd))
    yield Attack(
        "log-in of 70 kB", 1, ("413",), _one([message("POST", "/token", form, body=b"password=" + b"x" * 70_000)])
    )


def _on_connections(target: Target) -> Iterator[Attack]:
    def hello() -> bytes:
        out = ssl.MemoryBIO()
        shaking = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            shaking.do_handshake()
        return out.read()

    begun = hello()
    broken = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"\0" * 500,
        begun[:-9] + b"\xff" * 9,
    ]
    yield Attack(
        "broken TLS", 3, (CLOSED,), lambda dice: [dice.choice([*broken, dice.randbytes(300)])], tls=False, closing=True
    )
    yield Attack("half a handshake", 1, (CLOSED,), _one([begun[:100]]), tls=False, closing=True)
    yield Attack("nothing at all", 1, (CLOSED,), lambda _: [], closing=True)
    fields = [f"X-{at}: y" for at in range(200)]
    yield Attack(
        "huge headers",
        2,
        ("431 closed",),
        _one([message("GET", "/livez", "X: " + "y" * 100_000), message("GET", "/livez", *fields)]),
        closing=True,
    )
    yield Attack("huge path", 2, ("414 closed",), _one([message("GET", "/" + "x" * 20_000)]), closing=True)
    bad = [
        message("POST", "/token", "Content-Length: 5", "Content-Length: 6", body=b"hello"),
        message("POST", "/token", "Content-Length: -5", body=b"hello"),
        message("POST", "/token", "Transfer-Encoding: chunked", body=b"zz\r\nhello\r\n0\r\n\r\n"),
        message("POST", "/token", "Transfer-Encoding: chunked", "Content-Length: 5", body=b"5\r\nhello\r\n0\r\n\r\n"),
        b"NO HTTP AT ALL\r\n\r\n",
        message("BREW", "/livez"),
        b"GET / HTTP/1.1\r\nHost: localhost\r\nNo colon\r\n\r\n",
    ]
    yield Attack("bad HTTP", 3, ("400 closed",), _one(bad), closing=True)

    def slow_head(_: random.Random) -> Iterator[bytes | float]:
        yield b"GET /livez HTTP/1.1\r\n"
        while True:
            yield HELD
            yield b"X: y\r\n"

    def slow_body(_: random.Random) -> Iterator[bytes | float]:
        yield _upload(target.good, b"D", "/predict/gru", "Content-Type: text/csv", "Content-Length: 30000")
        while True:
            yield HELD
            yield b"a"

    yield Attack("slow head", 1, ("408 closed",), slow_head, closing=True)
    yield Attack("slow body", 1, ("408",), slow_body)


def _on_bodies(target: Target) -> Iterator[Attack]:
    file, form = week(), "Content-Type: multipart/form-data; boundary=x"
    csv = "Content-Type: text/csv"

    def upload(body: bytes, *headers: str, path: str = "/predict/gru") -> bytes:
        return _upload(target.good, body, path, *headers)

    yield Attack(
        "a length that is a lie",
        0.2,
        ("408",),
        _one([upload(b"D", csv, f"Content-Length: {LIE}", path="/forecast/gru")]),
    )
    yield Attack(
        "too large", 1, ("413",), _one([upload(b"D", csv, f"Content-Length: {TOO_LARGE}", path="/forecast/gru")])
    )
    yield Attack(
        "more than was declared",
        2,
        ("400 closed", "422 closed"),
        _one([upload(file, csv, "Content-Length: 99")]),
        closing=True,
    )
    zipped = [gzip.compress(file), gzip.compress(bytes(10_000_000))]
    yield Attack("gzip", 2, ("415",), _one(upload(each, csv, "Content-Encoding: gzip") for each in zipped))
    disposition = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    forms = [
        b"garbage",
        b"",
        b"--x--\r\n",
        disposition + file,
        disposition + b"1\r\n" + disposition + b"2\r\n--x--\r\n",
    ]
    odd = [upload(each or b"\r\n", form) for each in forms] + [upload(file, "Content-Type: multipart/form-data")]
    yield Attack("malformed form", 3, ("400",), _one(odd))
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n'
    parts = [each * (PARTS // len(each)) + b"--x--\r\n" for each in (part, b"--x\r\n\r\n\r\n")]
    yield Attack("a million parts", 0.1, ("400",), _one(upload(each, form, path="/forecast/gru") for each in parts))
    yield Attack("broken CSV", 4, ("422",), lambda dice: [upload(broken_csv(dice), csv)])
    yield Attack(
        "gone in the middle of a request",
        3,
        (GONE,),
        _one([upload(file[:5_000], csv, f"Content-Length: {len(file)}")]),
        taken=0,
    )
    yield Attack(
        "gone before the answer",
        3,
        (GONE,),
        _one([upload(file, csv), upload(file, csv, path="/forecast/cnn")]),
        taken=0,
    )
    yield Attack(
        "gone in the middle of an answer",
        3,
        (GONE,),
        _one([upload(file, csv, path="/forecast/gru?level=80,95"), message("GET", "/docs.json")]),
        taken=1,
    )


def broken_csv(dice: random.Random) -> bytes:
    """Return the sample week with one thing wrong that no reading of it can put right."""
    header, *rows = week().splitlines()
    at = dice.randrange(len(rows))
    time_of, _, _ = rows[at].partition(b",")
    cell = dice.choice([b"", b"abc", b"1e400", b"nan", b"=1+1", b"\xff\xfe", b"1" * 5_000, b"9" * 100_000 + b"x"])
    kinds: list[Callable[[], list[bytes]]] = [
        lambda: [header, *rows[:at], time_of + b"," + cell, *rows[at + 1 :]],
        lambda: [header, *rows[:at]],
        lambda: [header, *rows[:at], *rows[at + 1 :]],
        lambda: [header, *reversed(rows)],
        lambda: [b"a,b", *rows],
        lambda: [header + b"," + b"_" * 100_000 + b"x", *rows],
        lambda: [header + b"," * 50_000, *rows],
        lambda: [header, *rows[:at], b'"' + rows[at], *rows[at + 1 :]],
        lambda: [b"\0" * 1_000],
        lambda: [b"\n".join([header, *rows]).decode().encode("utf-16")],
    ]
    return b"\n".join(dice.choice(kinds)()) + b"\n"


def _on_names(target: Target) -> Iterator[Attack]:
    bearer, file = _bearer(target.good), week()
    unknown = ["/predict/nope", "/forecast/GRU", "/predict/%00%0a", "/predict/" + "x" * 5_000, "/forecast/gru%20"]
    yield Attack("unknown model", 3, ("404",), _one(_upload(target.good, file, path) for path in unknown))
    tricks = ["/../../etc/passwd", "/static_content/../../config.py", "/%2e%2e/%2e%2e/etc/passwd", "//predict/gru"]
    tricks += [
        "/predict/..%2f..%2fusers",
        "/predict/gru/../../users",
        "/./livez",
        "/livez%00",
        "/users/me/..;/",
        "/metrics/.",
    ]
    yield Attack("path trick", 3, ("400", "403", "404", "405"), _one(message("GET", path, bearer) for path in tricks))
    methods = [message(method, path, bearer) for method in ("DELETE", "TRACE") for path in ("/predict/gru", "/livez")]
    yield Attack("wrong method", 2, ("403", "404", "405"), _one(methods))
    socket = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==")
    yield Attack("WebSocket", 1, ("403 closed", "400 closed"), _one([message("GET", "/livez", *socket)]), closing=True)


async def strike(attack: Attack, target: Target, context: ssl.SSLContext, dice: random.Random) -> str:
    """Let one client come; return the outcome."""
    try:
        async with asyncio.timeout(target.patience):
            tls, name = (context, "localhost") if attack.tls else (None, None)
            reader, writer = await asyncio.open_connection("127.0.0.1", target.port, ssl=tls, server_hostname=name)
            try:
                return await _meet(attack, reader, writer, dice)
            finally:
                writer.transport.abort()
    except TimeoutError:
        return SILENT
    except OSError as error:  # as far as the connection itself
        return type(error).__name__


async def _meet(attack: Attack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dice: random.Random) -> str:
    sending = asyncio.create_task(_send(writer, attack.pieces(dice)))
    try:
        if attack.taken >= 0:
            await sending
            return GONE if not attack.taken or await reader.read(attack.taken) else CLOSED
        head = await reader.readuntil(b"\r\n\r\n")
        status = head.split(b" ", 2)[1].decode(errors="replace")
        if not attack.closing:
            return status
        sending.cancel()
        return f"{status} {await _end(reader)}"
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
        return CLOSED
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending


async def _send(writer: asyncio.StreamWriter, pieces: Iterable[bytes | float]) -> None:
    """Send until the end, or until nobody takes any more."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        for piece in pieces:
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                writer.write(piece)
                await writer.drain()


async def _end(reader: asyncio.StreamReader) -> str:
    """Say whether the other side closes the connection in time."""
    try:
        async with asyncio.timeout(CLOSING):
            while await reader.read(65_536):
                pass
    except TimeoutError:
        return "open"
    except (ConnectionError, ssl.SSLError):
        pass
    return CLOSED


async def storm(target: Target, several: Iterable[Attack], seconds: float, times: float) -> Outcomes:
    """Let clients of each kind come for so long, `times` their rate; wait for all of them, and count the outcomes."""
    context = ssl.create_default_context(cafile=str(target.certificate))
    dice, found, places = random.Random(SEED), Outcomes(), asyncio.Semaphore(UNDER_WAY)  # noqa: S311
    end = time.monotonic() + seconds

    async def one(attack: Attack) -> None:
        async with places:
            found[attack.name, await strike(attack, target, context, dice)] += 1

    async def come(attack: Attack) -> None:
        while (wait := dice.expovariate(attack.rate * times)) < end - time.monotonic():
            await asyncio.sleep(wait)
            group.create_task(one(attack))

    async with asyncio.TaskGroup() as group:
        for attack in several:
            group.create_task(come(attack))
    return found


def _serve(pipe: Connection, target: Target, seconds: float, times: float) -> None:
    pipe.send(asyncio.run(storm(target, attacks(target), seconds, times)))


class Beside:
    """Attacks a service from another process while it is used as a context; `outcomes` waits for the last client."""

    def __init__(self, target: Target, seconds: float, times: float) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._mine, theirs = spawning.Pipe(duplex=False)
        self._process = spawning.Process(target=_serve, args=(theirs, target, seconds, times), daemon=True)
        self._theirs = theirs

    def __enter__(self) -> Self:
        self._process.start()
        self._theirs.close()  # so that the end of the process ends the waiting
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def outcomes(self) -> Outcomes:
        """Return what came of all attacks.

        Raises:
            EOFError: the process broke.
        """
        found: Outcomes = self._mine.recv()
        return found
