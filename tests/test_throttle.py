"""Who guesses passwords has to wait longer and longer; who has the right one and is where she always is, never."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from databases import prepared, url_of

from auth.counters import Counters, beside
from auth.database import Database, connect
from auth.errors import InvalidClient, InvalidCredentials, PasswordChecksBusy, TooManyLogIns
from auth.places import KNOWN, KnownPlaces
from auth.throttle import Throttle

HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"


def _check(password: str) -> None:
    if password != "right":
        raise InvalidCredentials


class Door:
    """A log-in with one right password, in two replicas that share a database."""

    def __init__(self, database: Database) -> None:
        self.now, self.database = 1_000_000.0, database
        url = beside(database.engine.url.render_as_string(hide_password=False))
        self.stores = [Counters(connect(url)) for _ in range(2)]
        self.replicas = [Throttle(one, KnownPlaces(database), b"key", lambda: self.now) for one in self.stores]
        self.tried = 0

    def knock(self, name: str, password: str, address: str, replica: int = 0) -> str | int:
        """Try to log in; return 'in', 'wrong', or the seconds to wait."""

        async def knock() -> str | int:
            try:
                async with self.replicas[replica].attempt(name, address):
                    self.tried += 1
                    _check(password)
            except InvalidCredentials:
                return "wrong"
            except TooManyLogIns as refused:
                return refused.retry_after
            return "in"

        return asyncio.run(knock())

    def fail(self, times: int, name: str, address: str) -> list[str | int]:
        """Try wrong passwords one after the other, in turn at both replicas."""
        return [self.knock(name, "guess", address, at % 2) for at in range(times)]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """Give a door that nobody has tried yet."""
    with prepared(url_of(tmp_path)) as database:
        door = Door(database)
        yield door
        for store in door.stores:
            store.close()


def test_guesses_wait_longer_and_longer(door: Door) -> None:
    """After five failures of a name at an address each one doubles the wait; what is refused is not looked at."""
    assert door.fail(7, "ada", HOME) == ["wrong"] * 5 + [1, 1]
    assert door.tried == 5
    for wait in (1, 2, 4, 8, 16):
        door.now += wait
        assert door.knock("ada", "guess", HOME) == "wrong"
    assert door.knock("ada", "right", HOME) == 32
    door.now += 31.5
    assert door.knock("ada", "right", HOME) == 1
    door.now += 0.5
    assert door.knock("ada", "right", HOME) == "in"
    assert door.fail(5, "ADA", HOME) == ["wrong"] * 5  # the success began anew, and letters' cases are one


def test_the_wait_ends(door: Door) -> None:
    """No wait is longer than a quarter of an hour, and an hour after the last failure all is forgotten."""
    for _ in range(30):
        door.knock("ada", "guess", HOME)
        door.now += 900
    door.now -= 900
    assert door.knock("ada", "guess", HOME) == 900
    door.now += 3_600
    assert door.fail(5, "ada", HOME) == ["wrong"] * 5


def test_a_clock_that_was_ahead_locks_nobody_out(door: Door) -> None:
    """Log-ins that failed while it was a day ahead make nobody wait once it is right, and guesses count as ever."""
    door.now += 86_400
    assert door.fail(7, "ada", HOME)[-1] == 1
    door.now -= 86_400
    assert door.fail(6, "ada", HOME) == ["wrong"] * 5 + [1]
    door.now += 1
    assert door.knock("ada", "right", HOME) == "in"


def test_a_stranger_does_not_lock_the_user_out(door: Door) -> None:
    """However often others fail with her name from a thousand addresses, she comes in from where she was before."""
    assert door.knock("ada", "right", HOME) == "in"
    for at in range(120):
        door.fail(6, "ada", f"198.51.{at}.7")
    for at in range(40):
        door.fail(2, f"name{at}", HOME)  # and from her own address, with other names
    assert door.knock("ada", "right", HOME) == "in"
    assert door.knock("ada", "guess", HOME) == "wrong"  # a slip of hers counts for itself
    assert door.knock("ada", "right", HOME, replica=1) == "in"


def test_many_addresses_are_slowed(door: Door) -> None:
    """A name that is guessed from everywhere gets one attempt in a while, wherever it comes from."""
    outcomes = [door.knock("ada", "guess", f"198.51.100.{at}") for at in range(30)]
    assert outcomes == ["wrong"] * 20 + [1] * 10
    door.now += 1
    assert door.knock("ada", "right", "203.0.113.9") == "in"  # slow, not locked
    for at in range(60):
        door.now += 30
        assert door.knock("ada", "guess", f"198.51.101.{at}") == "wrong"
    assert door.knock("ada", "guess", ELSEWHERE) == 30


def test_one_address_with_many_names(door: Door) -> None:
    """An address that tries a password with every name is slowed; others are not."""
    outcomes = [door.knock(f"name{at}", "guess", ELSEWHERE) for at in range(55)]
    assert outcomes == ["wrong"] * 50 + [1] * 5
    assert door.knock("name99", "guess", HOME) == "wrong"


def test_a_success_takes_nothing_of_others_back(door: Door) -> None:
    """Whoever has an account of their own cannot wipe out the failures of their address with it."""
    for at in range(50):
        assert door.knock(f"name{at}", "guess", ELSEWHERE) == "wrong"
        if at % 10 == 0:
            assert door.knock("eve", "right", ELSEWHERE) == "in"
    assert door.knock("name99", "guess", ELSEWHERE) == 1
    assert door.knock("eve", "right", ELSEWHERE) == "in"


def test_everything_is_slowed_at_last(door: Door) -> None:
    """After a thousand failures of whomever, new places get one attempt a second between them; known ones go on."""
    assert door.knock("ada", "right", HOME) == "in"
    for at in range(1_000):
        assert door.knock(f"name{at}", "guess", f"10.{at // 250}.{at % 250}.1") == "wrong"
    assert door.knock("bob", "guess", ELSEWHERE) == 1
    assert door.knock("ada", "right", HOME) == "in"
    door.now += 1
    assert door.knock("bob", "right", ELSEWHERE) == "in"


def test_ipv6_clients_are_networks(door: Door) -> None:
    """Addresses of one /64 are one client, as everyone has so many of them."""
    assert [door.knock("ada", "guess", f"2001:db8::{at:x}") for at in range(1, 8)] == ["wrong"] * 5 + [1, 1]
    assert door.knock("ada", "guess", "2001:db8:0:1::1") == "wrong"
    assert door.knock("ada", "guess", "::ffff:192.0.2.1") == "wrong"


def test_names_that_are_no_users(door: Door) -> None:
    """The throttle knows no users: any text is counted alike, so that it tells nobody who is one."""
    for name in ("ada", "nobody", "x" * 60_000, "\ud800", "", "' OR 1=1 --"):
        assert door.fail(6, name, f"192.0.2.{len(name) % 250}") == ["wrong"] * 5 + [1]


def test_a_thousand_at_once(door: Door) -> None:
    """Attempts that run side by side in both replicas count as if they came one after the other."""

    async def guess(at: int) -> bool:
        with suppress(InvalidCredentials, TooManyLogIns):
            async with door.replicas[at % 2].attempt("ada", HOME):
                await asyncio.sleep(0.05)  # while the password is checked
                door.tried += 1
                raise InvalidCredentials
        return True

    async def all_at_once() -> None:
        await asyncio.gather(*(guess(at) for at in range(60)))

    asyncio.run(all_at_once())
    assert door.tried == 5


def test_what_was_not_checked_does_not_count(door: Door) -> None:
    """An attempt that ended for another reason is no failure and makes no place known."""

    async def busy() -> None:
        async with door.replicas[0].attempt("ada", HOME):
            raise PasswordChecksBusy(1)

    for _ in range(8):
        with pytest.raises(PasswordChecksBusy):
            asyncio.run(busy())
    assert door.fail(6, "ada", HOME) == ["wrong"] * 5 + [1]


def test_places_are_forgotten(door: Door) -> None:
    """A place counts as known for ninety days after the last log-in there, and not for ever."""
    places, now = door.replicas[0]._places, 5e6
    places.add("a", now)
    assert places.knows("a", now + KNOWN - 1)
    assert not places.knows("a", now + KNOWN)
    places.add("a", now + KNOWN - 1)
    assert places.knows("a", now + KNOWN)
    places.add("b", now + 3 * KNOWN)
    with door.database.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM known_places")).scalar() == 1
    assert places.knows("b", now + 3 * KNOWN)


def test_clients_are_guarded(door: Door) -> None:
    """A client's wrong secrets make the next ones wait; where it has been before, nobody elsewhere gets in its way."""

    async def show(secret: str, address: str) -> str:
        try:
            async with door.replicas[0].guard("client:meter", address):
                if secret != "right":
                    raise InvalidClient  # noqa: TRY301 - as whoever compares it
        except InvalidClient:
            return "wrong"
        except TooManyLogIns:
            return "wait"
        return "in"

    def shown(*what: str) -> str:
        return asyncio.run(show(*what))

    assert [shown("guess", ELSEWHERE) for _ in range(7)] == ["wrong"] * 5 + ["wait"] * 2
    assert shown("right", ELSEWHERE) == "wait"
    assert shown("right", HOME) == "in"
    for at in range(20):
        assert shown("guess", f"10.0.0.{at}") == ("wrong" if at < 15 else "wait")
    assert shown("right", HOME) == "in"
