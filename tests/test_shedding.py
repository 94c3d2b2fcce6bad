"""So many requests are worked on, so many wait, in turn; what is more is refused at once, and nothing is lost."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from edge import shedding
from edge.errors import Overloaded
from edge.shedding import SMALL, Load, PlaceMiddleware, SheddingMiddleware
from edge.turns import GivenUp, Turns, still_wanted

PROBE, OTHER = {"type": "http", "path": "/livez"}, {"type": "http", "path": "/predict/gru"}


class Work:
    """An application whose requests end when they are told to, in the order in which they began."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.now = self.most = 0
        self.done = asyncio.Event()

    async def __call__(self, scope: Any, _receive: Any, _send: Any) -> None:
        """Work until it is done."""
        self.begun.append(scope.get("number", -1))
        self.now += 1
        self.most = max(self.most, self.now)
        await self.done.wait()
        self.now -= 1


async def nothing(*_: Any) -> Any: ...


def crowd(places: int, queue: int, requests: int) -> tuple[Work, list[Any]]:
    """Send requests all at once; return the work and what became of each."""

    async def run() -> tuple[Work, list[Any]]:
        work, load = Work(), Load(places, queue, 0)
        app = SheddingMiddleware(PlaceMiddleware(work, load=load, probes=["/livez"]), load=load, probes=["/livez"])
        tasks = [asyncio.ensure_future(app(OTHER | {"number": at}, nothing, nothing)) for at in range(requests)]
        await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.ensure_future(_probe(app, work)), 1)
        work.done.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        work.done.clear()
        for _ in range(places):  # every place is free again
            await load.enter()
        return work, outcomes

    return asyncio.run(run())


async def _probe(app: Any, work: Work) -> None:
    before = len(work.begun)
    probe = asyncio.ensure_future(app(PROBE, nothing, nothing))
    await asyncio.sleep(0)
    assert len(work.begun) == before + 1
    work.most -= 1
    work.now -= 1
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)


@pytest.mark.parametrize("places, queue, requests", [(1, 0, 1), (1, 0, 5), (2, 3, 5), (2, 3, 50), (64, 128, 64)])
def test_so_many_and_no_more(places: int, queue: int, requests: int) -> None:
    """At most so many work at a time, in their order; those above places and queue are told when to come again."""
    work, outcomes = crowd(places, queue, requests)
    served = min(requests, places + queue)
    assert outcomes[:served] == [None] * served
    assert all(isinstance(one, Overloaded) and one.retry_after > 0 for one in outcomes[served:])
    assert [number for number in work.begun if number >= 0] == list(range(served))
    assert work.most <= places


