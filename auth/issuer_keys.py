"""The public keys of another issuer: fetched over HTTPS, kept, and fetched anew, seldom enough to hurt nobody.

In: the issuer's address, then ids of keys. Out: the `Key` of that id, or None. The keys are found as OpenID Connect
Discovery 1.0 says. Nothing that a stranger sends decides where they are fetched from, and only an id that is not known
lets them be fetched before their time, twice a minute at most. While the issuer does not answer, its last good keys
count.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from auth.errors import InvalidToken, IssuerUnavailable, WeakSigningKey
from auth.keys import foreign_key
from auth.token_form import bounded_object

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    import httpx

    from auth.keys import Key

FRESH = 600  # seconds for which fetched keys count without another look
KEPT = 86_400  # seconds for which they count at most while the issuer does not answer
FLOOR = 30  # seconds between the starts of two fetches
PATIENCE = 5  # seconds for a whole fetch, both documents
LARGEST = 262_144  # bytes of a document
MOST_KEYS = 100
DISCOVERY = "/.well-known/openid-configuration"
_MOST_BRACKETS = 500
_OK = 200
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

logger = logging.getLogger("lastgang")


class _Published(NamedTuple):
    """A key, and what the issuer said of it."""

    members: dict[str, Any]
    key: Key


class _Unusable(Exception):
    """What an issuer answered cannot be used; the message says why."""


def fetchable(url: str, *, plain_http: bool) -> bool:
    """Tell whether a URL may be fetched: https and a host, nothing before it; on request also http on this machine."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for what is no port
    except ValueError:
        return False
    if not url.isascii() or not url.isprintable() or " " in url or "@" in parts.netloc or parts.fragment:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (plain_http and parts.scheme == "http" and parts.hostname in _LOOPBACK)
    )


class IssuerKeys:
    """The keys of one issuer, for the coroutines of one event loop.

    Args:
        issuer: its name, a URL that is `fetchable`.
        keys_url: where its key set is; by default where its discovery document says.
        plain_http: whether http is good enough on this machine; for development.
        clock: returns seconds that only grow.
    """

    def __init__(
        self,
        issuer: str,
        keys_url: str | None = None,
        *,
        plain_http: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer, self._keys_url, self._plain_http, self._clock = issuer, keys_url, plain_http, clock
        self._known: dict[str, _Published] = {}
        self._read = self._begun = -float("inf")
        self._fetching: asyncio.Task[None] | None = None

    async def get(self, kid: str | None) -> Key | None:
        """Return the key of that id, or, for None, the issuer's only key; None if there is none.

        Raises:
            IssuerUnavailable: it never told its keys, or too long ago.
        """
        age = self._clock() - self._read
        if age >= KEPT:
            self._known = {}
        if not self._known or (kid is not None and kid not in self._known):
            if (fetching := self._fetch_soon()) is not None:
                await asyncio.wait({fetching})  # the others wait for it, too, so it outlives who began it
        elif age >= FRESH:
            self._fetch_soon()
        if not self._known:
            raise IssuerUnavailable(self._issuer)
        if kid is None:
            found = [one.key for one in self._known.values()]
            return found[0] if len(found) == 1 else None
        return self._known[kid].key if kid in self._known else None

    def _fetch_soon(self) -> asyncio.Task[None] | None:
        """Return the fetch that is under way or was begun now; None if the last one was too short ago."""
        if self._fetching is None or self._fetching.done():
            now = self._clock()
            if now - self._begun < FLOOR:
                return None
            self._begun = now
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        import httpx  # noqa: PLC0415 - only who trusts another issuer needs it

        try:
            async with asyncio.timeout(PATIENCE), httpx.AsyncClient(verify=_tls(), timeout=PATIENCE) as client:
                found = _usable(await self._key_set(client))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, _Unusable) as error:
            words = str(error) or type(error).__name__
            logger.warning("The keys of the issuer %s cannot be read: %s", self._issuer, words)
            return
        # A key that is published as before stays the same object: what was verified with it needs no second look.
        before = {kid: one for kid, one in self._known.items() if kid in found and found[kid].members == one.members}
        self._known, self._read = found | before, self._clock()

    async def _key_set(self, client: httpx.AsyncClient) -> Any:
        url = self._keys_url
        if url is None:
            about = await _document(client, self._issuer.rstrip("/") + DISCOVERY)
            if about.get("issuer") != self._issuer:
                raise _Unusable("its discovery document is of another issuer")
            url = about.get("jwks_uri")
            if not isinstance(url, str) or not fetchable(url, plain_http=self._plain_http):
                raise _Unusable("its discovery document names no https address of its keys")
        return (await _document(client, url)).get("keys")


@cache
def _tls() -> ssl.SSLContext:
    """Return what verifies issuers' certificates; to make it takes some 20 ms."""
    import httpx  # noqa: PLC0415

    return httpx.create_ssl_context()


async def _document(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """Return a JSON object of bounded size; a redirect is not followed, and nothing is unpacked."""
    body = bytearray()
    async with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
        if answer.status_code != _OK:
            raise _Unusable(f"{url} answered {answer.status_code}")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise _Unusable(f"{url} answered something packed")
        async for piece in answer.aiter_raw():
            body += piece
            if len(body) > LARGEST:
                raise _Unusable(f"{url} answered more than {LARGEST} bytes")
    try:
        return bounded_object(bytes(body), "answer", _MOST_BRACKETS)
    except InvalidToken as error:
        raise _Unusable(f"{url}: {error.reason}") from None


def _usable(listed: Any) -> dict[str, _Published]:
    """Return by its id each key that is good for us; of ids that are there twice none is."""
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise _Unusable(f"its key set is no list of up to {MOST_KEYS} keys")
    good = []
    for members in listed:
        with suppress(WeakSigningKey):
            if isinstance(members, dict):
                good.append(_Published(members, foreign_key(members)))
    ids = [one.key.kid for one in good]
    unique = {one.key.kid: one for one in good if ids.count(one.key.kid) == 1}
    if not unique:
        raise _Unusable("its key set has no RSA or P-256 key for signatures")
    return unique
