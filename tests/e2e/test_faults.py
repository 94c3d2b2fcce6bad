"""What happens to a running service, and what it makes of it: no wrong answer, no open door, nothing lost.

One service of two workers for all of it; each fault begins when clients ask without a pause and ends when the service
answers all of them again, without anybody's hands. docs/faults.md tells what is expected and what was seen.
"""

import sqlite3
import ssl
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from bounded_server import make_certificate
from cryptography.x509 import load_pem_x509_certificate
from e2e.faults import (
    CONNECTION,
    CSV,
    OK,
    PREDICT,
    Faulty,
    assert_the_same,
    check_left,
    crowd,
    kind_of,
    serving,
    status,
    wait_until,
)
from e2e.raw import connect, read_answer, request
from e2e.running import Place, free_port

STARTING = "503 service-unavailable"
NO_USERS = "503 users-unavailable"
AT_ONCE = 640  # requests; ten times the places of a worker
MOST_MORE = 300_000_000  # bytes that a worker may grow by under them


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, gru_only: Path) -> Iterator[Faulty]:
    """Give a service of its own; no fault may have left a traceback in its log."""
    place = Place(tmp_path_factory.mktemp("faulty"), gru_only, free_port())
    with serving(place, LASTGANG_MAX_CONNECTIONS="4000") as running:
        yield Faulty(place, running)
        assert running.stop() == 0
        assert "Traceback" not in running.output, running.output


def test_a_worker_is_killed(faulty: Faulty) -> None:
    """Requests on its connections fail as connections do; the other worker answers, and another takes its place."""
    before = {one.pid for one in faulty.workers()}
    assert len(before) == 2
    with crowd(faulty.place, faulty.tokens) as asking:
        victim = faulty.workers()[0]
        victim.kill()
        asking.goes_on()
        back = wait_until(lambda: len({one.pid for one in faulty.workers()} - {victim.pid}) == 2)
        wait_until(faulty.ready)
        asking.goes_on()
    asking.check(*CONNECTION, STARTING)
    asking.tell("a worker killed", f"another one is there after {back:.1f} s")
    check_left(faulty, asking)


