"""What it costs to refuse a hostile token, and to take a good one.

    python -m benchmarks.hostile [--tries 7]

Each of the tokens that the tests send (`benchmarks.forgeries`) is checked several times; its fastest try counts, as a
busy machine only makes the others slower. Printed are the slowest tokens, good ones with each algorithm, as they are
when first seen and when remembered, and how many took longer than the 5 ms that a check may take: the exit status is
1 if there is one.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from auth.errors import InvalidToken
from auth.keys import WEAKEST_RSA, new_key, secret_key, verifying_keys
from auth.tokens import Tokens
from benchmarks.forgeries import Installation, forgeries

if TYPE_CHECKING:
    from collections.abc import Callable

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
    print("| hostile token | refused for | us |\n|---|---|---:|")
    for name in sorted(cost, key=lambda name: -cost[name])[:SHOWN]:
        print(f"| {name} | {refused(tokens, named[name])} | {cost[name]:.0f} |")
    print(f"\n{len(cost)} tokens; median {sorted(cost.values())[len(cost) // 2]:.0f} us.\n")
    print("| good token | first seen, us | remembered, us |\n|---|---:|---:|")
    for name, token in there.good().items():
        first = fastest(partial(first_seen, there, token), tries) - fastest(partial(checker, there), tries)
        tokens.verify(token, NOW)
        print(f"| {name} | {first:.0f} | {fastest(partial(tokens.verify, token, NOW), tries):.1f} |")
    slow = [name for name, microseconds in cost.items() if microseconds > MOST]
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
