"""The clock of `auth`, where a test gives no other one."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the aware time now, UTC."""
    return datetime.now(UTC)
