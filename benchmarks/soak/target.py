"""A service that is attacked in a soak: who is there, and the tokens that are misused.

In: a running service and its signing key. Out: the first user's token for the good requests, and a `Target`.
"""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import httpx

from auth.keys import secret_key
from benchmarks.forgeries import Installation, forgeries
from benchmarks.hostile import installation

if TYPE_CHECKING:
    from pathlib import Path

USER = "ada"  # whom the forgeries change by name; under another name some of them would be good tokens
GOOD_LATER = {"claims: iat in the future"}
LONGEST_FORGED = 8_000  # characters; longer tokens are refused as huge headers, and some are no header at all


@dataclass(frozen=True)
class Target:
    """A service, and what its attackers have.

    Attributes:
        port: on the loopback address.
        certificate: file of the service's certificate.
        good: a token that may ask for forecasts.
        narrow: a token that may only look at models.
        ended: tokens that were good once: revoked, expired.
        forged: tokens that never were.
        client: id of a client whose secret they do not have.
        patience: seconds in which something must have come of an attack; the longest bound of the service is 60.
    """

    port: int
    certificate: Path
    good: str = field(repr=False)
    narrow: str = field(repr=False)
    ended: tuple[str, ...] = field(repr=False)
    forged: tuple[str, ...] = field(repr=False)
    client: str
    patience: float = 75.0


def populate(address: str, certificate: Path, key: str, first: tuple[str, str]) -> tuple[str, Target]:
    """Log in, add whom hostile clients misuse, and return the first user's token and the target.

    Args:
        address: `https://localhost:PORT`.
        certificate: file of the service's certificate.
        key: the secret that signs its tokens.
        first: name and password of a user who may do everything.

    Raises:
        httpx.HTTPError: the service refused something.
    """
    with httpx.Client(base_url=address, verify=ssl.create_default_context(cafile=str(certificate))) as client:

        def log_in(name: str, password: str) -> str:
            form = {"username": name, "password": password}
            return str(client.post("/token", data=form).raise_for_status().json()["access_token"])

        def add(name: str, scope: str) -> str:
            password = secrets.token_urlsafe()
            new = {"username": name, "password": password, "scopes": [scope]}
            client.post("/users", json=new).raise_for_status()
            return log_in(name, password)

        admin = log_in(*first)
        client.headers["Authorization"] = f"Bearer {admin}"
        good, narrow, revoked = add(USER, "forecast"), add("peeping", "models:read"), add("former", "forecast")
        client.post("/clients", json={"name": "meter", "scopes": ["forecast"]}).raise_for_status()
        client.post("/revoke", data={"token": revoked}, headers={"Authorization": ""}).raise_for_status()
    there = replace(_installation(key), claims=json.loads(base64.urlsafe_b64decode(good.split(".")[1] + "==")))
    past = int(time.time()) - 7_200
    expired = there.hs256(claims=there.claims | {"iat": past, "exp": past + 3_600})
    forged = tuple(token for name, token in forgeries(there).items() if name not in GOOD_LATER and _sendable(token))
    port = httpx.URL(address).port or 443
    return admin, Target(port, certificate, good, narrow, (expired, revoked), forged, "client:meter")


def _installation(key: str) -> Installation:
    return replace(installation(), secret=key.encode(), secret_id=secret_key(key.encode()).kid)


def _sendable(token: str) -> bool:
    return len(token) < LONGEST_FORGED and token.isascii() and token.isprintable()
