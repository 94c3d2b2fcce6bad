"""Failed log-ins make the next ones wait, and never the rightful user at her usual place.

In: the name that somebody claims and the address that it comes from. Out: the attempt may go on, or says how long
to wait. Failures alone count, each before the password is checked, so that a thousand at once are no more than one
after the other; what turns out well is taken back. Four things are counted:

    the name at this address       5 free, then 1, 2, 4, ... up to 900 s
    the name at all new addresses  20 free, then one attempt each 1, 2, 3, ... up to 30 s
    the address, for all names     50 free, then one attempt each 1, 2, 3, ... up to 60 s
    everything                     1,000 free, then one attempt a second

An address from which this user has logged in within the last 90 days is known: there only the first one counts, so
nobody elsewhere can keep the user out. A name that is no user's is counted in the same way. An hour after the last
failure all is forgotten. What is stored is keyed hashes: of names and addresses nothing can be read.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from auth.addresses import block
from auth.counters import Count, key_of
from auth.errors import InvalidClient, InvalidCredentials, TooManyLogIns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from auth.counters import Counters
    from auth.places import KnownPlaces

REMEMBERED = 3_600.0  # seconds after the last failure
LONGEST = 900.0  # seconds


def _pair(failures: int) -> float:
    return min(LONGEST, 2.0 ** min(failures - 5, 20)) if failures >= 5 else 0.0  # noqa: PLR2004 - told above


def _account(failures: int) -> float:
    return min(30.0, failures - 19.0) if failures >= 20 else 0.0  # noqa: PLR2004


def _address(failures: int) -> float:
    return min(60.0, failures - 49.0) if failures >= 50 else 0.0  # noqa: PLR2004


def _everything(failures: int) -> float:
    return 1.0 if failures >= 1_000 else 0.0  # noqa: PLR2004


class Throttle:
    """Counts the failed log-ins of all workers and replicas.

    Args:
        counters: shared by them.
        places: from where users have logged in.
        secret: keys the hashes; the same everywhere.
        clock: returns seconds since 1970.
    """

    def __init__(
        self, counters: Counters, places: KnownPlaces, secret: bytes, clock: Callable[[], float] = time.time
    ) -> None:
        self._counters, self._places, self._secret, self._clock = counters, places, secret, clock

    @asynccontextmanager
    async def attempt(self, account: str, address: str) -> AsyncIterator[None]:
        """Let an attempt to log in be made within; InvalidCredentials raised there is a failure.

        Args:
            account: the name of a user that is claimed; upper and lower case are the same.
            address: of the client.

        Raises:
            TooManyLogIns: nothing within was done; says when to come again.
            SQLAlchemyError: the counters do not answer.
        """
        account, address = account.lower(), block(address)
        pair = self._key("pair", account, address)
        waits = await asyncio.to_thread(self._count, pair, account, address)
        try:
            yield
        except InvalidCredentials:
            raise
        except Exception:  # not the client's doing
            await asyncio.to_thread(self._counters.take_back, list(waits))
            raise
        else:
            await asyncio.to_thread(self._succeeded, pair, [key for key in waits if key != pair])

    @asynccontextmanager
    async def guard(self, client: str, address: str) -> AsyncIterator[None]:
        """Let a client show its secret within, as `attempt` does; InvalidClient raised there is a failure.

        Nobody guesses a secret of 256 random bits, so a failure counts when it has happened, and a success, of which
        there are many an hour, writes nothing where the client has been before.

        Raises:
            TooManyLogIns, SQLAlchemyError: as `attempt`.
        """
        client, address = client.lower(), block(address)
        pair = self._key("pair", client, address)
        await asyncio.to_thread(self._count, pair, client, address, only_look=True)
        try:
            yield
        except InvalidClient:
            await asyncio.to_thread(self._count, pair, client, address)
            raise
        else:
            await asyncio.to_thread(self._places.add, pair, self._clock())

    def _count(
        self, pair: str, account: str, address: str, *, only_look: bool = False
    ) -> Mapping[str, Callable[[int], float]]:
        """Count an attempt, unless it has to wait; return the keys that it was counted under."""
        now = self._clock()
        waits = {pair: _pair}
        if not self._places.knows(pair, now):
            waits |= {
                self._key("account", account): _account,
                self._key("address", address): _address,
                self._key("everything"): _everything,
            }

        def refused(counts: Mapping[str, Count]) -> float:
            left = [one.at + waits[key](one.used) - now for key, one in counts.items() if waits[key](one.used)]
            return max([0.0, *left])

        # A look takes no lock: a flood of refused attempts keeps no writer waiting.
        wait = refused(self._counters.look(list(waits), now))
        if not wait and not only_look:
            wait = self._counters.count(list(waits), now, REMEMBERED, refused)
        if wait:
            raise TooManyLogIns(math.ceil(wait))
        return waits

    def _succeeded(self, pair: str, others: list[str]) -> None:
        self._counters.forget(pair)
        self._counters.take_back(others)
        self._places.add(pair, self._clock())

    def _key(self, *parts: str) -> str:
        return key_of(*parts, secret=self._secret)
