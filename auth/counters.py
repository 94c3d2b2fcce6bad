"""Counters that every worker and every replica shares: what was used of a limit, how often a log-in failed.

In: keys, amounts, times. Out: what is granted; never more in all than there is, whoever asks at the same moment.
They are thrown away when their time is over, so in SQLite, which locks and watches a file as a whole, they lie in a
file of their own beside the users: `users.db-counters`. On a database server they are a table beside the users.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.engine.interfaces import DBAPIConnection

KEPT = 600  # seconds between two looks for what may be thrown away
SKEW = 300  # seconds by which the clocks of replicas may differ; what counts from later is of a clock that was wrong
# Do not wait for the disk: after a power cut a counter may begin anew.
_NO_WAIT = {"sqlite": "PRAGMA synchronous = OFF", "postgresql": "SET synchronous_commit = off"}
TABLES = sa.MetaData()
_COUNTERS = sa.Table(
    "counters",
    TABLES,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("used", sa.BigInteger, nullable=False),
    # Seconds since 1970 in which it last counted, and after which it is nothing.
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
)
_KEY = _COUNTERS.c.key == sa.bindparam("wanted")
_UNTIL = sa.bindparam("end", type_=sa.Double)
_MORE = sa.bindparam("more", type_=sa.BigInteger)
# A replica whose clock is late counts in the window that another one has begun: it never begins an old one anew. A
# window that ends later than any clock explains is of one that was set back since: nobody shall wait for its end.
_LATEST = sa.bindparam("latest", type_=sa.Double)
_BEGUN = _COUNTERS.c.until.between(_UNTIL, _LATEST)
_ADD = (
    _COUNTERS.update()
    .where(_KEY)
    .values(
        used=sa.case((_BEGUN, _COUNTERS.c.used + _MORE), else_=_MORE),
        until=sa.case((_BEGUN, _COUNTERS.c.until), else_=_UNTIL),
    )
)
_USED = sa.select(_COUNTERS.c.used).where(_KEY)
_SET = _COUNTERS.update().where(_KEY).values(used=_MORE)
_HOLD = _COUNTERS.update().where(_KEY).values(used=_COUNTERS.c.used)


@dataclass(frozen=True)
class Count:
    """A counter: how much, and when last."""

    used: int
    at: float


def key_of(*parts: str, secret: bytes = b"") -> str:
    """Return the key of a counter: it tells nobody who holds no secret what it is made of."""
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), key=secret[:64], digest_size=16).hexdigest()


def beside(url: str) -> str:
    """Return the URL of the counters' database for that of the users'."""
    place = sa.make_url(url)
    if place.get_backend_name() != "sqlite":
        return url
    return place.set(database=f"{place.database}-counters").render_as_string(hide_password=False)


class Counters:
    """The counters of one database; safe to use from threads and from several processes.

    Args:
        engine: of the database. In SQLite the table is made if it is not there.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._purged = 0.0
        if engine.dialect.name in _NO_WAIT:
            sa.event.listen(engine, "connect", _hurry(_NO_WAIT[engine.dialect.name]))
            engine.dispose()  # whoever made the engine may have connected already
        if engine.dialect.name == "sqlite":
            with engine.begin() as connection:  # in one step: other workers start in the same moment
                connection.execute(sa.schema.CreateTable(_COUNTERS, if_not_exists=True))

    def take(  # noqa: PLR0913  # what a window is
        self, key: str, amount: int, limit: int, until: float, seconds: float, *, whole: bool = False
    ) -> tuple[int, int]:
        """Use some of what a limit leaves in its window.

        Args:
            key: see `key_of`.
            amount: that is wanted, 1 or more.
            limit: of the window.
            until: the window's end, seconds since 1970; a later end begins a new window.
            seconds: length of the window.
            whole: whether less than `amount` is of no use.

        Returns:
            What is granted, 0 to `amount`, and what is used of the limit after that.

        Raises:
            SQLAlchemyError: the database does not answer.
        """
        window = {"end": until, "latest": until + max(seconds, SKEW)}
        while True:
            try:
                with self._engine.begin() as connection:
                    if not connection.execute(_ADD, {"wanted": key, "more": amount, **window}).rowcount:
                        connection.execute(_COUNTERS.insert().values(key=key, used=amount, at=until, until=until))
                    used = int(connection.execute(_USED, {"wanted": key}).scalar_one())
                    granted = max(0, min(amount, limit - used + amount))
                    if whole and granted < amount:
                        granted = 0
                    if granted < amount:
                        used -= amount - granted
                        connection.execute(_SET, {"wanted": key, "more": used})
                    return granted, used
            except IntegrityError:  # another process was the first to write it
                continue

    def look(self, keys: Sequence[str], now: float) -> dict[str, Count]:
        """Return those of the counters that there are."""
        with self._engine.connect() as connection:
            return _look(connection, keys, now)

    def count(self, keys: Sequence[str], now: float, seconds: float, refused: Any) -> float:
        """Add one to each counter, unless one of them refuses; all at once or none.

        Args:
            keys: of the counters.
            now: seconds since 1970.
            seconds: after which a counter that was not added to is nothing.
            refused: a function of the counters as they are; returns seconds to wait, or 0.

        Returns:
            The seconds to wait; 0 if it was counted.
        """
        while True:
            try:
                with self._engine.begin() as connection:
                    for key in keys:  # always in the same order, so that no two wait for each other
                        if not connection.execute(_HOLD, {"wanted": key}).rowcount:
                            connection.execute(_COUNTERS.insert().values(key=key, used=0, at=now, until=now))
                    counts = _look(connection, keys, now)
                    wait = float(refused(counts))
                    if not wait:
                        for key in keys:
                            used = counts[key].used + 1 if key in counts else 1
                            row = {"used": used, "at": now, "until": now + seconds}
                            connection.execute(_COUNTERS.update().where(_COUNTERS.c.key == key).values(row))
                self._purge(now)
            except IntegrityError:
                continue
            return wait

    def forget(self, key: str) -> None:
        """Begin a counter anew."""
        with self._engine.begin() as connection:
            connection.execute(_COUNTERS.delete().where(_COUNTERS.c.key == key))

    def take_back(self, keys: Sequence[str]) -> None:
        """Subtract one from each counter."""
        with self._engine.begin() as connection:
            for key in keys:
                mine = (_COUNTERS.c.key == key) & (_COUNTERS.c.used > 0)
                connection.execute(_COUNTERS.update().where(mine).values(used=_COUNTERS.c.used - 1))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _purge(self, now: float) -> None:
        if abs(now - self._purged) > KEPT:
            self._purged = now
            with self._engine.begin() as connection:
                connection.execute(_COUNTERS.delete().where(_COUNTERS.c.until < now - KEPT))


def _look(connection: sa.Connection, keys: Sequence[str], now: float) -> dict[str, Count]:
    wanted = sa.select(_COUNTERS.c.key, _COUNTERS.c.used, _COUNTERS.c.at).where(
        _COUNTERS.c.key.in_(keys), _COUNTERS.c.until > now, _COUNTERS.c.at <= now + SKEW
    )
    return {key: Count(used, at) for key, used, at in connection.execute(wanted)}


def _hurry(words: str) -> Callable[[DBAPIConnection, Any], None]:
    def hurry(connection: DBAPIConnection, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(words)
        cursor.close()
        connection.commit()

    return hurry
