"""The desk for tokens on a test's database, as a worker of the service sets it up."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from auth.app import LogIn
from auth.budgets import Budget
from auth.clients import ClientStore
from auth.database import Database
from auth.desk import TokenDesk
from auth.grants import Grants
from auth.refresh import RefreshTokens
from auth.throttle import Throttle
from auth.tokens import Tokens
from auth.users import UserStore

IDLE, LONGEST = timedelta(hours=24), timedelta(days=30)


def desk_on(  # noqa: PLR0917
    database: Database,
    passwords: Any,
    tokens: Tokens,
    clock: Callable[[], datetime],
    throttle: Throttle,
    password_grant: bool = True,
    refreshing: bool = True,
    requests: Budget | None = None,
) -> TokenDesk:
    """Set up the desk."""
    users, clients = UserStore(database, clock), ClientStore(database, clock)
    refresh = RefreshTokens(database, IDLE, LONGEST) if refreshing else None
    log_in = LogIn(users, passwords, throttle, clock)
    grants = Grants(log_in, users, tokens, refresh, password_grant=password_grant, clock=clock)
    return TokenDesk(grants, database, clients, tokens, throttle, refresh=refresh, requests=requests, clock=clock)
