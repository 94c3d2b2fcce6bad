"""Work that gives way to requests: a thread of its own, of low priority.

In: what to do. Out: the thread, started. Nothing is refused; where threads have no priority, it is as any other.
"""

from __future__ import annotations

import os
import sys
from threading import Thread, get_native_id
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = 10  # of the 19 down that Linux knows: on a busy machine still a tenth of a core


def behind(work: Callable[[], None]) -> Thread:
    """Do the work in a thread that every other comes before."""

    def run() -> None:
        if sys.platform == "linux":  # elsewhere a thread has no priority of its own
            os.setpriority(os.PRIO_PROCESS, get_native_id(), STEPS)
        work()

    thread = Thread(target=run, name="behind", daemon=True)
    thread.start()
    return thread
