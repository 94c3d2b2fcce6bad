"""What somebody with the scope `users:admin` may do to users and clients over HTTP, and the rules of it.

In: who asks, a name and a change. Out: the user or client as they are then. Two rules keep the scope from being worth
more than it says: nobody grants a scope, or changes somebody who has one, that they lack themselves; and the last user
who may administer stays. The command ``python -m auth`` knows no such rules: who runs it owns the database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auth.errors import BeyondOwnScopes, UnknownClient, UnknownUser
from auth.passwords import strong_enough
from auth.scopes import covers, parse, written

if TYPE_CHECKING:
    from collections.abc import Collection

    from auth.clients import Client, ClientStore
    from auth.middleware import Identity
    from auth.passwords import Passwords
    from auth.users import User, UserStore


@dataclass(frozen=True)
class Change:
    """What is to be different; None stays as it is."""

    password: str | None = field(default=None, repr=False)
    disabled: bool | None = None
    scopes: Collection[str] | None = None


class Administration:
    """Changes users and clients for somebody, within what they may do themselves.

    Args:
        users: see `auth.users`.
        clients: see `auth.clients`.
        passwords: hashes those of users.
    """

    def __init__(self, users: UserStore, clients: ClientStore, passwords: Passwords) -> None:
        self.users, self.clients, self._passwords = users, clients, passwords

    def add_user(self, who: Identity, name: str, password: str, scopes: Collection[str]) -> User:
        """Add a user.

        Raises:
            BeyondOwnScopes, InvalidScope, InvalidUserName, UserExists, WeakPassword: it is refused.
        """
        _within(who, parse(written(scopes)))
        strong_enough(password)
        return self.users.add(name, self._passwords.hash(password), scopes)

    def change_user(self, who: Identity, name: str, change: Change) -> User:
        """Change a user, wholly or not at all.

        Raises:
            BeyondOwnScopes, InvalidScope, LastAdmin, UnknownUser, WeakPassword: it is refused.
        """
        self._user(who, name)  # before a password is hashed for nothing
        if change.scopes is not None:
            _within(who, parse(written(change.scopes)))
        hashed = None
        if change.password is not None:
            strong_enough(change.password)
            hashed = self._passwords.hash(change.password)
        return self.users.change(
            name,
            lambda user: _within(who, user.scopes),  # who may have got more meanwhile
            scopes=change.scopes,
            disabled=change.disabled,
            password_hash=hashed,
        )

    def remove_user(self, who: Identity, name: str) -> None:
        """Forget a user.

        Raises:
            BeyondOwnScopes, LastAdmin, UnknownUser: it is refused.
        """
        self._user(who, name)
        self.users.remove(name, keep_admin=True)

    def add_client(self, who: Identity, name: str, scopes: Collection[str]) -> tuple[Client, str]:
        """Add a client, and return it with its secret.

        Raises:
            BeyondOwnScopes, ClientExists, InvalidClientId, InvalidScope: it is refused.
        """
        _within(who, parse(written(scopes)))
        return self.clients.add(name, scopes)

    def remove_client(self, who: Identity, name: str) -> None:
        """Forget a client.

        Raises:
            BeyondOwnScopes, UnknownClient: it is refused.
        """
        client = self.clients.find(name)
        if client is None:
            raise UnknownClient(name)
        _within(who, client.scopes)
        self.clients.remove(name)

    def _user(self, who: Identity, name: str) -> None:
        user = self.users.get(name)
        if user is None:
            raise UnknownUser(name)
        _within(who, user.scopes)


def _within(who: Identity, scopes: Collection[str]) -> None:
    beyond = sorted(scope for scope in scopes if not covers(who.scopes, scope))
    if beyond:
        raise BeyondOwnScopes(beyond)
