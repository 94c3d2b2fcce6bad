"""Where the work of a request is done: short work on the event loop, long work in a thread.

A hop to a thread and back costs about as much as reading a week, and Python lets one thread work at a time, so a week
is read where its request is. What takes longer than some milliseconds would keep every other request waiting there:
it goes to one of a few threads, for which requests queue.

No thread can be stopped from outside. So one whose request was given up counts until its work has ended: otherwise each
request that takes too long would leave one more at work behind it. Work that may take long asks between its steps
whether it is `still_wanted`.
"""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from threading import Event
from typing import TypeVar

import anyio.to_thread

from edge.errors import Overloaded
from processing.cells import Body

Result = TypeVar("Result")

RETRY_AFTER = 5  # seconds
SHORT = 131_072  # bytes of a CSV: seven weeks of one site, which take about 3 ms
FEW_NAMES = 4_096  # bytes of its first line; a header of 100 kB takes half a second
FEW_ROWS = 5_000  # with which it is that; 128 kB of rows of three bytes, each with a problem, take a fifth of a second
_given_up: ContextVar[Event | None] = ContextVar("given_up", default=None)


class GivenUp(Exception):
    """Nobody waits any more for the request whose work this is."""


def still_wanted() -> Callable[[], None]:
    """Return what raises GivenUp, in any thread, as soon as the request is given up whose work calls this."""
    given_up = _given_up.get()

    def check() -> None:
        if given_up is not None and given_up.is_set():
            raise GivenUp

    return check


class Turns:
    """Does the work of requests.

    Args:
        threads: how many long ones go on at a time.
        waiting: how many more may wait for that.
    """

    def __init__(self, threads: int, waiting: int) -> None:
        self._limiter = anyio.CapacityLimiter(threads)
        self._waiting = waiting

    async def long(self, work: Callable[[], Result]) -> Result:
        """Do the work in a thread.

        Raises:
            Overloaded: too many wait for one.
        """
        if self._limiter.statistics().tasks_waiting >= self._waiting:
            raise Overloaded(RETRY_AFTER)
        begun, given_up = False, Event()

        def working() -> tuple[list[Result], BaseException | None]:
            nonlocal begun
            begun = True
            _given_up.set(given_up)  # in this thread's context
            if given_up.is_set():  # in this very moment
                return [], Overloaded(RETRY_AFTER)
            try:
                return [work()], None
            except BaseException as error:  # noqa: BLE001  raised again below
                return [], error

        task = asyncio.ensure_future(anyio.to_thread.run_sync(working, limiter=self._limiter))
        try:
            results, error = await asyncio.shield(task)
        except asyncio.CancelledError:
            given_up.set()
            if not begun:
                task.cancel()
            raise
        if error is None:
            return results[0]
        try:
            raise error
        finally:
            # No frame that an error has passed, here or in AnyIO, may hold what holds the error: they would keep one
            # another, and an upload of 250 MB, until garbage is collected.
            del error, task

    async def by_size(self, upload: Body, work: Callable[[], Result]) -> Result:
        """Do here what needs so little time with this upload that nobody minds, and the rest in a thread."""
        few_names = len(upload) <= SHORT and upload.find(b"\n", 0, FEW_NAMES) >= 0
        short = few_names and upload.count(b"\n") <= FEW_ROWS
        return work() if short else await self.long(work)

    def counts(self) -> tuple[int, int]:
        """Tell how many long ones go on, and how many wait; on the event loop."""
        now = self._limiter.statistics()
        return now.borrowed_tokens, now.tasks_waiting
