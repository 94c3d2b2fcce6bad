"""One shape for every error, whoever makes it; no request fetches, breaks or leaks anything."""

import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from e2e.raw import Answer, connect, exchange, read_answer, request
from e2e.running import PASSWORD, Place, Running

PROBLEM = "application/problem+json"
LIMIT = 10_000_000  # bytes, the default of LASTGANG_MAX_BODY_BYTES
HEADER = b"Datum,Wert (kW)\n"
BOUNDARY = {"Content-Type": "multipart/form-data; boundary=frontier"}
CSV = {"Content-Type": "text/csv"}


def part(disposition: str, content: bytes = b"x") -> bytes:
    """Return a form of one part with this Content-Disposition."""
    return f"--frontier\r\n{disposition}\r\n\r\n".encode() + content + b"\r\n--frontier--\r\n"


FILE_PART = 'Content-Disposition: form-data; name="file"; filename="load.csv"'


@dataclass(frozen=True)
class Bad:
    """A request that is refused, and how."""

    name: str
    status: int
    type: str
    sent: dict[str, Any] = field(default_factory=dict)
    path: str = "/predict/gru"
    method: str = "POST"

    def __str__(self) -> str:
        return self.name


def chunks(size: int) -> Iterator[bytes]:
    """Give a body whose length nobody declares."""
    for _ in range(0, size, 100_000):
        yield b"1" * 100_000


