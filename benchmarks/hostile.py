"""What it costs to refuse a hostile token, and to take a good one.

    python -m benchmarks.hostile [--tries 7]

Each of the tokens that the tests send (`benchmarks.forgeries`) is checked several times, those for this service and the
dearest that could be sent as another issuer's; the fastest try counts, as a busy machine only makes the others slower.
Printed are the slowest tokens, good ones with each algorithm, as they are when first seen and when remembered, and how
many took longer than the 5 ms that a check may take: the exit status is 1 if there is one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import perf_counter
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from auth.errors import InvalidToken
from auth.issuer_keys import IssuerKeys
from auth.keys import WEAKEST_RSA, new_key, published, secret_key, verifying_keys
from auth.tokens import Tokens
from auth.trusted import Trust, TrustedIssuer
from benchmarks.forgeries import Installation, foreign_forgeries, forgeries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST = 5_000  # microseconds
SHOWN = 12
NOW = datetime.now(UTC)
ISSUER = AUDIENCE = "lastgang"


def installation() -> Installation:
    """Return a service with new keys."""
    secret = new_key("HS256").strip().encode()
    point, modulus = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65_537, WEAKEST_RSA)
    ids = [key.kid for key in verifying_keys(_public(point) + _public(modulus))]
    now = int(NOW.timestamp())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 3600, "jti": "0" * 32}
    claims |= {"client_id": "anyone", "scope": "forecast models:read"}
    return Installation(secret, secret_key(secret).kid, point, ids[0], modulus, ids[1], claims)


def checker(there: Installation) -> Tokens:
    """Return what checks the tokens of the service, and remembers none yet."""
    keys = [*verifying_keys(_public(there.point) + _public(there.modulus)), secret_key(there.secret)]
    return Tokens(keys, ISSUER, AUDIENCE, timedelta(hours=1))


def refused(tokens: Tokens, token: str) -> str:
    """Check a token that is not good; return why."""
    try:
        tokens.verify(token, NOW)
    except InvalidToken as refusal:
        return refusal.reason
    return "it is good; only its user could be wrong"


def refused_there(runner: asyncio.Runner, trusted: TrustedIssuer, token: str) -> str:
    """Check a token of the other issuer that is not good; return why."""
    trusted.issued(token)
    try:
        runner.run(trusted.verify(token, NOW))
    except InvalidToken as refusal:
        return refusal.reason
    raise ValueError("A token that should be refused is good")


@contextmanager
def issuer(there: Installation) -> Iterator[tuple[str, TrustedIssuer]]:
    """Publish the keys over HTTP on this machine until left; give the issuer's name, and what trusts it."""
    keys = json.dumps(published(verifying_keys(_public(there.point) + _public(there.modulus)))).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(keys)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        trust = Trust(url, AUDIENCE, "at+jwt", ["scope"], {"forecast": frozenset({"forecast"})}, plain_http=True)
        yield url, TrustedIssuer(trust, IssuerKeys(url, url, plain_http=True))
        server.shutdown()


def show(cost: dict[str, float], reasons: dict[str, str]) -> None:
    """Print the slowest."""
    print("| hostile token | refused for | us |\n|---|---|---:|")
    for name in sorted(cost, key=lambda name: -cost[name])[:SHOWN]:
        print(f"| {name} | {reasons[name]} | {cost[name]:.0f} |")
    print(f"\n{len(cost)} tokens; median {sorted(cost.values())[len(cost) // 2]:.0f} us.\n")


def fastest(work: Callable[[], object], tries: int) -> float:
    """Return the microseconds of the fastest of so many tries."""
    times = []
    for _ in range(tries):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return 1e6 * min(times)


def main() -> int:
    """Measure, print, and say whether one took too long."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__.partition("\n")[0])
    parser.add_argument("--tries", type=int, default=7, help="how often each token is checked (default: %(default)s)")
    tries = parser.parse_args().tries
    there = installation()
    tokens, named = checker(there), forgeries(there)
    cost = {name: fastest(partial(refused, tokens, token), tries) for name, token in named.items()}
    show(cost, {name: refused(tokens, named[name]) for name in named})
    with issuer(there) as (url, trusted), asyncio.Runner() as runner:
        theirs = foreign_forgeries(replace(there, claims=there.claims | {"iss": url}))
        check = partial(refused_there, runner, trusted)
        foreign = {name: fastest(partial(check, token), tries) for name, token in theirs.items()}
        show(foreign, {name: check(token) for name, token in theirs.items()})
    print("| good token | first seen, us | remembered, us |\n|---|---:|---:|")
    for name, token in there.good().items():
        first = fastest(partial(first_seen, there, token), tries) - fastest(partial(checker, there), tries)
        tokens.verify(token, NOW)
        print(f"| {name} | {first:.0f} | {fastest(partial(tokens.verify, token, NOW), tries):.1f} |")
    slow = [name for name, microseconds in (cost | foreign).items() if microseconds > MOST]
    print(f"\n{len(slow)} took more than {MOST} us{': ' if slow else ''}{', '.join(slow)}.")
    return int(bool(slow))


def first_seen(there: Installation, token: str) -> object:
    """Check a token with what has seen none yet."""
    return checker(there).verify(token, NOW)


def _public(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, spki).decode()


if __name__ == "__main__":
    raise SystemExit(main())
