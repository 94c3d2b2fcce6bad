"""The users as a worker last read them, which is as they are: a view of the store that reads only after a change.

In: a user store, and names. Out: `User`, or None. Every request asks for its user; reading one takes a thread and half
a millisecond, while SQLite tells in microseconds that nothing has changed since (`UserStore.changes`). So a disabled
user or a new password counts at the next request all the same.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auth.users import User, UserStore

MOST = 10_000  # users that are kept, some 5 MB


class KnownUsers:
    """A view of a user store for the coroutines of one event loop; never older than the store."""

    def __init__(self, store: UserStore) -> None:
        self._store = store
        self._changes: int | None = None
        self._known: dict[str, User | None] = {}

    async def get(self, name: str) -> User | None:
        """Return the user of that name; None if there is none.

        Raises:
            SQLAlchemyError: the store cannot be read.
        """
        changes = self._store.changes()
        if changes is None:
            return await asyncio.to_thread(self._store.get, name)
        if changes != self._changes or len(self._known) >= MOST:
            self._changes, self._known = changes, {}
        # A change while the user is read is told by the next look, which begins anew.
        known = self._known
        if name not in known:
            known[name] = await asyncio.to_thread(self._store.get, name)
        return known[name]
