"""Passwords are hashed as OWASP says, checked in equal time, off the event loop, and in bounded number."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth.errors import InvalidCredentials, PasswordChecksBusy, WeakPassword
from auth.passwords import LONGEST, Passwords, strong_enough

GOOD = "correct horse battery"


@pytest.fixture(scope="module")
def quick() -> Iterator[Passwords]:
    passwords = Passwords(memory=64, passes=1)
    yield passwords
    passwords.close()


@pytest.fixture(scope="module")
def real() -> Iterator[Passwords]:
    passwords = Passwords()
    yield passwords
    passwords.close()


def test_parameters(real: Passwords) -> None:
    """A hash is Argon2id, version 1.3, with the 19 MiB, two passes and one lane of OWASP."""
    assert real.hash(GOOD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_salt(quick: Passwords) -> None:
    """The same password never has the same hash twice."""
    assert quick.hash(GOOD) != quick.hash(GOOD)


@pytest.mark.parametrize(
    "password", [GOOD, " leading and trailing ", "päßwörter sind länger", "密码密码密码", "x", "x" * LONGEST]
)
def test_right_password(quick: Passwords, password: str) -> None:
    """The password that was hashed is accepted, and its hash is up to date."""
    assert quick.verify(password, quick.hash(password)) is None


def test_one_form_of_accents(quick: Passwords) -> None:
    """An accented letter is the same whether it was typed as one character or as two."""
    assert quick.verify("Zu\u0308rich im Winter", quick.hash("Z\u00fcrich im Winter")) is None


WRONG = {
    "other": "correct horse batterz",
    "empty": "",
    "case": GOOD.upper(),
    "prefix": GOOD[:-1],
    "longer": GOOD + " ",
    "nul": "\0",
    "nul after the right one": GOOD + "\0",
    "half a surrogate pair": "\ud800" * 12,
    "too long": "x" * (LONGEST + 1),
    "too long in bytes": "ä" * LONGEST,
    "far too long": "x" * 1_000_000,
    "longer when composed": "\U0001d15e" * 1000,
}


@pytest.mark.parametrize("password", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_wrong_password(quick: Passwords, password: str, known: bool) -> None:
    """Every other password is refused in the same way, whether the user is known or not."""
    with pytest.raises(InvalidCredentials, match=r"^Incorrect username or password$"):
        quick.verify(password, quick.hash(GOOD) if known else None)


@pytest.mark.parametrize(
    "stored",
    ["", "x", GOOD, "$argon2id$v=19$m=1", "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$", "$2b$12$abc", "ü", "*"],
)
def test_unreadable_hash(quick: Passwords, stored: str) -> None:
    """A stored hash that cannot be read lets nobody in."""
    with pytest.raises(InvalidCredentials):
        quick.verify(GOOD, stored)


@settings(max_examples=200, deadline=None)
@given(password=st.text(st.characters(exclude_categories=())))
def test_any_text(quick: Passwords, password: str) -> None:
    """No text whatever brings anything but the one refusal."""
    with pytest.raises(InvalidCredentials):
        quick.verify(password, None)


def seconds_of_cpu(passwords: Passwords, stored: str | None) -> float:
    """Least CPU time of this thread for one refusal, of five."""
    times = []
    for _ in range(5):
        start = time.thread_time()
        with pytest.raises(InvalidCredentials):
            passwords.verify("wrong horse battery", stored)
        times.append(time.thread_time() - start)
    return min(times)


@pytest.mark.parametrize("stored", [None, "", "$argon2id$broken"], ids=["unknown", "empty", "broken"])
def test_equal_cost(real: Passwords, stored: str | None) -> None:
    """An unknown user and an unreadable hash cost within 30 % of the CPU time of a wrong password."""
    wrong = seconds_of_cpu(real, real.hash(GOOD))
    assert seconds_of_cpu(real, stored) == pytest.approx(wrong, rel=0.3)


def test_nobody_has_no_password() -> None:
    """Even the password that stands in for an unknown user's lets nobody in."""
    passwords = Passwords(memory=64, passes=1)
    passwords._nobody = passwords.hash(GOOD)
    passwords.close()
    for stored in (None, ""):
        with pytest.raises(InvalidCredentials):
            passwords.verify(GOOD, stored)


def test_renewal(quick: Passwords) -> None:
    """A hash made with other parameters is accepted and comes back renewed; the renewed one is kept."""
    old = Passwords(memory=32, passes=1)
    renewed = quick.verify(GOOD, old.hash(GOOD))
    old.close()
    assert renewed is not None
    assert renewed.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert quick.verify(GOOD, renewed) is None


def test_renewal_needs_the_password(quick: Passwords) -> None:
    """A wrong password renews nothing."""
    old = Passwords(memory=32, passes=1)
    stored = old.hash(GOOD)
    old.close()
    with pytest.raises(InvalidCredentials):
        quick.verify("wrong horse battery", stored)


