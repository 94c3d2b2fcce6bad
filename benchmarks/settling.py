"""Waiting until a service that has just started hardly works any more: Lastgang compiles behind its first answers."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LOOK = 0.5  # seconds over which processor time is looked at
QUIET = 0.1  # of one core: less is little


def processor_seconds(processes: Iterable[psutil.Process]) -> float:
    """Return the processor time that the processes have used so far, user and system."""
    seconds = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            seconds += times.user + times.system
    return seconds


def settle(processes: Callable[[], Iterable[psutil.Process]], within: float) -> None:
    """Wait until the processes hardly work any more, at most so many seconds."""
    end, used = time.perf_counter() + within, processor_seconds(processes())
    while time.perf_counter() < end:
        time.sleep(LOOK)
        before, used = used, processor_seconds(processes())
        if used - before < QUIET * LOOK:
            break
