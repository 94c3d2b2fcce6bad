"""How many requests and sites each subject may have, and what is left of it, in the headers of each answer.

`RateLimit-Policy` and `RateLimit` are those of draft-ietf-httpapi-ratelimit-headers-10: `"requests";q=100;w=60` says
that there are a hundred in sixty seconds, `"requests";r=97;t=42` that 97 are left for 42 seconds. What is above is
refused by `auth.budgets` with 429 and `Retry-After`: a request before its body is read, sites when the file has been
read and before a model works.
"""

from collections.abc import Callable

from starlette.datastructures import State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth.budgets import Budget, Left

POLICY, LIMIT = b"ratelimit-policy", b"ratelimit"
SITES = "sites_left"  # in the state of a request, once its sites are charged


class LimitsMiddleware:
    """Charges each request to who sends it; stands behind the gate.

    Args:
        app: the rest of the service.
        requests: gives the budget of requests, or None where there is no limit. It is asked when a request needs it.
        sites: likewise, of sites; they are charged by `charge`.
    """

    def __init__(
        self, app: ASGIApp, *, requests: Callable[[], Budget | None], sites: Callable[[], Budget | None]
    ) -> None:
        self.app, self._requests, self._sites = app, requests, sites

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer back with what is left."""
        state = scope.get("state") or {}
        user = state.get("user")
        budget = self._requests() if user is not None else None
        if user is None or (budget is None and self._sites() is None):
            await self.app(scope, receive, send)
            return
        left = None if budget is None else budget.take_now(user.name) or await budget.take(user.name)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = [] if budget is None or left is None else [(budget, left)]
                if (rest := state.get(SITES)) is not None and (sites := self._sites()) is not None:
                    said.append((sites, rest))
                message["headers"] = [*message["headers"], *fields(said)]
            await send(message)

        await self.app(scope, receive, told)


async def charge(budget: Budget | None, state: State, sites: int) -> None:
    """Charge the sites of a request to who sends it.

    Raises:
        LimitReached: there are not so many left.
        SQLAlchemyError: the counters do not answer.
    """
    if budget is not None:
        name = state.user.name
        left = budget.take_now(name) if sites == 1 else None
        setattr(state, SITES, left or await budget.take(name, sites))


def fields(said: list[tuple[Budget, Left]]) -> list[tuple[bytes, bytes]]:
    """Return the header fields that tell of some budgets and what is left of them."""
    if not said:
        return []
    policies = ", ".join(f'"{one.name}";q={one.limit};w={one.seconds}' for one, _ in said)
    rests = ", ".join(f'"{one.name}";r={left.amount};t={left.seconds}' for one, left in said)
    return [(POLICY, policies.encode()), (LIMIT, rests.encode())]
