"""A service of two workers with narrow limits: they count together, shed what is too much, and lock nobody out."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from e2e.raw import connect, exchange, read_answer, request
from e2e.running import LAUNCH, PASSWORD, READY, Place, Running, free_port

REQUESTS, SITES = 1_000, 300
SETTINGS = {
    "LASTGANG_FIRST_USER": "ada",
    "LASTGANG_FIRST_PASSWORD": PASSWORD,
    "LASTGANG_WORKERS": "2",
    "LASTGANG_REQUESTS_PER_MINUTE": str(REQUESTS),
    "LASTGANG_SITES_PER_HOUR": str(SITES),
    "LASTGANG_MAX_REQUESTS": "2",
    "LASTGANG_MAX_QUEUE": "2",
    "LASTGANG_BODY_SECONDS": "3",
    "LASTGANG_TRUSTED_PROXIES": "127.0.0.0/8",
}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[Place]:
    """Give a running service with narrow limits; it must log neither tracebacks nor errors."""
    place = Place(tmp_path_factory.mktemp("narrow"), store, free_port())
    with Running(LAUNCH, place.environment(**SETTINGS)) as server:
        server.wait_for(READY)
        yield place
        assert server.stop() == 0
        assert not [words for words in ("Traceback", "ERROR", PASSWORD) if words in server.output]


@pytest.fixture(scope="module")
def token(narrow: Place) -> str:
    """Give the first user's token."""
    return narrow.log_in("ada", PASSWORD)


def log_in(place: Place, name: str, password: str, address: str) -> httpx.Response:
    """Log in on a connection of its own, through a proxy that says where the client is."""
    with place.client() as client:
        form = {"username": name, "password": password}
        return client.post("/token", data=form, headers={"X-Forwarded-For": f"203.0.113.99, {address}"})


def test_overload_is_shed_quickly(narrow: Place, token: str, week: bytes) -> None:
    """Ten times as many clients as there are places: some are served, the others hear at once when to come again."""
    probes: list[int] = []
    done = threading.Event()

    def probe() -> None:
        with narrow.client() as client:
            while not done.is_set():
                probes.append(client.get("/livez").status_code)

    def ask(_: int) -> tuple[httpx.Response, float]:
        with narrow.client(token) as client:
            start = time.monotonic()
            return client.post("/predict/gru", files={"file": week}), time.monotonic() - start

    prober = threading.Thread(target=probe)
    prober.start()
    with ThreadPoolExecutor(80) as pool:
        answers = list(pool.map(ask, range(160)))
    done.set()
    prober.join()
    statuses = Counter(answer.status_code for answer, _ in answers)
    assert set(statuses) == {200, 503}
    shed = [answer for answer, _ in answers if answer.status_code == 503]
    assert {answer.json()["type"] for answer in shed} == {"urn:lastgang:problem:overloaded"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in shed)
    assert set(probes) == {200}
    assert ask(0)[0].status_code == 200


def test_slow_clients_keep_nobody_out(narrow: Place, token: str, week: bytes) -> None:
    """Many more uploads and log-ins than there are places come byte by byte: others go on, and each is told in time."""
    sent = [f"Authorization: Bearer {token}", "Content-Type: text/csv", "Content-Length: 999"]
    slow = [request("POST", "/predict/gru", *sent, body=b"x"), request("POST", "/token", *sent, body=b"x")]
    connections = [connect(narrow) for _ in range(24)]
    for at, connection in enumerate(connections):
        connection.sendall(slow[at % 2])
    with narrow.client(token) as client:
        for _ in range(5):
            assert client.post("/predict/gru", files={"file": week}).status_code == 200
    for connection in connections:
        assert read_answer(connection).status == 408
        connection.close()


def test_lengths_that_are_lies(narrow: Place, token: str) -> None:
    """Large lengths that nothing follows are refused when the room is spoken for, and the room is free again after."""
    sent = [f"Authorization: Bearer {token}", "Content-Type: text/csv", "Content-Length: 49000000"]
    connections = [connect(narrow) for _ in range(16)]
    for connection in connections:
        connection.sendall(request("POST", "/forecast/gru", *sent))
    statuses = Counter(read_answer(connection).status for connection in connections)
    for connection in connections:
        connection.close()
    assert statuses[408] <= 4  # two of one user in each worker
    assert statuses[408] + statuses[503] == 16
    body = b"x" * 1_000_000
    assert (
        exchange(narrow, request("POST", "/forecast/gru", *sent[:2], f"Content-Length: {len(body)}", body=body)).status
        == 422
    )


