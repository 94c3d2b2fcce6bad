"""The clients: machines that log in by themselves, in one table of a database.

Comes in: ids, scopes and secrets. Goes out: `Client`. An id is ``client:`` and 1 to 57 of ``a-z 0-9 . _ -``, begun by a
letter or digit: no user can be called so. Times are whole seconds, UTC.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from auth.clock import utc_now
from auth.errors import ClientExists, InvalidClientId, UnknownClient
from auth.scopes import parse, written
from auth.secrets import CLIENT, hash_of, new_secret
from auth.tables import CLIENTS, REFRESH_TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from auth.database import Database

PREFIX = "client:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,56}", re.ASCII)


@dataclass(frozen=True)
class Client:
    """One client as stored.

    Attributes:
        id: with the prefix, in lower case.
        secret_hash: see `auth.secrets`.
        disabled: gets no token, and no token of theirs is good.
        created_at: whole second, UTC.
        secret_changed_at: whole second, UTC; see `auth.users.User.password_changed_at`.
        scopes: what the client may do.
    """

    id: str
    secret_hash: str = field(repr=False)
    disabled: bool
    created_at: datetime
    secret_changed_at: datetime
    scopes: frozenset[str]

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> Client:
        """Return the client of a row of the table."""
        client, secret_hash, disabled, created, changed, scopes = row
        born, renewed = (datetime.fromtimestamp(at, UTC) for at in (created, changed))
        return cls(client, secret_hash, disabled, born, renewed, frozenset(scopes.split()))


def canonical_id(name: str) -> str:
    """Return a client's id as it is stored; the prefix may be left out.

    Raises:
        InvalidClientId: it has another form than this module says.
    """
    short = name.lower().removeprefix(PREFIX)
    if not _NAME.fullmatch(short):
        raise InvalidClientId(name)
    return PREFIX + short


class ClientStore:
    """The table of clients; safe to use from threads and from several processes.

    Args:
        database: where the table is.
        clock: returns the aware time now.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine, self._clock = database.engine, clock

    def add(self, name: str, scopes: Collection[str] = ()) -> tuple[Client, str]:
        """Store a new client, and return it with its secret, which is not stored.

        Raises:
            InvalidClientId: see `canonical_id`.
            InvalidScope: see `auth.scopes.parse`.
            ClientExists: the id is taken.
        """
        granted, secret, now = written(parse(written(scopes))), new_secret(CLIENT), self._now()
        row = (canonical_id(name), hash_of(secret), False, now, now, granted)
        try:
            with self._engine.begin() as connection:
                connection.execute(CLIENTS.insert().values(row))
        except IntegrityError:
            raise ClientExists(row[0]) from None
        return self._known(row[0]), secret

    def get(self, client_id: str) -> Client | None:
        """Return the client of exactly that id; None if there is none or none could be called so."""
        try:
            if canonical_id(client_id) != client_id:
                return None
        except InvalidClientId:  # PostgreSQL would fail at some of them
            return None
        with self._engine.connect() as connection:
            row = connection.execute(CLIENTS.select().where(CLIENTS.c.id == client_id)).first()
        return None if row is None else Client.of_row(row)

    def find(self, name: str) -> Client | None:
        """Return the client of an id, with or without the prefix and in any case; None if there is none."""
        with suppress(InvalidClientId):
            return self.get(canonical_id(name))
        return None

    def all(self) -> list[Client]:
        """Return every client, by id."""
        with self._engine.connect() as connection:
            return [Client.of_row(row) for row in connection.execute(CLIENTS.select().order_by(CLIENTS.c.id))]

    def renew_secret(self, name: str) -> str:
        """Give the client another secret and return it; the tokens of the old one stop being good.

        Raises:
            UnknownClient: no client has this id.
        """
        secret, after, changed = new_secret(CLIENT), self._now() + 1, CLIENTS.c.secret_changed_at
        later = sa.case((changed >= after, changed + 1), else_=after)
        self._write(name, secret_hash=hash_of(secret), secret_changed_at=later)
        return secret

    def set_scopes(self, name: str, scopes: Collection[str]) -> Client:
        """Let the client do this and nothing else, and return it.

        Raises:
            UnknownClient: no client has this id.
            InvalidScope: see `auth.scopes.parse`.
        """
        self._write(name, scopes=written(parse(written(scopes))))
        return self._known(canonical_id(name))

    def set_disabled(self, name: str, *, disabled: bool) -> None:
        """Shut a client out at once, tokens included, or let it in again.

        Raises:
            UnknownClient: no client has this id.
        """
        self._write(name, disabled=disabled)

    def remove(self, name: str) -> None:
        """Forget a client, and the refresh tokens that it holds; its tokens stop being good.

        Raises:
            UnknownClient: no client has this id.
        """
        client = self._id(name)
        with self._engine.begin() as connection:
            connection.execute(REFRESH_TOKENS.delete().where(REFRESH_TOKENS.c.client == client))
            if not connection.execute(CLIENTS.delete().where(CLIENTS.c.id == client)).rowcount:
                raise UnknownClient(name)

    def _write(self, name: str, **values: Any) -> None:
        with self._engine.begin() as connection:
            change = connection.execute(CLIENTS.update().where(CLIENTS.c.id == self._id(name)).values(**values))
        if not change.rowcount:
            raise UnknownClient(name)

    def _id(self, name: str) -> str:
        try:
            return canonical_id(name)
        except InvalidClientId:
            raise UnknownClient(name) from None

    def _known(self, client_id: str) -> Client:
        if (client := self.get(client_id)) is None:
            raise UnknownClient(client_id)
        return client

    def _now(self) -> int:
        return int(self._clock().timestamp())
