"""The users: one table of a database.

Comes in: names, password hashes (never passwords), scopes and the time now. Goes out: `User`. A name is 1 to 64 of
``A-Z a-z 0-9 . _ @ -``, begins with a letter or digit, and is stored in lower case: Ada and ada are one user,
and log in alike. Times are whole seconds, UTC.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from auth.clock import utc_now
from auth.database import alone
from auth.errors import InvalidScope, InvalidUserName, LastAdmin, UnknownUser, UserExists
from auth.scopes import USERS_ADMIN, covers, parse, simplest, written
from auth.tables import REFRESH_TOKENS, USERS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from auth.database import Database

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
# Built once: every request reads one user, and building the query takes longer than running it.
_ONE = USERS.select().where(USERS.c.name == sa.bindparam("wanted"))


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
        scopes: what the user may do; none by default.
    """

    name: str
    password_hash: str = field(repr=False)
    disabled: bool
    created_at: datetime
    password_changed_at: datetime
    scopes: frozenset[str] = frozenset()

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> User:
        """Return the user of a row of the table."""
        name, password_hash, disabled, created, changed, scopes = row
        born, renewed = (datetime.fromtimestamp(at, UTC) for at in (created, changed))
        return cls(name, password_hash, disabled, born, renewed, frozenset(scopes.split()))


def canonical_name(name: str) -> str:
    """Return the name as it is stored: in lower case.

    Raises:
        InvalidUserName: it has another form than this module says.
    """
    if not _NAME.fullmatch(name):
        raise InvalidUserName(name)
    return name.lower()


def _stored(name: str) -> str:
    try:
        return canonical_name(name)
    except InvalidUserName:
        raise UnknownUser(name) from None


