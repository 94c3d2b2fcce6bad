"""Refresh tokens: what a user's program comes back with instead of the password (RFC 6749, section 6).

Comes in: who logged in, by which client, for which scopes; later the text of a refresh token. Goes out: a new
refresh token and what it stands for. Each is good once (RFC 9700, section 4.14.2): whoever brings one a second time,
owner or thief, ends the whole family, that is all that came from one log-in, access tokens included. Exchanges and ends
come one after the other (`auth.database.alone`): what is exchanged while a family ends would outlive it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from auth.database import alone
from auth.errors import InvalidGrant
from auth.scopes import written
from auth.secrets import REFRESH, hash_of, new_secret
from auth.tables import REFRESH_TOKENS, REVOKED

if TYPE_CHECKING:
    from collections.abc import Collection

    import sqlalchemy as sa

    from auth.database import Database

# A clock that was ahead, and is right again, must not have made a revoked token good again meanwhile.
KEPT = timedelta(days=30)


@dataclass(frozen=True)
class Family:
    """What one log-in may be prolonged to.

    Attributes:
        id: 32 hexadecimal digits.
        user: who logged in.
        client: which client asked; `auth.grants.ANYONE` where none said who it is.
        scopes: what was given at most.
        began_at: when the user logged in; whole second, UTC.
        ends_at: when it ends at the latest; whole second, UTC.
    """

    id: str
    user: str
    client: str
    scopes: frozenset[str]
    began_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class Access:
    """The access token that goes out with a refresh token: its id, and when it expires."""

    id: str
    expires_at: datetime


class RefreshTokens:
    """The table of refresh tokens; safe to use from threads and from several processes.

    Args:
        database: where the table is.
        idle: how long a refresh token is good.
        longest: how long one can follow the other.
    """

    def __init__(self, database: Database, idle: timedelta, longest: timedelta) -> None:
        self._engine, self._idle, self._longest = database.engine, idle, longest

    def begin(self, user: str, client: str, scopes: Collection[str], access: Access, now: datetime) -> str:
        """Begin a family with its first refresh token, and return that."""
        began = now.replace(microsecond=0)
        family = Family(uuid.uuid4().hex, user, client, frozenset(scopes), began, began + self._longest)
        with self._engine.begin() as connection:
            connection.execute(REFRESH_TOKENS.delete().where(REFRESH_TOKENS.c.family_ends_at <= int(now.timestamp())))
            return self._insert(connection, family, access, now)

    def read(self, token: str, now: datetime) -> Family | None:
        """Return what an unused refresh token stands for; None if it is not good."""
        with self._engine.connect() as connection:
            row = self._row(connection, token)
        if row is None or row.used or now.timestamp() >= row.good_until:
            return None
        return _family(row)

    def family_of(self, token: str) -> Family | None:
        """Return what a refresh token stood for, used or expired as it may be; None if it never was one."""
        with self._engine.connect() as connection:
            row = self._row(connection, token)
        return None if row is None else _family(row)

    def exchange(self, token: str, client: str, access: Access, now: datetime) -> str:
        """Return the next refresh token for one that is good, which it is no longer.

        Raises:
            InvalidGrant: it is not good, or another client's. One that was used before ends its family.
        """
        with self._engine.begin() as connection:
            if self._row(connection, token) is None:
                raise InvalidGrant  # a stranger's: for that nobody has to wait
            alone(connection)
            row = self._row(connection, token)
            if row is None or row.client != client:
                raise InvalidGrant
            if row.used:  # however long ago: who has the next one may still go on with it
                _end(connection, row.family, now)
            elif now.timestamp() < row.good_until:
                mine = REFRESH_TOKENS.c.hash == row.hash
                connection.execute(REFRESH_TOKENS.update().where(mine).values(used=True))
                return self._insert(connection, _family(row), access, now)
        raise InvalidGrant

    def end(self, family: str, now: datetime) -> None:
        """End a family: none of its refresh tokens and of its access tokens is good any more."""
        with self._engine.begin() as connection:
            alone(connection)
            _end(connection, family, now)

    def _insert(self, connection: sa.Connection, family: Family, access: Access, now: datetime) -> str:
        token = new_secret(REFRESH)
        row = {
            "hash": hash_of(token),
            "family": family.id,
            "user_name": family.user,
            "client": family.client,
            "scopes": written(family.scopes),
            "began_at": int(family.began_at.timestamp()),
            "good_until": int(min(now + self._idle, family.ends_at).timestamp()),
            "family_ends_at": int(family.ends_at.timestamp()),
            "used": False,
            "access_id": access.id,
            "access_expires_at": int(access.expires_at.timestamp()),
        }
        connection.execute(REFRESH_TOKENS.insert().values(row))
        return token

    def _row(self, connection: sa.Connection, token: str) -> sa.Row[Any] | None:
        return connection.execute(REFRESH_TOKENS.select().where(REFRESH_TOKENS.c.hash == hash_of(token))).first()


class Revocations:
    """The table of access tokens that are revoked before they expire."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine

    def add(self, token_id: str, expires_at: datetime, now: datetime) -> None:
        """Revoke a token, and forget those that expired long ago."""
        with self._engine.begin() as connection:
            alone(connection)
            connection.execute(REVOKED.delete().where(REVOKED.c.expires_at <= int((now - KEPT).timestamp())))
            _revoke(connection, token_id, int(expires_at.timestamp()))


def _end(connection: sa.Connection, family: str, now: datetime) -> None:
    of_it = REFRESH_TOKENS.c.family == family
    for row in connection.execute(REFRESH_TOKENS.select().where(of_it)).all():
        if row.access_expires_at > (now - KEPT).timestamp():
            _revoke(connection, row.access_id, row.access_expires_at)
    connection.execute(REFRESH_TOKENS.delete().where(of_it))


def _revoke(connection: sa.Connection, token_id: str, expires_at: int) -> None:
    """Revoke a token that may be revoked already; whoever calls this is alone."""
    if connection.execute(REVOKED.select().where(REVOKED.c.id == token_id)).first() is None:
        connection.execute(REVOKED.insert().values(id=token_id, expires_at=expires_at))


def _family(row: sa.Row[Any]) -> Family:
    began, ends = (datetime.fromtimestamp(at, UTC) for at in (row.began_at, row.family_ends_at))
    return Family(row.family, row.user_name, row.client, frozenset(row.scopes.split()), began, ends)
