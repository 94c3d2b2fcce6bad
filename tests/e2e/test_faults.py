"""What happens to a running service, and what it makes of it: no wrong answer, no open door, nothing lost.

One service of two workers for all of it; each fault begins when clients ask without a pause and ends when the service
answers all of them again, without anybody's hands. docs/faults.md tells what is expected and what was seen.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from e2e.faults import CONNECTION, Faulty, check_left, crowd, kind_of, serving, wait_until
from e2e.running import Place, free_port

STARTING = "503 service-unavailable"
NO_USERS = "503 users-unavailable"


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
