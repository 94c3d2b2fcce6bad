"""Passwords: how they are hashed, checked off the event loop, and which are refused as too weak.

Comes in: a password as text and the hash that is stored for a user, or None where there is no such user.
Goes out: a hash in the PHC string format, or an exception. Passwords are compared in Unicode's form NFC, so
that an accented letter is the same from every keyboard.

Argon2id by passlib's API (distribution `libpass`) with 19 MiB, two passes and one lane: the parameters of
the OWASP Password Storage Cheat Sheet, section Argon2id. RFC 9106 defines the function.
"""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from passlib.context import CryptContext

from auth.errors import InvalidCredentials, PasswordChecksBusy, WeakPassword

if TYPE_CHECKING:
    from concurrent.futures import Future

SHORTEST = 12  # characters
LONGEST = 1024  # bytes of UTF-8
FEWEST_DIFFERENT = 5  # characters
RETRY_AFTER = 1  # seconds; a full default queue is worked off in less
GUESSED_FIRST = frozenset(
    {
        "administrator",
        "abcdefghijkl",
        "correcthorsebatterystaple",
        "iloveyouiloveyou",
        "letmeinletmein",
        "lastganglastgang",
        "password1234",
        "password12345",
        "passwordpassword",
        "qwertyuiop12",
        "qwertyuiop123",
        "qwertyuiopasdf",
        "123456789012",
        "1234567890123",
        "1234567890123456",
        "welcomewelcome",
        "changemechangeme",
    }
)


class Passwords:
    """Hashes and checks passwords with one set of Argon2id parameters.

    Args:
        memory: KiB that one hash fills.
        passes: times that it is filled.
        lanes: threads of one hash.
        workers: passwords that `check` works on at once.
        queue: passwords that may wait for that; one more is refused.
    """

    def __init__(
        self, *, memory: int = 19_456, passes: int = 2, lanes: int = 1, workers: int = 2, queue: int = 32
    ) -> None:
        self._context = CryptContext(
            schemes=["argon2"],
            argon2__type="ID",
            argon2__memory_cost=memory,
            argon2__time_cost=passes,
            argon2__parallelism=lanes,
        )
        self._nobody = str(self._context.hash(secrets.token_urlsafe(32)))
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
        self._places = BoundedSemaphore(workers + queue)

    def hash(self, password: str) -> str:
        """Return the hash to store, with a new random salt; waits for the pool, so that no crowd fills the memory.

        Raises:
            WeakPassword: no check could ever accept this password. `strong_enough` refuses far more.
        """
        return str(self._pool.submit(self._context.hash, _checkable(password)).result())

    def verify(self, password: str, stored: str | None) -> str | None:
        """Return if the password is the stored one, and raise if not; takes some 25 ms of one core.

        A user who does not exist (None) and a stored hash that cannot be read cost as much as a wrong
        password, so that the time of an answer does not tell who is a user.

        Returns:
            The hash to store from now on where the stored one was made with other parameters, else None.

        Raises:
            InvalidCredentials: for every other password, however odd.
        """
        try:
            password = _checkable(password)
        except WeakPassword:
            raise InvalidCredentials from None
        try:
            right, renewed = self._context.verify_and_update(password, stored or self._nobody)
        except (ValueError, TypeError):
            self._context.verify(password, self._nobody)
            raise InvalidCredentials from None
        if not right or not stored:
            raise InvalidCredentials
        return None if renewed is None else str(renewed)

    async def check(self, password: str, stored: str | None) -> str | None:
        """Do what `verify` does in a thread of a small pool, so that the event loop stays free.

        Raises:
            InvalidCredentials: as `verify`.
            PasswordChecksBusy: every place in the queue is taken; nothing was checked.
        """
        if not self._places.acquire(blocking=False):
            raise PasswordChecksBusy(RETRY_AFTER)
        try:
            future = self._pool.submit(self.verify, password, stored)
        except BaseException:
            self._places.release()
            raise
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Drop the checks that wait and let the running ones end."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _leave(self, _: Future[str | None]) -> None:
        self._places.release()


def strong_enough(password: str) -> None:
    """Return if the password may protect an account, and raise if not.

    Length is what counts (NIST SP 800-63B, section 3.1.1.2: length and a list of known passwords, no rules
    about kinds of characters).

    Raises:
        WeakPassword: shorter than 12 characters, of fewer than 5 different ones, among the first guesses,
            or impossible to check.
    """
    password = _checkable(password)
    if len(password) < SHORTEST:
        problem = f"has {len(password)} characters"
        raise WeakPassword(problem)
    if len(set(password)) < FEWEST_DIFFERENT:
        raise WeakPassword("repeats very few characters")
    if password.casefold().replace(" ", "") in GUESSED_FIRST:
        raise WeakPassword("is one of the first that anyone tries")


def _checkable(password: str) -> str:
    """Return the password in NFC, the form that is hashed."""
    # The form NFC of a text is at most three times as long, so this length is checked before the work.
    if len(password) > LONGEST:
        problem = f"is longer than {LONGEST} bytes"
        raise WeakPassword(problem)
    password = unicodedata.normalize("NFC", password)
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        raise WeakPassword("contains half of a surrogate pair, which is no character") from None
    if size > LONGEST:
        problem = f"is longer than {LONGEST} bytes"
        raise WeakPassword(problem)
    if not password:
        raise WeakPassword("is empty")
    if "\0" in password:
        raise WeakPassword("contains a NUL character")
    return password
