"""What a worker tells of itself twice a second: its event loop's lag, its memory, its models, who waits, its counts."""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic, process_time

import psutil

from edge.metrics import Metrics
from edge.turns import Turns
from models.catalogue import Known

EVERY = 0.5  # seconds
REMEMBERED = 30  # lags: those of the last quarter of a minute, which is how often Prometheus usually asks


class Sampler:
    """Tells the metrics what nobody else would.

    Args:
        metrics: of this worker.
        turns: where its long requests wait.
        known: gives what it knows of the models.
    """

    def __init__(self, metrics: Metrics, turns: Turns, known: Callable[[], Iterable[Known]]) -> None:
        self._metrics, self._turns, self._known = metrics, turns, known
        self._process = psutil.Process(os.getpid())
        self._lags: deque[float] = deque(maxlen=REMEMBERED)
        self._cpu = 0.0

    async def run(self) -> None:
        """Look for ever; what comes late was kept waiting by the event loop."""
        lag = 0.0
        while True:
            with self._metrics.never_failing():
                self._metrics.write()
            with self._metrics.never_failing():
                self.look(lag)
            due = monotonic() + EVERY
            await asyncio.sleep(EVERY)
            lag = max(0.0, monotonic() - due)

    def look(self, lag: float) -> None:
        """Tell how things stand.

        Args:
            lag: of the event loop, in seconds.
        """
        self._lags.append(lag)
        cpu = process_time()
        new, self._cpu = cpu - self._cpu, cpu
        self._metrics.worker(max(self._lags), self._process.memory_info().rss, new, self._process.create_time())
        self._metrics.long(*self._turns.counts())
        self._metrics.models(self._known())
