"""Batches: who waits at the same moment is forecast together, and everyone gets their own answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from threading import Event, current_thread, main_thread
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from toy import card_of, write_members

from models.batching import LARGEST, Batches
from models.errors import ModelUnavailable, NonFiniteForecast

if TYPE_CHECKING:
    from pathlib import Path

    from models.card import ModelCard
    from models.runner import Runner

SLOW = 1.0  # seconds that a batch is said to take


@dataclass
class LastValue:
    """A runner that repeats the last value; it waits for `go` and is told to be slow or quick."""

    card: ModelCard
    each: float = 0.0
    error: Exception | None = None
    begun: Event = field(default_factory=Event)
    go: Event = field(default_factory=Event)
    sizes: list[int] = field(default_factory=list)
    threads: set[bool] = field(default_factory=set)

    def seconds(self, n: int) -> float:
        """Tell what it was told to."""
        return self.each * n

    def outputs(self, x: Any) -> Any:
        """Forecast."""
        self.threads.add(current_thread() is main_thread())
        self.sizes.append(len(x))
        self.begun.set()
        if self.each:
            self.go.wait(10)
        if self.error:
            raise self.error
        return np.repeat(x[:, -1, :1], 8, axis=1)


@pytest.fixture
def runner(tmp_path: Path) -> LastValue:
    """Give a quick runner."""
    write_members(tmp_path)
    return LastValue(card_of(tmp_path))


def batches_of(runner: LastValue, seen: list[int] | None = None) -> Batches:
    """Give its batches; their sizes are told to `seen`."""
    return Batches(cast("Runner", runner), None if seen is None else lambda _, size: seen.append(size))


def window(value: float) -> Any:
    """Give a window that ends with a value."""
    return np.full((1, 672, 7), value, np.float32)


def first_values(answers: list[Any]) -> list[float]:
    """Give what each answer repeats."""
    assert all(answer.shape == (1, 8) for answer in answers)
    return [float(answer[0, 0]) for answer in answers]


async def ask(batches: Batches, values: list[float]) -> list[Any]:
    """Ask for some windows at once."""
    return await asyncio.gather(*(batches.forecast(window(value)) for value in values), return_exceptions=True)


@pytest.mark.parametrize("each", [0.0, SLOW])
@pytest.mark.parametrize("count, sizes", [(1, [1]), (5, [5]), (LARGEST + 3, [LARGEST, 3])])
def test_who_asks_at_once_is_answered_together(each: float, count: int, sizes: list[int], runner: LastValue) -> None:
    """A lone request is a batch of one; more are one batch, up to its largest size; each gets its own answer."""
    seen: list[int] = []
    runner.each = each
    runner.go.set()
    values = [float(value) for value in range(count)]
    assert first_values(asyncio.run(ask(batches_of(runner, seen), values))) == values
    assert runner.sizes == seen == sizes


@pytest.mark.parametrize("each, on_the_loop", [(0.0, True), (SLOW, False)])
def test_only_short_batches_are_computed_on_the_event_loop(each: float, on_the_loop: bool, runner: LastValue) -> None:
    """A model that takes long does it in a thread, so that the other requests go on."""
    runner.each = each
    runner.go.set()
    asyncio.run(ask(batches_of(runner), [1.0, 2.0]))
    assert runner.threads == {on_the_loop}


def test_who_comes_while_the_model_is_busy_makes_the_next_batch(runner: LastValue) -> None:
    """Nobody waits for company: the first goes alone, and those who come meanwhile go together."""
    runner.each = SLOW

    async def come_one_after_the_other() -> list[Any]:
        batches = batches_of(runner)
        first = asyncio.create_task(batches.forecast(window(1.0)))
        await asyncio.to_thread(runner.begun.wait, 10)
        rest = [asyncio.create_task(batches.forecast(window(value))) for value in (2.0, 3.0)]
        await asyncio.sleep(0)
        runner.go.set()
        return list(await asyncio.gather(first, *rest))

    assert first_values(asyncio.run(come_one_after_the_other())) == [1.0, 2.0, 3.0]
    assert runner.sizes == [1, 2]


@pytest.mark.parametrize("each", [0.0, SLOW])
def test_an_answer_that_is_not_finite_is_the_error_of_its_request_alone(each: float, runner: LastValue) -> None:
    """One odd site spoils no other that happens to be in its batch."""
    runner.each = each
    runner.go.set()
    good, bad, other = asyncio.run(ask(batches_of(runner), [1.0, np.nan, 3.0]))
    assert first_values([good, other]) == [1.0, 3.0]
    assert isinstance(bad, NonFiniteForecast)
    assert bad.rows == (0,)


@pytest.mark.parametrize("each", [0.0, SLOW])
@pytest.mark.parametrize("error", [ModelUnavailable("toy", "broken"), RuntimeError("whatever")])
def test_whatever_the_model_raises_reaches_everyone_who_waits(error: Exception, each: float, runner: LastValue) -> None:
    """Nobody waits for ever, and the batches go on afterwards."""
    runner.each, runner.error = each, error
    runner.go.set()

    async def twice() -> tuple[list[Any], list[Any]]:
        batches = batches_of(runner)
        failed = await ask(batches, [1.0, 2.0])
        runner.error = None
        return failed, await ask(batches, [3.0])

    failed, answered = asyncio.run(twice())
    assert failed == [error, error]
    assert first_values(answered) == [3.0]


@pytest.mark.parametrize("each", [0.0, SLOW])
def test_who_is_told_of_batches_and_fails_stops_none(each: float, runner: LastValue) -> None:
    """A metric that cannot be written is the event loop's to log; the requests, and those after them, are answered."""
    runner.each = each
    runner.go.set()

    def fails(_name: str, _size: int) -> None:
        raise OSError("No space left on device")

    async def twice() -> list[Any]:
        batches, logged = Batches(cast("Runner", runner), fails), []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context["exception"]))
        answers = [*await ask(batches, [1.0, 2.0]), *await ask(batches, [3.0])]
        assert [type(error) for error in logged] == [OSError, OSError]
        return answers

    assert first_values(asyncio.run(twice())) == [1.0, 2.0, 3.0]


def test_who_gave_up_is_left_out(runner: LastValue) -> None:
    """A request that was given up before its batch began costs nothing; the others are answered."""

    async def give_up() -> list[Any]:
        batches = batches_of(runner)
        gone = asyncio.create_task(batches.forecast(window(1.0)))
        stays = asyncio.create_task(batches.forecast(window(2.0)))
        asyncio.get_running_loop().call_soon(gone.cancel)
        return [await stays]

    assert first_values(asyncio.run(give_up())) == [2.0]
    assert sum(runner.sizes) <= 2


def test_who_gives_up_meanwhile_disturbs_nobody(runner: LastValue) -> None:
    """An answer that nobody waits for any more is dropped."""
    runner.each = SLOW

    async def give_up() -> list[Any]:
        batches = batches_of(runner)
        gone, stays = (asyncio.create_task(batches.forecast(window(value))) for value in (1.0, 2.0))
        await asyncio.to_thread(runner.begun.wait, 10)
        gone.cancel()
        runner.go.set()
        return [await stays]

    assert first_values(asyncio.run(give_up())) == [2.0]