def test_check_right_and_wrong(quick: Passwords) -> None:
    """Off the event loop the answers are the same."""
    stored = quick.hash(GOOD)
    assert asyncio.run(quick.check(GOOD, stored)) is None
    with pytest.raises(InvalidCredentials):
        asyncio.run(quick.check("wrong", stored))


def test_loop_stays_free(real: Passwords) -> None:
    """While a password is being checked the event loop goes on with other work."""

    async def turns_during_a_check() -> int:
        check = asyncio.create_task(real.check("wrong horse battery", None))
        turns = 0
        while not check.done():
            await asyncio.sleep(0)
            turns += 1
        with pytest.raises(InvalidCredentials):
            check.result()
        return turns

    assert asyncio.run(turns_during_a_check()) > 10


def test_bounded_queue() -> None:
    """With one worker and two places, one check more is refused at once, and later all places are free."""
    passwords = Passwords(memory=8192, passes=1, workers=1, queue=2)

    async def storm(size: int) -> list[BaseException | str | None]:
        checks = [passwords.check("wrong horse battery", None) for _ in range(size)]
        return list(await asyncio.gather(*checks, return_exceptions=True))

    async def twice() -> tuple[list[BaseException | str | None], list[BaseException | str | None]]:
        return await storm(5), await storm(3)

    first, second = asyncio.run(twice())
    passwords.close()
    assert [type(refusal) for refusal in first] == [InvalidCredentials] * 3 + [PasswordChecksBusy] * 2
    assert [type(refusal) for refusal in second] == [InvalidCredentials] * 3
    assert isinstance(first[-1], PasswordChecksBusy)
    assert first[-1].retry_after == 1


def test_abandoned_checks_free_their_places() -> None:
    """A client who hangs up gives the place in the queue back."""
    passwords = Passwords(memory=8192, passes=1, workers=1, queue=1)

    async def hang_up_then_check() -> None:
        checks = [asyncio.create_task(passwords.check("wrong", None)) for _ in range(2)]
        await asyncio.sleep(0)
        for check in checks:
            check.cancel()
        await asyncio.gather(*checks, return_exceptions=True)
        # The waiting one was dropped, so even with the running one still at work a place is free.
        await passwords.check("wrong", None)

    with pytest.raises(InvalidCredentials):
        asyncio.run(hang_up_then_check())
    passwords.close()


def test_closed() -> None:
    """After closing, nothing is checked any more, and the attempt takes no place."""
    passwords = Passwords(memory=64, passes=1, workers=1, queue=0)
    passwords.close()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="shutdown"):
            asyncio.run(passwords.check(GOOD, None))


@pytest.mark.parametrize(
    "password, problem",
    [
        ("", "is empty"),
        ("elevenchars", "has 11 characters"),
        ("aaaaaaaaaaaaaaaa", "repeats very few characters"),
        ("abababababab", "repeats very few characters"),
        ("123456789012", "is one of the first that anyone tries"),
        ("Password1234", "is one of the first that anyone tries"),
        ("correct horse battery staple", "is one of the first that anyone tries"),
        ("\ud800abcdefghijklmn", "contains half of a surrogate pair"),
        ("abcdefghijklmn\0", "contains a NUL character"),
        ("x" * (LONGEST + 1), "is longer than 1024 bytes"),
        ("ä" * LONGEST, "is longer than 1024 bytes"),
    ],
)
def test_weak(password: str, problem: str) -> None:
    """A password that is short, plain or impossible to check is refused, and told why without quoting it."""
    with pytest.raises(WeakPassword) as refusal:
        strong_enough(password)
    assert refusal.value.problem.startswith(problem)
    assert "choose one of at least 12 characters" in str(refusal.value)
    assert not password or password not in str(refusal.value)


@pytest.mark.parametrize("password", ["twelve chars", "z\u00fcrich-winter", "P278sMYv-YEZYpOTgnhiI_Ic"])
def test_strong(password: str) -> None:
    """Twelve characters that are no first guess are enough, of whatever kind."""
    strong_enough(password)


@pytest.mark.parametrize("password", ["", "a\0b", "\udfff", "x" * (LONGEST + 1)])
def test_nothing_unverifiable_is_hashed(quick: Passwords, password: str) -> None:
    """What no check could ever accept is not hashed either."""
    with pytest.raises(WeakPassword):
        quick.hash(password)


def test_a_crowd_of_new_passwords_waits_for_the_pool() -> None:
    """Each hash fills 19 MiB, so new passwords take turns with the checks."""
    passwords, go_on = Passwords(memory=64, passes=1, workers=1), Event()
    passwords._pool.submit(go_on.wait, 10)
    with ThreadPoolExecutor(2) as others:
        hashes = [others.submit(passwords.hash, GOOD) for _ in range(2)]
        assert not wait(hashes, timeout=0.3).done
        go_on.set()
        assert all(one.result(10).startswith("$argon2id$") for one in hashes)
    passwords.close()
