"""The memory of a service over time, and whether it grows; its descriptors and threads, too.

In: the service's first process. Out: samples of all its processes' memory in MB, their slope in MB an hour, a verdict.
That is by RSS: PSS is what the service costs, but it jumps when another program that has TensorFlow's files in memory
starts or ends (by 64 MB in one run, while RSS moved by 6).
"""

from __future__ import annotations

import contextlib
import time
from threading import Event, Thread
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence

EVERY = 5.0  # seconds
FLAT = 30.0  # MB an hour: at 80 requests a second, a hundred bytes a request
SHORTEST = 10.0  # minutes; less is no time to tell a slope from the allocator's noise


class Sample(NamedTuple):
    """What all processes hold at a time: memory in MB, open descriptors, threads.

    Shared pages are shared out in the PSS; in the RSS they count in each process that has them.
    """

    at: float
    pss: float
    rss: float
    descriptors: int
    threads: int


def weigh(process: psutil.Process, at: float = 0.0) -> Sample:
    """Return what a process and all below it hold."""
    pss = rss = 0.0
    descriptors = threads = 0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            info = each.memory_full_info()
            pss, rss = pss + info.pss / 1e6, rss + info.rss / 1e6
            descriptors, threads = descriptors + each.num_fds(), threads + each.num_threads()
    return Sample(at, pss, rss, descriptors, threads)


class Scales:
    """Weighs a service every few seconds, in a thread, while it is used as a context."""

    def __init__(self, process: psutil.Process) -> None:
        self.samples: list[Sample] = []
        self._process, self._end, self._thread = process, Event(), Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._start = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self.samples.append(weigh(self._process, time.perf_counter() - self._start))
            if self._end.wait(EVERY):
                break


def second_half(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples from the middle of the time on: the first half fills caches and arenas."""
    return [each for each in samples if each.at >= samples[-1].at / 2]


def slope(samples: Sequence[Sample]) -> float:
    """Return by how much the RSS of the second half grows, MB an hour: the line with the least squares."""
    half = second_half(samples)
    return 3_600 * float(np.polyfit([each.at for each in half], [each.rss for each in half], 1)[0])


def verdict(samples: Sequence[Sample]) -> str:
    """Say `flat`, `not flat`, or that it was too short a time to tell."""
    if samples[-1].at < 60 * SHORTEST:
        return f"too short to tell: a verdict takes {SHORTEST:.0f} minutes"
    return "flat" if slope(samples) < FLAT else "not flat"
