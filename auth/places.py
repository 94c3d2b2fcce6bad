"""From where users have logged in: pairs of a user and an address, as keyed hashes, for 90 days.

In: keys (`auth.counters.key_of`) and times. Out: whether a pair is known.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from auth.tables import PLACES

if TYPE_CHECKING:
    from auth.database import Database

KNOWN, RENEWED = 90 * 86_400, 86_400  # seconds


class KnownPlaces:
    """The table of known places; safe to use from threads and from several processes."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine

    def knows(self, key: str, now: float) -> bool:
        """Tell whether the pair is known."""
        return self._seen(key) > now - KNOWN

    def add(self, key: str, now: float) -> None:
        """Know the pair from now on; written at most once a day for each, as every write is noticed by all workers."""
        if self._seen(key) > now - RENEWED:
            return
        with suppress(IntegrityError), self._engine.begin() as connection:  # another process may be adding it, too
            connection.execute(PLACES.delete().where((PLACES.c.key == key) | (PLACES.c.seen_at < now - KNOWN)))
            connection.execute(PLACES.insert().values(key=key, seen_at=int(now)))

    def _seen(self, key: str) -> float:
        with self._engine.connect() as connection:
            seen = connection.execute(sa.select(PLACES.c.seen_at).where(PLACES.c.key == key)).scalar()
        return -math.inf if seen is None else float(seen)