def test_who_leaves_gives_its_place_away() -> None:
    """Whoever gives up in the queue, or in the moment of its turn, keeps no place."""

    async def run() -> None:
        load = Load(1, 5, 0)
        await load.enter()
        leaving, staying = asyncio.ensure_future(load.enter()), asyncio.ensure_future(load.enter())
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        load.leave()
        await asyncio.wait_for(staying, 1)
        late = asyncio.ensure_future(load.enter())
        await asyncio.sleep(0)
        load.leave()
        late.cancel()  # its turn has just come
        await asyncio.gather(late, return_exceptions=True)
        await asyncio.wait_for(load.enter(), 1)

    asyncio.run(run())


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that does not come is given up, and its place in the queue with it."""
    monkeypatch.setattr(shedding, "PATIENCE", 0.01)

    async def run() -> None:
        load = Load(1, 1, 0)
        await load.enter()
        for _ in range(3):
            with pytest.raises(Overloaded):
                await load.enter()
        load.leave()
        await asyncio.wait_for(load.enter(), 1)

    asyncio.run(run())


def test_room_is_shared() -> None:
    """Large bodies share the room, one client has half of it at most, small ones need none, all is given back."""
    load = Load(1, 1, 10 * SMALL)
    with load.room("ada") as first, load.room("ada") as second, load.room("bob") as third, load.room("bob") as small:
        small.need(SMALL)
        first.need(2 * SMALL)
        first.need(2 * SMALL)
        first.need(3 * SMALL)
        with pytest.raises(Overloaded):
            second.need(3 * SMALL)
        second.need(2 * SMALL)
        third.need(5 * SMALL)
        with load.room("eve") as fourth, pytest.raises(Overloaded):
            fourth.need(2 * SMALL)
    with load.room("ada") as room, load.room("bob") as other:
        room.need(5 * SMALL)
        other.need(5 * SMALL)


def test_long_work_does_not_pile_up() -> None:
    """Of long requests some work, some wait, and one more is told to come again."""

    async def run() -> None:
        turns, done = Turns(1, 2), asyncio.Event()
        loop = asyncio.get_running_loop()

        def wait() -> None:
            asyncio.run_coroutine_threadsafe(done.wait(), loop).result(10)

        working = [asyncio.ensure_future(turns.long(wait)) for _ in range(3)]
        for _ in range(9):  # turns of the event loop, of which each takes three
            await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await turns.long(wait)
        done.set()
        await asyncio.gather(*working)

    asyncio.run(run())


def test_long_work_that_was_given_up_keeps_its_thread(caplog: pytest.LogCaptureFixture) -> None:
    """However many requests take too long, no more threads work than there are; what did not begin never does."""

    async def run() -> None:
        turns, end = Turns(2, 9), threading.Event()
        working = most = begun = 0
        lock = threading.Lock()

        def work() -> None:
            nonlocal working, most, begun
            with lock:
                working, begun = working + 1, begun + 1
                most = max(most, working)
            end.wait(10)
            with lock:
                working -= 1
            raise ValueError("nobody hears this")

        async def give_up() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await turns.long(work)

        for _ in range(3):
            await asyncio.gather(give_up(), give_up())
        assert (most, begun, turns.counts()) == (2, 2, (2, 0))
        end.set()
        assert await asyncio.wait_for(turns.long(lambda: "free again"), 5) == "free again"
        for _ in range(100):
            if turns.counts() == (0, 0):
                break
            await asyncio.sleep(0.01)
        assert (begun, turns.counts()) == (2, (0, 0))

    asyncio.run(run())
    gc.collect()
    assert not caplog.records  # asyncio would tell here of an error that nobody has heard


def test_long_work_that_was_given_up_ends_where_it_asks() -> None:
    """Also in threads of its own; work that somebody waits for goes on, and so does what is no request's."""
    ended = threading.Event()

    def work() -> None:
        check = still_wanted()
        with ThreadPoolExecutor(1) as pool, suppress(GivenUp):
            pool.submit(until_it_raises, check).result()
        ended.set()

    def until_it_raises(check: Callable[[], None]) -> None:
        while True:
            check()
            time.sleep(0.005)

    async def run() -> None:
        turns = Turns(1, 9)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await turns.long(work)
        assert await asyncio.to_thread(ended.wait, 10)
        assert await turns.long(lambda: [still_wanted()()]) == [None]

    asyncio.run(run())
    still_wanted()()


SIZES = [
    ("a usual week", b"Datum,Wert (kW)\n" + b"2021-06-02 00:00:00,1.5\n" * 672, True),
    ("very many rows", b"a\n" * 5_001, False),
    ("very many names", b"a," * 2_100 + b"\n", False),
    ("very many bytes", b"a\n" + b"x" * 131_072, False),
]


@pytest.mark.parametrize("upload, here", [size[1:] for size in SIZES], ids=[size[0] for size in SIZES])
def test_what_is_short_is_done_at_once(upload: bytes, here: bool) -> None:
    """On the event loop; what could keep it is done in a thread, however few bytes it has."""
    threads: list[int] = []

    async def run() -> None:
        await Turns(1, 9).by_size(upload, lambda: threads.append(threading.get_ident()))

    asyncio.run(run())
    assert (threads == [threading.get_ident()]) == here


def test_an_error_of_long_work_keeps_nothing_in_memory() -> None:
    """What the work held, an upload say, is freed with the error and not at some collection of garbage."""

    class Upload:
        pass

    async def refuse(turns: Turns) -> "weakref.ref[Upload]":
        upload = Upload()

        def work() -> None:
            raise ValueError(f"refused: {upload}")

        with pytest.raises(ValueError, match="refused"):
            await turns.long(work)
        return weakref.ref(upload)

    async def run() -> None:
        turns = Turns(1, 1)
        kept = await refuse(turns)
        await turns.long(int)  # the thread forgets its last work with the next
        assert kept() is None

    gc.disable()
    try:
        asyncio.run(run())
    finally:
        gc.enable()
