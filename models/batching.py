"""Windows that wait at the same moment, forecast together: one call of the model for all of them.

In: windows (1, window, c) float32 from the coroutines of one event loop, one by one. Out: to each its own
(1, horizon) float32, or its own error. Nobody waits for company: a batch is whoever waits when the model is free, so a
lone window is a batch of one, and batches grow only as requests do.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from models.errors import NonFiniteForecast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from models.runner import Runner

    Waiting = tuple[NDArray[np.float32], asyncio.Future[NDArray[np.float32]]]

LARGEST = 32  # windows; more at once take no less time for each
# A batch that takes less is computed on the event loop itself: a hop to a thread and back cost 0.4 ms of processor time
# for each request on two busy cores. With a GRU over 672 steps, 5 ms for 16 windows, it still won a quarter.
BRIEF = 0.02  # seconds


class Batches:
    """The batches of one model.

    Args:
        runner: the model.
        observe: is told the model's name and the size of each batch.
    """

    def __init__(self, runner: Runner, observe: Callable[[str, int], None] | None = None) -> None:
        self._runner, self._observe = runner, observe
        self._waiting: list[Waiting] = []
        self._busy = False

    async def forecast(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Forecast one window, (1, window, c) → (1, horizon), normalised.

        Raises:
            ModelUnavailable: if TensorFlow fails.
            NonFiniteForecast: if the answer to this window holds NaN or infinity.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[NDArray[np.float32]] = loop.create_future()
        self._waiting.append((window, answer))
        if not self._busy:
            self._busy = True
            # Not at once: the requests that the event loop has in its hands already come along.
            loop.call_soon(self._next)
        return await answer

    def _next(self) -> None:
        """Forecast a batch, and go on as long as anybody waits."""
        self._waiting = [one for one in self._waiting if not one[1].done()]  # requests are given up, too
        batch, self._waiting = self._waiting[:LARGEST], self._waiting[LARGEST:]
        self._busy = bool(batch)
        if not batch:
            return
        loop = asyncio.get_running_loop()
        if self._runner.seconds(len(batch)) < BRIEF:
            self._deliver(batch, self._outputs(batch))
            loop.call_soon(self._next)
        else:
            loop.run_in_executor(None, self._outputs, batch).add_done_callback(partial(self._done, batch))
        if self._observe:  # last: if it fails, on a full disk say, nobody waits for ever
            self._observe(self._runner.card.name, len(batch))

    def _done(self, batch: Sequence[Waiting], running: asyncio.Future[NDArray[np.float32] | Exception]) -> None:
        self._deliver(batch, running.result())
        self._next()

    def _outputs(self, batch: Sequence[Waiting]) -> NDArray[np.float32] | Exception:
        try:
            return self._runner.outputs(np.concatenate([window for window, _ in batch]))
        except Exception as error:  # noqa: BLE001  # whatever it is, those who wait have to be told
            return error

    def _deliver(self, batch: Sequence[Waiting], outputs: NDArray[np.float32] | Exception) -> None:
        for at, (_, answer) in enumerate(batch):
            if answer.done():
                continue
            if isinstance(outputs, Exception):
                answer.set_exception(outputs)
            elif np.isfinite(one := outputs[at : at + 1]).all():
                answer.set_result(one)
            else:
                answer.set_exception(NonFiniteForecast(self._runner.card.name, [0]))