UPLOADS = [
    Bad("no body", 415, "unsupported-media-type"),
    Bad("no file in the form", 400, "malformed-upload", {"files": {"other": ("load.csv", HEADER)}}),
    Bad("the file as text", 400, "malformed-upload", {"files": {"file": (None, HEADER)}}),
    Bad("two files", 400, "malformed-upload", {"files": [("file", HEADER), ("file", HEADER)]}),
    Bad("three files", 400, "malformed-upload", {"files": [("file", HEADER)] * 3}),
    Bad("a second file under another name", 400, "malformed-upload", {"files": {"file": HEADER, "more": HEADER}}),
    Bad("a file and a text of that name", 400, "malformed-upload", {"files": [("file", HEADER), ("file", (None, ""))]}),
    Bad("a form in name only", 400, "malformed-upload", {"content": b"garbage", "headers": BOUNDARY}),
    Bad("an empty form", 400, "malformed-upload", {"content": b"", "headers": BOUNDARY}),
    Bad("a form that stops", 400, "malformed-upload", {"content": part(FILE_PART)[:-16], "headers": BOUNDARY}),
    Bad("a part without a name", 400, "malformed-upload", {"content": part("X-A: b"), "headers": BOUNDARY}),
    Bad("a part without headers", 400, "malformed-upload", {"content": part(""), "headers": BOUNDARY}),
    Bad(
        "a part of another name that is no UTF-8",
        400,
        "malformed-upload",
        {"content": part('Content-Disposition: form-data; name="a"', b"\xff\xfe"), "headers": BOUNDARY},
    ),
    Bad(
        "fields without end", 400, "malformed-upload", {"data": {f"f{at}": "" for at in range(99)}, "files": {"f": b""}}
    ),
    Bad("a field of a megabyte", 400, "malformed-upload", {"data": {"f": "x" * 2**21}, "files": {"file": HEADER}}),
    Bad("no boundary", 400, "malformed-upload", {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}),
    Bad(
        "an empty boundary",
        400,
        "malformed-upload",
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary="}},
    ),
    Bad("JSON", 415, "unsupported-media-type", {"json": {"file": "Datum,Wert (kW)"}}),
    Bad("a form without files", 415, "unsupported-media-type", {"data": {"file": "Datum,Wert (kW)"}}),
    Bad("plain text", 415, "unsupported-media-type", {"content": HEADER, "headers": {"Content-Type": "text/plain"}}),
    Bad("no content type", 415, "unsupported-media-type", {"content": HEADER}),
    Bad(
        "compressed", 415, "unsupported-media-type", {"content": HEADER, "headers": CSV | {"Content-Encoding": "gzip"}}
    ),
    Bad("too large", 413, "body-too-large", {"content": b"1" * (LIMIT + 1), "headers": CSV}),
    Bad("too large a form", 413, "body-too-large", {"files": {"file": b"1" * LIMIT}}),
    Bad("too large, in chunks", 413, "body-too-large", {"content": LIMIT + 1_000_000, "headers": CSV}),
    Bad("an empty body as CSV", 422, "invalid-load-profile", {"content": b"", "headers": CSV}),
    Bad("an empty file", 422, "invalid-load-profile", {"files": {"file": b""}}),
    Bad("a binary file", 422, "invalid-load-profile", {"files": {"file": bytes(range(256)) * 9}}),
    Bad("NUL bytes", 422, "invalid-load-profile", {"files": {"file": HEADER + b"\0" * 9}}),
    Bad("a spreadsheet", 422, "invalid-load-profile", {"files": {"file": b"PK\x03\x04" + bytes(99)}}),
    Bad("a file in UTF-16", 422, "invalid-load-profile", {"files": {"file": HEADER.decode().encode("utf-16")}}),
    Bad("a header alone", 422, "invalid-load-profile", {"files": {"file": HEADER}}),
    Bad("open quotes", 422, "invalid-load-profile", {"files": {"file": HEADER + b'"2016'}}),
    Bad("a cell without end", 422, "invalid-load-profile", {"files": {"file": HEADER + b"1" * 1_000_000 + b",1\n"}}),
]
NAMES = [
    Bad("an unknown model", 404, "unknown-model", path="/predict/nope"),
    Bad("a model's name in capitals", 404, "unknown-model", path="/predict/GRU"),
    Bad("a model's name of dots", 404, "unknown-model", path="/predict/..."),
    Bad("a model's name of control characters", 404, "unknown-model", path="/predict/%00%0a%1b%7f"),
    Bad("a model's name of emoji", 404, "unknown-model", path="/predict/%F0%9F%A6%86"),
    Bad("a model's name that is no UTF-8", 404, "unknown-model", path="/predict/%ff%fe"),
    Bad("a model's name of 5,000 letters", 404, "unknown-model", path="/predict/" + "x" * 5_000),
    Bad("a model's name with a slash", 404, "not-found", path="/predict/%2e%2e%2fgru"),
    Bad("no model's name", 404, "not-found", path="/predict/"),
]
OTHERS = [
    Bad("the card of an unknown model", 404, "unknown-model", path="/models/nope", method="GET"),
    Bad("an unknown path", 404, "not-found", path="/nothing-here", method="GET"),
    Bad("an unknown static file", 404, "not-found", path="/static_content/nothing", method="GET"),
    Bad("a way out of the static files", 404, "not-found", path="/static_content/%2e%2e/app.py", method="GET"),
    Bad("GET of a prediction", 405, "method-not-allowed", method="GET"),
    Bad("PUT of a prediction", 405, "method-not-allowed", method="PUT"),
    Bad("DELETE of a model", 405, "method-not-allowed", path="/models/gru", method="DELETE"),
    Bad("POST to a probe", 405, "method-not-allowed", path="/livez", method="POST"),
    Bad("GET of a token", 405, "method-not-allowed", path="/token", method="GET"),
    Bad("a body where none belongs", 413, "body-too-large", {"content": b"1" * 70_000}, "/models", "GET"),
]
LOG_INS = [
    Bad("no form", 400, "invalid-token-request", path="/token"),
    Bad("no password", 400, "invalid-token-request", {"data": {"username": "ada"}}, "/token"),
    Bad("no name", 400, "invalid-token-request", {"data": {"password": PASSWORD}}, "/token"),
    Bad(
        "a log-in as JSON", 400, "invalid-token-request", {"json": {"username": "ada", "password": PASSWORD}}, "/token"
    ),
    Bad("a name that is a file", 422, "invalid-request", {"files": {"username": b"ada"}}, "/token"),
    Bad(
        "a grant for clients, without one",
        401,
        "invalid-client",
        {"data": {"username": "ada", "password": PASSWORD, "grant_type": "client_credentials"}},
        "/token",
    ),
    Bad("another grant", 400, "unsupported-grant-type", {"data": {"grant_type": "authorization_code"}}, "/token"),
    Bad("a broken form", 400, "bad-request", {"content": b"garbage", "headers": BOUNDARY}, "/token"),
    Bad(
        "a log-in without boundary", 400, "bad-request", {"headers": {"Content-Type": "multipart/form-data"}}, "/token"
    ),
    Bad(
        "a password of 70 kB", 413, "body-too-large", {"data": {"username": "ada", "password": "x" * 70_000}}, "/token"
    ),
    Bad("a wrong password", 401, "invalid-credentials", {"data": {"username": "ada", "password": "x"}}, "/token"),
    Bad("a NUL in the name", 401, "invalid-credentials", {"data": {"username": "a\0", "password": "x"}}, "/token"),
    Bad(
        "a name that is SQL",
        401,
        "invalid-credentials",
        {"data": {"username": "' OR 1=1 --", "password": "x"}},
        "/token",
    ),
    Bad(
        "a password that is no UTF-8",
        401,
        "invalid-credentials",
        {"content": b"username=ada&password=%ff", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        "/token",
    ),
]


def assert_problem(status: int, content_type: str | None, body: bytes) -> dict[str, Any]:
    """Demand the one shape, and return the document."""
    assert content_type == PROBLEM
    document: dict[str, Any] = json.loads(body)
    assert {"type", "title", "status", "detail"} <= document.keys()
    assert document["status"] == status
    assert document["type"].startswith("urn:lastgang:problem:")
    assert document["title"]
    assert document["detail"]
    assert len(document["detail"]) < 1_000  # a sentence, not an echo of the request
    return document


@pytest.mark.parametrize("bad", [*UPLOADS, *NAMES, *OTHERS, *LOG_INS], ids=str)
def test_a_bad_request_gets_a_problem_document(ada: httpx.Client, week: bytes, bad: Bad) -> None:
    """Whichever layer refuses it, the answer has the one shape, and its status is the one in the document."""
    sent = dict(bad.sent)
    if bad in NAMES:
        sent["files"] = {"file": week}
    if isinstance(sent.get("content"), int):
        sent["content"] = chunks(sent["content"])
    answer = ada.request(bad.method, bad.path, **sent)
    document = assert_problem(answer.status_code, answer.headers.get("content-type"), answer.content)
    assert (answer.status_code, document["type"]) == (bad.status, f"urn:lastgang:problem:{bad.type}")
    assert ("allow" in answer.headers) == (bad.status == 405)
    listed = {
        "invalid-load-profile": {"row", "column", "code", "message"},
        "invalid-request": {"field", "code", "message"},
    }
    assert all(problem.keys() == listed[bad.type] for problem in document.get("problems", []))
    assert bool(document.get("problems")) == (bad.type in listed)


def test_the_limit_itself_is_not_too_large(ada: httpx.Client) -> None:
    """A body of exactly the limit is read: what is refused then is its content."""
    answer = ada.post("/predict/gru", content=b"1" * LIMIT, headers=CSV)
    assert answer.status_code == 422


def test_three_problems_are_listed_together(ada: httpx.Client, week: bytes) -> None:
    """One answer names them all, so that one correction suffices; `detail` tells the first and how many more."""
    lines = week.decode().splitlines()
    lines[9], lines[19], lines[29] = (lines[at].partition(",")[0] + ",?" for at in (9, 19, 29))
    answer = ada.post("/predict/cnn", files={"file": "\n".join(lines)})
    document = assert_problem(answer.status_code, answer.headers["content-type"], answer.content)
    assert [problem["row"] for problem in document["problems"]] == [10, 20, 30]
    assert document["detail"] == "Row 10: '?' is not a number in kW. (2 more)"


def test_very_many_problems_are_counted(ada: httpx.Client) -> None:
    """The first hundred are listed and all are counted, so that an answer stays small."""
    answer = ada.post("/predict/gru", files={"file": HEADER + b"x,y\n" * 50_000})
    document = assert_problem(answer.status_code, answer.headers["content-type"], answer.content)
    assert (len(document["problems"]), document["problem_count"]) == (100, 100_000)


def test_no_request_makes_the_service_fetch(ada: httpx.Client) -> None:
    """A URL in place of a file, wherever it stands, is refused and nobody connects to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/load.csv"
        requests: list[dict[str, Any]] = [
            {"files": {"file": (None, url)}},
            {"files": {"file": ("load.csv", url)}},
            {"files": {"file": ("load.csv", url, "text/uri-list")}},
            {"files": {url: ("load.csv", HEADER)}},
            {"data": {"file": url}},
            {"json": {"file": url}},
            {"json": url},
            {"content": url, "headers": {"Content-Type": "text/plain"}},
            {"content": url, "headers": CSV},
            {"content": url},
            {"params": {"file": url}},
        ]
        answers = [ada.post(f"/{route}/gru", **sent) for route in ("predict", "forecast") for sent in requests]
        assert {answer.status_code for answer in answers} <= {400, 415, 422}
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def upload(token: str, *headers: str, body: bytes = b"") -> bytes:
    """Write a POST of a CSV by hand."""
    sent = (f"Authorization: Bearer {token}", "Content-Type: text/csv", *headers)
    return request("POST", "/predict/gru", *sent, body=body)


@pytest.mark.parametrize(
    "header",
    ["Content-Length: 11000000", "Content-Length: 999999999999999", "Expect: 100-continue\r\nContent-Length: 11000000"],
)
def test_too_large_is_said_before_the_body_comes(server: Running, place: Place, token: str, header: str) -> None:
    """A declared length over the limit is refused at once: not one byte of the body was sent here."""
    answer = exchange(place, upload(token, header))
    assert answer.status == 413
    assert_problem(answer.status, answer.headers["content-type"], answer.body)


def test_a_body_longer_than_declared_is_cut(server: Running, place: Place, token: str, week: bytes) -> None:
    """The declared length counts; what comes after it is no part of the file."""
    answer = exchange(place, upload(token, "Content-Length: 100", body=week))
    assert answer.status == 422
    assert_problem(answer.status, answer.headers["content-type"], answer.body)


@pytest.mark.parametrize("path", ["/predict/gru", "/token"])
def test_a_body_shorter_than_declared_is_forgotten(
    server: Running, place: Place, token: str, anyone: httpx.Client, path: str
) -> None:
    """A client that goes away in the middle of its body gets nothing, and the next one is served."""
    headers = [f"Authorization: Bearer {token}", "Content-Type: multipart/form-data; boundary=x", "Content-Length: 999"]
    with connect(place) as connection:
        connection.sendall(request("POST", path, *headers, body=b"--x\r\n"))
    assert anyone.get("/livez").status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"garbage\r\n\r\n",
        b"GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"FETCH /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /liv\xc3\xa9z HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
        b"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        b"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /token HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=lambda sent: sent[:40].decode("latin-1"),
)
def test_what_is_no_http_is_refused_below(server: Running, place: Place, sent: bytes) -> None:
    """What cannot be read as HTTP, or in two ways, never reaches the service: the HTTP server says 400 or hangs up."""
    try:
        answer = exchange(place, sent)
    except (ConnectionError, ssl.SSLError):
        return
    status = 414 if len(sent) > 10_000 else 400
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert_problem(answer.status, answer.headers["content-type"], answer.body)


def test_a_smuggled_request_is_not_served(server: Running, place: Place, token: str) -> None:
    """Of two lengths that contradict each other neither is believed, so nothing hides behind a body."""
    hidden = request("GET", "/models", f"Authorization: Bearer {token}")
    outer = [f"Content-Length: {len(hidden) + 5}", "Transfer-Encoding: chunked"]
    answers = _all_answers(place, request("POST", "/token", *outer, body=b"0\r\n\r\n" + hidden))
    assert [answer.status for answer in answers] == [400]


def _all_answers(place: Place, sent: bytes) -> list[Answer]:
    answers = []
    with connect(place) as connection:
        connection.sendall(sent)
        while True:
            try:
                answers.append(read_answer(connection))
            except (ConnectionError, ssl.SSLError):
                return answers


def test_the_log_tells_no_secret_and_no_traceback(
    server: Running, place: Place, ada: httpx.Client, anyone: httpx.Client, token: str
) -> None:
    """After all these mistakes of clients (this file's and, by their order, others'), the log is short and discreet."""
    anyone.post("/token", data={"username": "ada", "password": f"{PASSWORD}-typo"})
    ada.get(f"/models/{token}")
    exchange(place, b"GET /" + token.encode() + b"\r\n\r\n")
    answer = ada.get("/models/%0aforged%20line")
    assert answer.status_code == 404
    log = server.output
    assert "Traceback" not in log
    assert "ERROR" not in log
    assert "forged line" not in log
    key = (place.home / "signing.key").read_text().strip()
    signature = token.rpartition(".")[2]
    assert not [secret for secret in (PASSWORD, key, signature) if secret in log]
