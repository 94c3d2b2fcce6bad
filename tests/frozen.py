"""A clock for tests: it stands still until a test sets it."""

from datetime import datetime


class Clock:
    """Tells the time that a test set."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Return the aware time now."""
        return self.now