class UserStore:
    """The table of users; safe to use from threads and from several processes.

    Args:
        database: where the table is.
        clock: returns the aware time now.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database, self._engine, self._clock = database, database.engine, clock

    def add(self, name: str, password_hash: str, scopes: Collection[str] = ()) -> User:
        """Store a new user, not disabled, and return it.

        Raises:
            InvalidUserName: see `canonical_name`.
            InvalidScope: see `auth.scopes.parse`.
            UserExists: the name is taken.
        """
        granted = written(parse(written(scopes)))
        row = (canonical_name(name), password_hash, False, now := self._now(), now, granted)
        try:
            with self._engine.begin() as connection:
                connection.execute(USERS.insert().values(row))
        except IntegrityError:
            raise UserExists(row[0]) from None
        return User.of_row(row)

    def get(self, name: str) -> User | None:
        """Return the user of that name; None if there is none or none could be called so."""
        with suppress(InvalidUserName):
            found = self._read(_ONE, wanted=canonical_name(name))
            return found[0] if found else None
        return None

    def all(self) -> list[User]:
        """Return every user, by name."""
        return self._read(USERS.select().order_by(USERS.c.name))

    def any(self) -> bool:
        """Tell whether there is a user at all."""
        return bool(self._read(USERS.select().limit(1)))

    def set_password_hash(self, name: str, password_hash: str) -> None:
        """Give the user another password; every token issued until now stops being good.

        Raises:
            UnknownUser: no user has this name.
        """
        self._write(name, **self._of_password(password_hash))

    def renew_hash(self, name: str, old: str, new: str) -> None:
        """Store another hash of the *same* password, unless the password was changed in the meantime."""
        with self._engine.begin() as connection:
            same = (USERS.c.name == canonical_name(name)) & (USERS.c.password_hash == old)
            connection.execute(USERS.update().where(same).values(password_hash=new))

    def set_disabled(self, name: str, *, disabled: bool) -> None:
        """Shut a user out at once, tokens included, or let them in again, without the refresh tokens of before.

        Raises:
            UnknownUser: no user has this name.
        """
        self._write(name, disabled=disabled)

    def change(
        self,
        name: str,
        check: Callable[[User], None],
        *,
        scopes: Collection[str] | None = None,
        disabled: bool | None = None,
        password_hash: str | None = None,
    ) -> User:
        """Change what is not None, wholly or not at all, and return the user as they are then.

        Args:
            name: of the user.
            check: looks at the user as they are now, and nobody else changes them meanwhile; raises what refuses.
            scopes: what they may do from now on.
            disabled: see `set_disabled`.
            password_hash: see `set_password_hash`.

        Raises:
            UnknownUser: no user has this name.
            InvalidScope: see `auth.scopes.parse`.
            LastAdmin: nobody else may administer.
        """
        values: dict[str, Any] = {} if disabled is None else {"disabled": disabled}
        if scopes is not None:
            values["scopes"] = written(parse(written(scopes)))
        if password_hash is not None:
            values |= self._of_password(password_hash)
        name = _stored(name)
        with self._changing(keep_admin=True) as connection:
            row = connection.execute(_ONE.with_for_update(), {"wanted": name}).first()
            if row is None:
                raise UnknownUser(name)
            check(User.of_row(row))
            if values:
                _update(connection, name, values)
            return User.of_row(connection.execute(_ONE, {"wanted": name}).one())

    def remove(self, name: str, *, keep_admin: bool = False) -> None:
        """Forget a user and their refresh tokens; every token of theirs stops being good.

        Args:
            name: of the user.
            keep_admin: whether the last user who may administer has to stay.

        Raises:
            UnknownUser: no user has this name.
            LastAdmin: nobody else may administer.
        """
        name = _stored(name)
        with self._changing(keep_admin=keep_admin) as connection:
            connection.execute(REFRESH_TOKENS.delete().where(REFRESH_TOKENS.c.user_name == name))
            if not connection.execute(USERS.delete().where(USERS.c.name == name)).rowcount:
                raise UnknownUser(name)

    def grant(self, name: str, scopes: Collection[str]) -> User:
        """Let the user do more, and return the user as they are then.

        Raises:
            UnknownUser: no user has this name.
            InvalidScope: see `auth.scopes.parse`.
        """
        more = parse(written(scopes))
        return self._change_scopes(name, lambda had: parse(written(had | more)))

    def revoke(self, name: str, scopes: Collection[str]) -> User:
        """Let the user do less, and return the user as they are then; open tokens are good for less at once.

        Raises:
            UnknownUser: no user has this name.
            InvalidScope: unknown, or covered by another one that the user would keep.
        """
        less = parse(written(scopes))

        def without(had: frozenset[str]) -> frozenset[str]:
            kept = frozenset(scope for scope in had if not covers(less, scope))
            for scope in sorted(less):
                if covers(kept, scope):
                    general = scope.partition(":")[0]
                    raise InvalidScope(f"{name} has {general}, which holds for every model; revoke that one first")
            return kept

        return self._change_scopes(name, without)

    def _read(self, query: sa.Select[Any], **values: str) -> list[User]:
        with self._engine.connect() as connection:
            return [User.of_row(tuple(row)) for row in connection.execute(query, values)]

    def _write(self, name: str, **values: Any) -> None:
        name = _stored(name)
        with self._engine.begin() as connection:
            alone(connection)  # no refresh token is exchanged meanwhile
            _update(connection, name, values)

    def _of_password(self, password_hash: str) -> dict[str, Any]:
        after, changed = self._now() + 1, USERS.c.password_changed_at
        # Always later than any change before it, even within one second or after the clock was set back.
        later = sa.case((changed >= after, changed + 1), else_=after)
        return {"password_hash": password_hash, "password_changed_at": later}

    @contextmanager
    def _changing(self, *, keep_admin: bool) -> Iterator[sa.Connection]:
        """Give a transaction that is undone if it would leave nobody who may administer."""
        with self._engine.begin() as connection:
            if keep_admin:
                alone(connection)  # two administrators who remove each other come one after the other
            had = keep_admin and _has_admin(connection)
            yield connection
            if had and not _has_admin(connection):
                raise LastAdmin

    def _change_scopes(self, name: str, change: Callable[[frozenset[str]], frozenset[str]]) -> User:
        while True:
            user = self.get(name)
            if user is None:
                raise UnknownUser(name)
            same = (USERS.c.name == user.name) & (USERS.c.scopes == written(user.scopes))
            changed = USERS.update().where(same).values(scopes=written(simplest(change(user.scopes))))
            with self._engine.begin() as connection:
                if connection.execute(changed).rowcount:  # else somebody else has just changed them
                    break
        return self.get(name) or user

    def _now(self) -> int:
        return int(self._clock().timestamp())


def _update(connection: sa.Connection, name: str, values: dict[str, Any]) -> None:
    """Change a user; forget the refresh tokens of who is shut out, else they were good again as soon as the user is."""
    if values.get("disabled"):
        connection.execute(REFRESH_TOKENS.delete().where(REFRESH_TOKENS.c.user_name == name))
    if not connection.execute(USERS.update().where(USERS.c.name == name).values(**values)).rowcount:
        raise UnknownUser(name)


def _has_admin(connection: sa.Connection) -> bool:
    scopes = connection.execute(sa.select(USERS.c.scopes).where(USERS.c.disabled.is_(False))).scalars()
    return any(USERS_ADMIN in one.split() for one in scopes)
