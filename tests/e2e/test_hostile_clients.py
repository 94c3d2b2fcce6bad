"""Hostile clients of every kind that a soak sends, at a service of their own: each comes to a right outcome."""

import asyncio
import random
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.running import LAUNCH, PASSWORD, READY, Place, Running, free_port

from benchmarks.soak.hostile import attacks, strike
from benchmarks.soak.target import Target, populate

EACH = 3  # clients of a kind, at once


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[Target]:
    """Give a running service with tokens to misuse; it must log neither tracebacks nor errors."""
    place = Place(tmp_path_factory.mktemp("attacked"), store, free_port())
    settings = {"LASTGANG_FIRST_USER": "admin", "LASTGANG_FIRST_PASSWORD": PASSWORD, "LASTGANG_WORKERS": "1"}
    with Running(LAUNCH, place.environment(**settings)) as server:
        server.wait_for(READY)
        key = (place.home / "signing.key").read_text().strip()
        yield populate(place.url, place.home / "tls.crt", key, ("admin", PASSWORD))[1]
        assert server.stop() == 0
        assert not [words for words in ("Traceback", "ERROR", PASSWORD) if words in server.output]


def test_every_outcome_is_right(target: Target) -> None:
    """Clients of all kinds come at once: none gets in, none is left without an end, and no fault of ours shows."""
    several = attacks(target) * EACH

    async def come() -> list[str]:
        context = ssl.create_default_context(cafile=str(target.certificate))
        dice = random.Random(1)
        return await asyncio.gather(*(strike(attack, target, context, dice) for attack in several))

    outcomes = zip(several, asyncio.run(come()), strict=True)
    assert not [(attack.name, outcome) for attack, outcome in outcomes if not attack.right(outcome)]
