"""The watch: it takes up what has changed, outlives what goes wrong, and tells of it once."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, cast

from models.watching import Watch

if TYPE_CHECKING:
    import pytest

    from models.catalogue import Catalogue


class Looks:
    """A catalogue of which each look ends as told, and that says when all of them are done."""

    def __init__(self, *ends: Exception | None) -> None:
        self.ends = list(ends)
        self.done = threading.Event()

    def refresh(self) -> bool:
        """Look once."""
        end = self.ends.pop(0) if self.ends else None
        if not self.ends:
            self.done.set()
        if end is not None:
            raise end
        return False


def watch(looks: Looks) -> Watch:
    return Watch(cast("Catalogue", looks), 0.001)


def test_thread_looks_until_it_is_stopped() -> None:
    """The first failure is not the last look."""
    looks = Looks(OSError("disk"), None, None)
    thread = watch(looks)
    thread.start()
    assert looks.done.wait(10)
    thread.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert thread.daemon


def test_same_failure_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A store that is away for an hour is one line in the log, and one more if it goes away again."""
    ends = [OSError("away"), OSError("away"), OSError("other"), None, OSError("other"), OSError("other")]
    thread = watch(Looks(*ends))
    with caplog.at_level(logging.ERROR, "models.watching"):
        for _ in ends:
            thread.look()
    assert [record.message.rsplit(": ", 1)[1] for record in caplog.records] == ["away", "other", "other"]
