"""What one worker takes on at a time; above that it says at once when to come again.

Two things are bounded: requests whose work is being done or waits (`Load.enter`), and the bytes of large bodies in
memory (`Load.room`). Who only waits for a client's bytes holds no place: a crowd of slow clients keeps nobody out.
`SheddingMiddleware` stands before the gate and refuses before anything of a request is read; `PlaceMiddleware` stands
right before the work. Probes pass both.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Receive, Scope, Send

from edge.errors import Overloaded

SMALL = 131_072  # bytes; a body up to this needs no room, as there are no more of them than connections
PATIENCE = 3.0  # seconds that a request waits for a place: a machine that is slow has a shorter queue
SOON, LATER = 1, 5  # seconds after which to come again: when requests wait, and when large bodies do


class Load:
    """What is going on in this worker, for the coroutines of its event loop.

    Args:
        places: requests whose work is done at a time.
        queue: requests that may wait for a place.
        room: bytes of large bodies in memory at a time; of one client half of it.
    """

    def __init__(self, places: int, queue: int, room: int) -> None:
        self._free, self._queue, self._room = places, queue, room
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._held: Counter[str] = Counter()

    def check(self) -> None:
        """Return if one more request could at least wait.

        Raises:
            Overloaded: too many wait already.
        """
        if self._free <= 0 and len(self._waiting) >= self._queue:
            raise Overloaded(SOON)

    async def enter(self) -> None:
        """Take a place; wait for it in turn.

        Raises:
            Overloaded: too many wait already, or it took too long.
        """
        if self._free > 0:
            self._free -= 1
        else:
            self.check()
            await self._turn()

    async def _turn(self) -> None:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        try:
            async with asyncio.timeout(PATIENCE):
                await mine
        except BaseException as error:
            if mine.done() and not mine.cancelled():
                self.leave()  # it was given in the moment when the wait ended
            elif mine in self._waiting:
                self._waiting.remove(mine)
            if isinstance(error, TimeoutError):
                raise Overloaded(SOON) from None
            raise

    def leave(self) -> None:
        """Give the place to whoever waits longest."""
        while self._waiting:
            following = self._waiting.popleft()
            if not following.done():
                following.set_result(None)
                return
        self._free += 1

    @contextmanager
    def room(self, client: str) -> Iterator["Room"]:
        """Give what a body of this client asks for its room; it is free again at the end."""
        room = Room(self, client)
        try:
            yield room
        finally:
            room.leave()

    def take(self, client: str, size: int) -> None:
        """Take room.

        Raises:
            Overloaded: there is not so much left, or the client has its share.
        """
        if self._held.total() + size > self._room or self._held[client] + size > self._room // 2:
            raise Overloaded(LATER)
        self._held[client] += size

    def give(self, client: str, size: int) -> None:
        """Give room back."""
        self._held[client] -= size
        if not self._held[client]:
            del self._held[client]


class Room:
    """The room of one body."""

    def __init__(self, load: Load, client: str) -> None:
        self._load, self._client, self._size = load, client, 0

    def need(self, size: int) -> None:
        """Have room for so many bytes in all.

        Raises:
            Overloaded: as `Load.take`.
        """
        if size > max(self._size, SMALL):
            self._load.take(self._client, size - self._size)
            self._size = size

    def leave(self) -> None:
        """Give everything back."""
        if self._size:
            self._load.give(self._client, self._size)


class SheddingMiddleware:
    """Refuses what there is no place for before anything is read, parsed or hashed.

    Args:
        app: the rest of the service.
        load: of this worker.
        probes: paths that are never refused.
    """

    def __init__(self, app: ASGIApp, *, load: Load, probes: Collection[str]) -> None:
        self.app, self.load, self.probes = app, load, frozenset(probes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and scope["path"] not in self.probes:
            self.load.check()
        await self.app(scope, receive, send)


class PlaceMiddleware(SheddingMiddleware):
    """Lets a request have a place while its work is done; its body has been read."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on when it is its turn."""
        if scope["type"] != "http" or scope["path"] in self.probes:
            await self.app(scope, receive, send)
            return
        await self.load.enter()
        try:
            await self.app(scope, receive, send)
        finally:
            self.load.leave()