def test_the_database_is_locked(faulty: Faulty) -> None:
    """Another process writes for longer than anybody waits: what has to be written is refused, and goes on after."""
    with crowd(faulty.place, faulty.tokens) as asking:
        with closing(sqlite3.connect(faulty.place.home / "users.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            asking.goes_on()
            with faulty.place.client(faulty.tokens.good) as ada:
                new = {"username": "bob", "password": "another long pass phrase 7", "scopes": []}
                refused = ada.post("/users", json=new)
            other.execute("ROLLBACK")
        asking.goes_on()
    assert kind_of(refused) == NO_USERS
    asking.check(NO_USERS)
    asking.tell("database locked")
    check_left(faulty, asking)


def test_the_database_is_gone_and_back(faulty: Faulty) -> None:
    """Its files are moved away for a while, log-ins and changes included, and moved back: nobody is lost.

    Again and again, as what a connection finds that is opened between the first file and the last is a matter of luck.
    """
    home = faulty.place.home
    away = home / "away"
    away.mkdir()
    kinds: Counter[str] = Counter()
    with crowd(faulty.place, faulty.tokens) as asking:
        for _ in range(8):
            files = list(home.glob("users.db*"))
            for file in files:
                file.rename(away / file.name)
            asking.answers_on(20)
            with faulty.place.client() as anyone:
                wrong = [anyone.post("/token", data={"username": "ada", "password": "not right"}) for _ in range(3)]
            kinds.update(kind_of(one) for one in wrong)
            for file in files:
                (away / file.name).replace(home / file.name)
            asking.goes_on()
    asking.check(NO_USERS, "503 users-unusable", "401 invalid-token")
    assert OK not in kinds
    asking.tell("database gone", dict(kinds))
    check_left(faulty, asking)


def test_ten_times_too_much(faulty: Faulty) -> None:
    """Ten times as many at once as there are places: quick refusals that say when to come again, and right answers."""
    workers = faulty.workers()
    before = {one.pid: one.memory_info().rss for one in workers}
    sent = request(
        "POST",
        PREDICT,
        f"Authorization: Bearer {faulty.tokens.good}",
        "Content-Type: text/csv",
        f"Content-Length: {len(CSV['content'])}",
        body=CSV["content"],
    )
    context = faulty.place.tls()
    probes: Counter[int | None] = Counter()
    with crowd(faulty.place, faulty.tokens) as asking:
        with ThreadPoolExecutor(AT_ONCE // 10) as pool:
            connections = list(pool.map(lambda _: connect(faulty.place, context), range(AT_ONCE)))
            list(pool.map(lambda one: one.sendall(sent), connections))
            answers = pool.map(read_answer, connections)
            probes[status(faulty.place, "/livez")] += 1
            done = list(answers)
        for one in connections:
            one.close()
        asking.goes_on()
    statuses = Counter(answer.status for answer in done)
    assert set(statuses) <= {200, 503}
    assert_the_same({answer.body for answer in done if answer.status == 200} | set(asking.numbers))
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in done if answer.status == 503)
    assert probes == {200: 1}
    grown = max(one.memory_info().rss - before[one.pid] for one in workers)
    assert grown < MOST_MORE
    asking.check("503 overloaded")
    asking.tell("ten times too much", f"{dict(statuses)}; a worker grew by {grown / 1e6:.0f} MB")
    check_left(faulty, asking)


def test_no_file_descriptor_is_left(faulty: Faulty) -> None:
    """Workers that may open no file more refuse and do not spin; with descriptors again all goes on."""
    workers = faulty.workers()
    limits = {one.pid: one.rlimit(psutil.RLIMIT_NOFILE) for one in workers}
    length = len(faulty.running.output)
    with crowd(faulty.place, faulty.tokens) as asking:
        for one in workers:
            one.rlimit(psutil.RLIMIT_NOFILE, (one.num_fds() + 2, limits[one.pid][1]))
        # More connections than that.
        idle = [ThreadPoolExecutor(1).submit(status, faulty.place, "/livez") for _ in range(20)]
        asking.answers_on(30)
        spent = {one.pid: sum(one.cpu_times()[:2]) for one in workers}
        for one in idle:
            one.exception(60)
        told = len(faulty.running.output) - length
        for one in workers:
            one.rlimit(psutil.RLIMIT_NOFILE, limits[one.pid])
        asking.goes_on()
        wait_until(faulty.ready)
    asking.check(*CONNECTION, NO_USERS, "503 audit-unavailable", "503 users-unusable")
    assert told < 20_000, faulty.running.output[length:]
    asking.tell("no file descriptors", f"{told} bytes of log, processor seconds {spent}")
    check_left(faulty, asking)


def test_the_certificate_is_renewed(faulty: Faulty) -> None:
    """New connections get the new one, open ones go on, and nobody restarts anything."""
    home = faulty.place.home
    pair = home / "renewed.pem"
    make_certificate(pair, serial=4711)
    length = len(faulty.running.output)

    def all_have_it() -> bool:
        # Each worker looks once a second by itself, and all of a few new connections may go to one worker.
        told = faulty.running.output[length:].count("A renewed certificate is used from now on")
        return told == len(faulty.workers()) and {serial(faulty.place) for _ in range(8)} == {4711}

    with crowd(faulty.place, faulty.tokens) as asking:
        for name in ("tls.key", "tls.crt"):
            (home / "half").write_bytes(pair.read_bytes())
            (home / "half").replace(home / name)
        seconds = wait_until(all_have_it)
        asking.goes_on()
        wait_until(faulty.ready)
    asking.check("ConnectError")
    asking.tell("certificate renewed", f"all new connections have it after {seconds:.1f} s")
    check_left(faulty, asking)


def serial(place: Place) -> int:
    """Return the number of the certificate that a new connection gets."""
    return load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", place.port)).encode()).serial_number