@pytest.mark.parametrize(
    "part",
    [
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n',
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nb\r\n',
        b"--x\r\n\r\n\r\n",
        b"--x\r\nX: " + b"a" * 500 + b"\r\n\r\n",
    ],
    ids=["fields", "files", "parts without a head", "large heads"],
)
def test_a_million_parts(narrow: Place, token: str, part: bytes) -> None:
    """Parts without end are refused in a moment."""
    body = part * (9_000_000 // len(part)) + b"--x--\r\n"
    headers = [f"Authorization: Bearer {token}", "Content-Type: multipart/form-data; boundary=x"]
    start = time.monotonic()
    answer = exchange(narrow, request("POST", "/forecast/gru", *headers, f"Content-Length: {len(body)}", body=body))
    assert answer.status == 400
    assert time.monotonic() - start < 5


def test_a_form_of_very_many_fields(narrow: Place) -> None:
    """A log-in with as many fields as fit is refused and holds nobody up."""
    body = b"a=&" * 21_800
    headers = ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    start = time.monotonic()
    assert exchange(narrow, request("POST", "/token", *headers, body=body)).status in {400, 422}
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"a":' * 12_000, b"[" * 30_000 + b"]" * 30_000, b"1" * 60_000])
def test_json_without_end(narrow: Place, token: str, body: bytes) -> None:
    """JSON that is nested as deeply as fits, or one number as long, is the client's mistake."""
    headers = [f"Authorization: Bearer {token}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    answer = exchange(narrow, request("PUT", "/models/gru/labels/canary", *headers, body=body))
    assert answer.status in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


def test_sites_are_charged_before_a_model_works(narrow: Place, token: str, week: bytes) -> None:
    """A file of more sites than are left gets 429 and costs none; one of fewer is served, and says what is left."""
    rows = [line.split(",") for line in week.decode().splitlines()]
    header = ",".join([rows[0][0], *(f"S{at} (kW)" for at in range(SITES + 1))])
    table = "\n".join([header, *(",".join([time, *[power] * (SITES + 1)]) for time, power, *_ in rows[1:])])
    with narrow.client(token) as client:
        answer = client.post("/forecast/gru", files={"file": table})
        assert answer.status_code == 429
        document = answer.json()
        assert (document["type"], document["limit"]) == ("urn:lastgang:problem:quota-exceeded", SITES)
        assert int(answer.headers["retry-after"]) > 0
        assert client.post("/forecast/gru", files={"file": week}).status_code == 200


def test_a_stranger_locks_nobody_out(narrow: Place) -> None:
    """A log-in is guessed from elsewhere, in both workers: the guesser waits, the user does not."""
    home, elsewhere = "192.0.2.1", "198.51.100.7"
    assert log_in(narrow, "ada", PASSWORD, home).status_code == 200
    for name in ("ada", "nobody"):
        answers = [log_in(narrow, name, "guess", elsewhere) for _ in range(8)]
        assert [answer.status_code for answer in answers[:5]] == [401] * 5
        refused = [answer for answer in answers[5:] if answer.status_code == 429]
        assert len(refused) >= 2  # a second may have passed
        assert {answer.json()["type"] for answer in refused} == {"urn:lastgang:problem:too-many-log-ins"}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    wait = 0
    while wait < 8:
        time.sleep(wait)
        answer = log_in(narrow, "ada", "guess", elsewhere)
        wait = int(answer.headers.get("retry-after", 0))
    assert log_in(narrow, "ada", PASSWORD, elsewhere).status_code == 429
    assert log_in(narrow, "ada", PASSWORD, home).status_code == 200


def test_workers_count_together(narrow: Place, token: str) -> None:
    """Of more requests than a minute has, on many connections to both workers, no more are admitted than the limit."""
    while time.time() % 60 > 30:  # the minute must not end meanwhile
        time.sleep(1)
    minute = time.time() // 60
    sent = request("GET", "/users/me", f"Authorization: Bearer {token}").replace(b"Connection: close\r\n", b"")

    def ask(_: int) -> list[int]:
        statuses: list[int] = []
        with connect(narrow) as connection, suppress(OSError, http.client.HTTPException):
            while len(statuses) < 100:
                connection.sendall(sent)
                statuses.append(read_answer(connection).status)
        return statuses

    with ThreadPoolExecutor(4) as pool:
        statuses = Counter(status for some in pool.map(ask, range(16)) for status in some)
    assert time.time() // 60 == minute
    assert set(statuses) <= {200, 429, 503}
    assert statuses[200] <= REQUESTS
    assert statuses[200] > REQUESTS - 300  # others of these tests may have been in the same minute
    answer = exchange(narrow, request("GET", "/users/me", f"Authorization: Bearer {token}"))
    assert answer.status == 429
    assert answer.headers["ratelimit"].startswith('"requests";r=')
    assert json.loads(answer.body)["window_seconds"] == 60
