"""Where the work of a request is done: short work on the event loop, long work in a thread.

A hop to a thread and back costs about as much as reading a week, and Python lets one thread work at a time, so a week
is read where its request is. What takes longer than some milliseconds would keep every other request waiting there:
it goes to one of a few threads, for which requests queue.

No thread can be stopped from outside. So one whose request was given up counts until its work has ended: otherwise each
request that takes too long would leave one more at work behind it.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread

from edge.errors import Overloaded
from processing.cells import Body

Result = TypeVar("Result")

RETRY_AFTER = 5  # seconds
SHORT = 131_072  # bytes of a CSV: seven weeks of one site, which take about 3 ms
FEW_NAMES = 4_096  # bytes of its first line; a header of 100 kB takes half a second


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
        begun = given_up = False

        def working() -> tuple[list[Result], BaseException | None]:
            nonlocal begun
            begun = True
            if given_up:  # in this very moment
                return [], Overloaded(RETRY_AFTER)
            try:
                return [work()], None
            except BaseException as error:  # noqa: BLE001  raised again below
                return [], error

        task = asyncio.ensure_future(anyio.to_thread.run_sync(working, limiter=self._limiter))
        try:
            results, error = await asyncio.shield(task)
        except asyncio.CancelledError:
            given_up = True
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
        short = len(upload) <= SHORT and upload.find(b"\n", 0, FEW_NAMES) >= 0
        return work() if short else await self.long(work)

    def counts(self) -> tuple[int, int]:
        """Tell how many long ones go on, and how many wait; on the event loop."""
        now = self._limiter.statistics()
        return now.borrowed_tokens, now.tasks_waiting
