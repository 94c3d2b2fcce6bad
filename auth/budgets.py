"""How much of something each subject may have in a window of time, in all workers and replicas together.

A worker leases a part of what is left in a window from the shared counters and spends it from memory, so that a request
costs microseconds. No more is leased in all than the limit. Parts are small (a thirty-second of the limit, an eighth of
what is left), so what one worker keeps unspent while another one refuses is little; it is void with its window.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from auth.counters import key_of
from auth.errors import LimitReached

if TYPE_CHECKING:
    from collections.abc import Callable

    from auth.counters import Counters

FIRST = 8  # asked for at first; each time in a window twice as much
SHARE_OF_LIMIT, SHARE_OF_REST = 32, 8
MOST = 10_000  # subjects that are kept


class Left(NamedTuple):
    """What is left of a window: so many, for so many seconds."""

    amount: int
    seconds: int


@dataclass
class _Lease:
    """What one worker may spend for one subject."""

    until: float = 0.0
    left: int = 0
    got: int = 0  # the size of the last part
    used: int = 0  # of the limit, by all, as of the last part
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def holds(self, now: float, seconds: int) -> bool:
        """Tell whether it is of the window that is now; a clock that was set back is before it."""
        return self.until - seconds <= now < self.until


class Budget:
    """A limit for each subject, for the coroutines of one event loop.

    Args:
        counters: shared with the other workers.
        name: of what is counted, such as 'requests'.
        limit: how many in a window.
        seconds: length of a window; windows begin at whole multiples of it.
        clock: returns seconds since 1970.
    """

    def __init__(
        self, counters: Counters, name: str, limit: int, seconds: int, clock: Callable[[], float] = time.time
    ) -> None:
        self.name, self.limit, self.seconds = name, limit, seconds
        self._counters, self._clock = counters, clock
        self._leases: dict[str, _Lease] = {}
        self._renewing: set[asyncio.Task[None]] = set()

    def take_now(self, subject: str) -> Left | None:
        """Spend one if a lease allows it, without waiting; None where the counters have to be asked."""
        lease, now = self._leases.get(subject), self._clock()
        if lease is None or lease.left <= 0 or not lease.holds(now, self.seconds):
            return None
        lease.left -= 1
        if lease.left == lease.got // 2 and lease.got > 1:
            self._renew_behind(subject, lease)
        return self._told(lease, now)

    async def take(self, subject: str, amount: int = 1) -> Left:
        """Spend.

        Raises:
            LimitReached: there is not so much left in this window.
            SQLAlchemyError: the counters do not answer.
        """
        lease = self._lease(subject)
        async with lease.lock:
            now = self._clock()
            if not lease.holds(now, self.seconds):
                lease.until = (now // self.seconds + 1) * self.seconds
                lease.left, lease.used, lease.got = 0, 0, lease.got // 2
            held = min(lease.left, amount)  # apart: `take_now` goes on spending from the lease while more is asked for
            lease.left -= held
            try:
                if held < amount and lease.used < self.limit:
                    await self._renew(subject, lease, amount - held, whole=amount > 1)
            finally:
                lease.left += held
            if lease.left < amount:
                left = self._told(lease, now)
                raise LimitReached(self.name, self.limit, self.seconds, amount, left.seconds, left.amount)
            lease.left -= amount
            return self._told(lease, now)

    async def _renew(self, subject: str, lease: _Lease, missing: int, *, whole: bool) -> None:
        """Lease more: a whole amount, or, of single ones, a part that is worth the way."""
        until = lease.until
        part = min(max(2 * lease.got, FIRST), self.limit // SHARE_OF_LIMIT, (self.limit - lease.used) // SHARE_OF_REST)
        asked = missing if whole else max(1, part)
        granted, used = await asyncio.to_thread(
            self._counters.take, key_of(self.name, subject), asked, self.limit, until, self.seconds, whole=whole
        )
        if lease.until == until:
            lease.left += granted
            # Where a large amount was refused, a smaller one may still be granted.
            lease.used = used
            if not whole:
                lease.got = granted

    def _renew_behind(self, subject: str, lease: _Lease) -> None:
        async def renew() -> None:
            async with lease.lock:
                if lease.holds(self._clock(), self.seconds) and lease.used < self.limit:
                    try:
                        await self._renew(subject, lease, 1, whole=False)
                    except SQLAlchemyError:
                        return  # whoever finds the lease spent will be told

        if not lease.lock.locked():
            task = asyncio.get_running_loop().create_task(renew())
            self._renewing.add(task)
            task.add_done_callback(self._renewing.discard)

    def _lease(self, subject: str) -> _Lease:
        lease = self._leases.get(subject)
        if lease is None:
            if len(self._leases) >= MOST:
                now = self._clock()
                self._leases = {name: one for name, one in self._leases.items() if now < one.until or one.lock.locked()}
            lease = self._leases[subject] = _Lease()
        return lease

    def _told(self, lease: _Lease, now: float) -> Left:
        return Left(self.limit - lease.used + lease.left, max(1, math.ceil(lease.until - now)))
