"""How the one behind a token stands now: user, client and whether the token was revoked, in one look.

In: a database, and what a token says. Out: `Standing`, as it is now. Every request asks; reading takes a thread and
half a millisecond, while SQLite tells in microseconds that nothing has changed since (`Database.changes`). So a
disabled user, a new password or a revoked token counts at the next request all the same. Other databases are asked once
for each request.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from auth.clients import Client
from auth.tables import CLIENTS, REVOKED, USERS
from auth.users import User

if TYPE_CHECKING:
    from auth.database import Database

MOST = 10_000  # tokens of which is kept how they stand, some 10 MB

_ONE = sa.select(sa.literal(1).label("one")).subquery()
# Built once: building the query takes longer than running it.
_ALL = sa.select(USERS, CLIENTS, REVOKED.c.id).select_from(
    _ONE.outerjoin(USERS, USERS.c.name == sa.bindparam("user"))
    .outerjoin(CLIENTS, CLIENTS.c.id == sa.bindparam("client"))
    .outerjoin(REVOKED, REVOKED.c.id == sa.bindparam("token"))
)
_USER_COLUMNS, _CLIENT_COLUMNS = len(USERS.columns), len(CLIENTS.columns)


@dataclass(frozen=True)
class Standing:
    """What the database says of a token's user and client.

    Attributes:
        user: None if there is none of that name.
        client: None if there is none of that id.
        revoked: whether the token was revoked.
    """

    user: User | None
    client: Client | None
    revoked: bool


def read_standing(database: Database, user: str, client: str, token: str) -> Standing:
    """Read how the bearer of a token stands, with one query."""
    with database.engine.connect() as connection:
        row = tuple(connection.execute(_ALL, {"user": user, "client": client, "token": token}).one())
    of_user, of_client = row[:_USER_COLUMNS], row[_USER_COLUMNS : _USER_COLUMNS + _CLIENT_COLUMNS]
    return Standing(
        None if of_user[0] is None else User.of_row(of_user),
        None if of_client[0] is None else Client.of_row(of_client),
        row[-1] is not None,
    )


class Standings:
    """A view of the database for the coroutines of one event loop; never older than the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changes: int | None = None
        self._has_looked = False
        self._seen: int | None = None
        self._known: dict[tuple[str, str, str], Standing] = {}

    async def get(self, user: str, client: str, token: str) -> Standing:
        """Return how the bearer of a token stands.

        Args:
            user: the token's subject.
            client: the client that it was issued to.
            token: its id.

        Raises:
            SQLAlchemyError: the database cannot be read.
        """
        changes = self._look()
        if changes is None:
            return await asyncio.to_thread(read_standing, self._database, user, client, token)
        if changes != self._changes or len(self._known) >= MOST:
            self._changes, self._known = changes, {}
        # A change while this is read is told by the next look, which begins anew.
        known, asked = self._known, (user, client, token)
        if asked not in known:
            known[asked] = await asyncio.to_thread(read_standing, self._database, *asked)
        return known[asked]

    def _look(self) -> int | None:
        """Return what `Database.changes` says, looked at once for all that the event loop has in its hands now.

        Every request of one turn of the loop had come before the turn began, so no change before it is missed.
        """
        if not self._has_looked:
            self._seen = self._database.changes()
            self._has_looked = True
            asyncio.get_running_loop().call_soon(self._end_turn)
        return self._seen

    def _end_turn(self) -> None:
        self._has_looked = False
