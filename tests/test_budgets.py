"""A subject gets what the limit says and never more, whichever workers it asks, and seldom by way of the database."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import SQLAlchemyError

from auth.budgets import FIRST, Budget
from auth.counters import Counters
from auth.errors import LimitReached

START = 6_000.0


class Seconds:
    """A clock that the test moves."""

    now = START

    def __call__(self) -> float:
        """Return the seconds since 1970."""
        return self.now


def opened(folder: Path) -> Counters:
    """Open the counters of a folder, as a worker of its own would."""
    return Counters(sa.create_engine(f"sqlite:///{folder}/counters.db", connect_args={"timeout": 30}))


@pytest.fixture
def counters(tmp_path: Path) -> Iterator[Counters]:
    """Give new counters."""
    counters = opened(tmp_path)
    yield counters
    counters.close()


async def spend(budget: Budget, times: int, subject: str = "ada") -> int:
    """Ask so many times, as the middleware does; return how many were granted."""
    granted = 0
    for _ in range(times):
        try:
            granted += bool(budget.take_now(subject) or await budget.take(subject))
        except LimitReached:
            continue
    return granted


@pytest.mark.parametrize("limit", [1, 2, 7, 100, 5_000])
def test_one_worker_gives_all_of_it(counters: Counters, limit: int) -> None:
    """Who asks one worker alone gets exactly the limit, and so does the next one, and again in the next window."""
    clock = Seconds()
    budget = Budget(counters, "requests", limit, 60, clock)

    async def run() -> None:
        assert await spend(budget, limit + 50) == limit
        assert await spend(budget, limit + 50, "bob") == limit
        clock.now += 60
        assert await spend(budget, limit + 50) == limit

    asyncio.run(run())


def test_a_large_amount_is_not_refused_for_what_small_ones_spend_meanwhile(counters: Counters) -> None:
    """While more is asked for, others go on spending from the same lease, without waiting."""
    budget = Budget(counters, "sites", 1_000_000, 3_600, Seconds())
    stolen: list[bool] = []  # whether a small one got something

    class Meanwhile(Counters):
        def take(self, *arguments: Any, **options: Any) -> tuple[int, int]:
            stolen.append(budget.take_now("ada") is not None)
            return counters.take(*arguments, **options)

    async def run() -> None:
        await budget.take("ada")
        budget._counters = Meanwhile.__new__(Meanwhile)
        assert budget._leases["ada"].left > 0
        assert (await budget.take("ada", 50)).amount > 0
        assert budget._leases["ada"].left >= 0

    asyncio.run(run())
    assert stolen == [False]  # it has to ask for itself


@pytest.mark.parametrize("jump", [-30 * 86_400, -7_200, 7_200, 30 * 86_400])
def test_a_clock_that_jumps_locks_nobody_out(counters: Counters, jump: float) -> None:
    """Who has used up a window has another at once when the clock jumps, and when it jumps back."""
    clock = Seconds()
    clock.now = START + 60 * 86_400
    budget = Budget(counters, "requests", 100, 60, clock)

    async def run() -> None:
        assert await spend(budget, 150) == 100
        clock.now += jump
        assert await spend(budget, 150) == 100
        clock.now -= jump
        assert await spend(budget, 150) == 100

    asyncio.run(run())


@pytest.mark.parametrize("limit", [3, 64, 1_000])
@pytest.mark.parametrize("workers", [2, 5])
def test_workers_share_it(tmp_path: Path, limit: int, workers: int) -> None:
    """Asked all at once, workers with connections of their own grant together what the limit says, and not one more."""
    stores = [opened(tmp_path) for _ in range(workers)]
    budgets = [Budget(store, "requests", limit, 60, Seconds()) for store in stores]

    async def run() -> list[int]:
        return await asyncio.gather(*(spend(budgets[at % workers], limit) for at in range(3 * workers)))

    assert sum(asyncio.run(run())) == limit
    for store in stores:
        store.close()


def test_an_idle_worker_keeps_little(tmp_path: Path) -> None:
    """What another worker has leased and does not spend is at most a thirty-second, and comes back with the window."""
    stores, clock = [opened(tmp_path) for _ in range(2)], Seconds()
    idle, busy = (Budget(store, "requests", 320, 60, clock) for store in stores)

    async def run() -> None:
        assert await spend(idle, 1) == 1
        assert 320 - 10 <= await spend(busy, 400) <= 319
        clock.now += 60
        assert await spend(busy, 400) == 320

    asyncio.run(run())
    for store in stores:
        store.close()


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 40), st.integers(0, 30)), max_size=25))
def test_amounts_and_single_ones(tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[int, int, int]]) -> None:
    """Any mixture of amounts, workers and times grants at most the limit in each window."""
    folder, clock, limit = tmp_path_factory.mktemp("counters"), Seconds(), 50
    stores = [opened(folder) for _ in range(2)]
    budgets = [Budget(store, "sites", limit, 60, clock) for store in stores]
    granted: dict[float, int] = {}

    async def run() -> None:
        for worker, amount, later in asked:
            clock.now += later
            window = clock.now // 60
            try:
                left = await budgets[worker].take("ada", amount)
            except LimitReached as refused:
                assert 1 <= refused.retry_after <= 60
                continue
            granted[window] = granted.get(window, 0) + amount
            assert 0 <= left.amount <= limit - amount
            assert 1 <= left.seconds <= 60

    asyncio.run(run())
    assert all(amount <= limit for amount in granted.values())
    for store in stores:
        store.close()


def test_a_refusal_says_what_and_when(counters: Counters) -> None:
    """It names the limit and the seconds until there is more; an amount that can never be had is told so."""
    clock = Seconds()
    budget = Budget(counters, "sites", 100, 3_600, clock)
    clock.now = 3_600 * 2 + 600

    async def run() -> None:
        with pytest.raises(LimitReached, match="at most 100 at a time") as refused:
            await budget.take("ada", 101)
        assert (refused.value.limit, refused.value.seconds, refused.value.retry_after) == (100, 3_600, 3_000)
        await budget.take("ada", 60)
        with pytest.raises(LimitReached, match="had in 3000 s"):
            await budget.take("ada", 41)
        await budget.take("ada", 40)
        with pytest.raises(LimitReached, match="all were used"):
            await budget.take("ada")

    asyncio.run(run())


def test_a_database_that_is_gone(counters: Counters) -> None:
    """What has been leased is still good; then the answer is an error and no open door."""
    budget = Budget(counters, "requests", 10_000, 60, Seconds())

    async def run() -> None:
        await budget.take("ada")
        with counters._engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE counters"))
        leased = 0
        while budget.take_now("ada"):
            leased += 1
            await asyncio.sleep(0.001)  # renewing behind the requests fails, and nobody is disturbed
        assert leased == FIRST - 1
        with pytest.raises(SQLAlchemyError):
            await budget.take("ada")

    asyncio.run(run())


def test_few_looks_at_the_database(counters: Counters) -> None:
    """Ten thousand requests need less than sixty looks."""
    looks = 0

    def count(*_: object) -> None:
        nonlocal looks
        looks += 1

    sa.event.listen(counters._engine, "begin", count)
    budget = Budget(counters, "requests", 100_000, 60, Seconds())
    assert asyncio.run(spend(budget, 10_000)) == 10_000
    assert looks < 60


def test_subjects_are_forgotten(counters: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of a worker does not grow with all that ever asked."""
    monkeypatch.setattr("auth.budgets.MOST", 3)
    clock = Seconds()
    budget = Budget(counters, "requests", 10, 60, clock)

    async def run() -> None:
        for at in range(3):
            await spend(budget, 1, f"user{at}")
        clock.now += 60
        await spend(budget, 1, "ada")

    asyncio.run(run())
    assert set(budget._leases) == {"ada"}
