"""The users: one table of a database.

Comes in: names, password hashes (never passwords) and the time now. Goes out: `User`. A name is 1 to 64 of
``A-Z a-z 0-9 . _ @ -``, begins with a letter or digit, and is stored in lower case: Ada and ada are one user,
and log in alike. Times are whole seconds, UTC.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from auth.database import open_database, watch
from auth.errors import InvalidUserName, UnknownUser, UserExists

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_TABLES = sa.MetaData()
_USERS = sa.Table(
    "users",
    _TABLES,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("password_hash", sa.String(255), nullable=False),
    sa.Column("disabled", sa.Boolean, nullable=False),
    # Unix seconds: every database compares and adds them alike, and none of them has a time zone to lose.
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("password_changed_at", sa.BigInteger, nullable=False),
)

# Built once: every request reads one user, and building the query takes longer than running it.
_ONE = _USERS.select().where(_USERS.c.name == sa.bindparam("wanted"))


@dataclass(frozen=True)
class User:
    """One user as stored.

    Attributes:
        name: in lower case.
        password_hash: Argon2id in PHC string format.
        disabled: may not log in, and no token of theirs is good.
        created_at: whole second, UTC.
        password_changed_at: whole second, UTC. Tokens issued before it are no longer good. It is the second
            *after* the change, so that a token of the same second can be told to be older.
    """

    name: str
    password_hash: str = field(repr=False)
    disabled: bool
    created_at: datetime
    password_changed_at: datetime


def canonical_name(name: str) -> str:
    """Return the name as it is stored: in lower case.

    Raises:
        InvalidUserName: it has another form than this module says.
    """
    if not _NAME.fullmatch(name):
        raise InvalidUserName(name)
    return name.lower()


def _utc_now() -> datetime:
    return datetime.now(UTC)


class UserStore:
    """The table of users, made if it is not there; safe to use from threads and from several processes.

    Args:
        url: of the database, in SQLAlchemy's form. A new SQLite file is readable by its owner only; its
            folder has to exist.
        clock: returns the aware time now.

    Raises:
        UnusableDatabase: see `auth.database.open_database`.
    """

    def __init__(self, url: str, clock: Callable[[], datetime] = _utc_now) -> None:
        self._clock = clock
        self._engine = open_database(url, _TABLES)
        self._watch = watch(self._engine)

    def add(self, name: str, password_hash: str) -> User:
        """Store a new user, not disabled, and return it.

        Raises:
            InvalidUserName: see `canonical_name`.
            UserExists: the name is taken.
        """
        row = (canonical_name(name), password_hash, False, now := self._now(), now)
        try:
            with self._engine.begin() as connection:
                connection.execute(_USERS.insert().values(row))
        except IntegrityError:
            raise UserExists(row[0]) from None
        return _user(*row)

    def get(self, name: str) -> User | None:
        """Return the user of that name; None if there is none or none could be called so."""
        with suppress(InvalidUserName):
            found = self._read(_ONE, wanted=canonical_name(name))
            return found[0] if found else None
        return None

    def all(self) -> list[User]:
        """Return every user, by name."""
        return self._read(_USERS.select().order_by(_USERS.c.name))

    def any(self) -> bool:
        """Tell whether there is a user at all."""
        return bool(self._read(_USERS.select().limit(1)))

    def set_password_hash(self, name: str, password_hash: str) -> None:
        """Give the user another password; every token issued until now stops being good.

        Raises:
            UnknownUser: no user has this name.
        """
        after, changed = self._now() + 1, _USERS.c.password_changed_at
        # Always later than any change before it, even within one second or after the clock was set back.
        later = sa.case((changed >= after, changed + 1), else_=after)
        self._write(name, password_hash=password_hash, password_changed_at=later)

    def renew_hash(self, name: str, old: str, new: str) -> None:
        """Store another hash of the *same* password, unless the password was changed in the meantime."""
        with self._engine.begin() as connection:
            same = (_USERS.c.name == canonical_name(name)) & (_USERS.c.password_hash == old)
            connection.execute(_USERS.update().where(same).values(password_hash=new))

    def set_disabled(self, name: str, *, disabled: bool) -> None:
        """Shut a user out at once, tokens included, or let them in again.

        Raises:
            UnknownUser: no user has this name.
        """
        self._write(name, disabled=disabled)

    def changes(self) -> int | None:
        """Return a number that is another one after any change, by whomever, in microseconds and without waiting.

        None where it cannot be told: the database is no SQLite file, or is locked or gone just now.
        """
        if self._watch is None:
            return None
        try:
            (version,) = self._watch.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:  # reading a user waits for the lock, or says what is wrong
            return None
        return int(version)

    def close(self) -> None:
        """Close every connection."""
        if self._watch is not None:
            self._watch.close()
        self._engine.dispose()

    def _read(self, query: sa.Select[Any], **values: str) -> list[User]:
        with self._engine.connect() as connection:
            return [_user(*row) for row in connection.execute(query, values)]

    def _write(self, name: str, **values: Any) -> None:
        try:
            name = canonical_name(name)
        except InvalidUserName:
            raise UnknownUser(name) from None
        with self._engine.begin() as connection:
            change = connection.execute(_USERS.update().where(_USERS.c.name == name).values(**values))
        if not change.rowcount:
            raise UnknownUser(name)

    def _now(self) -> int:
        return int(self._clock().timestamp())


def _user(name: str, password_hash: str, disabled: bool, created: int, changed: int) -> User:  # noqa: FBT001
    return User(
        name,
        password_hash,
        disabled,
        datetime.fromtimestamp(created, UTC),
        datetime.fromtimestamp(changed, UTC),
    )
