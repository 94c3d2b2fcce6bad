"""The requests of a soak: which there are, how often each comes, and what the right answer to each is.

In: the samples. Out: the bytes of requests in a random order that is the same in each run, and a judge of the answers.
"""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.load import OK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
WEEK, FIVE_WEEKS = 672, 3_360  # quarter-hours
SEED = 1
KW, PART = 1e-2, 1e-3  # how far a right answer may be from the first: batches of other sizes round otherwise


def week() -> bytes:
    """One site's week."""
    return (SAMPLES / "week.csv").read_bytes()


def fifty_sites() -> bytes:
    """The last week of the fleet's 48 sites, the last two of them twice."""
    header, *rows = gzip.decompress((SAMPLES / "fleet.csv.gz").read_bytes()).splitlines()
    more = [b"again 1 (kW)", b"again 2 (kW)"]
    lines = [header.split(b",") + more, *([*cells, *cells[-2:]] for row in rows[-WEEK:] if (cells := row.split(b",")))]
    return b"\n".join(b",".join(line) for line in lines) + b"\n"


def five_weeks() -> bytes:
    """One site's last five weeks."""
    header, *rows = gzip.decompress((SAMPLES / "shop.csv.gz").read_bytes()).splitlines()
    return b"\n".join([header, *rows[-FIVE_WEEKS:]]) + b"\n"


@dataclass(frozen=True)
class Kind:
    """One kind of request: its share is in thousandths."""

    name: str
    share: int
    route: str
    file: bytes


def mix() -> tuple[Kind, ...]:
    """List all kinds."""
    return (
        Kind("predict, gru", 430, "/predict/gru", week()),
        Kind("predict, cnn", 300, "/predict/cnn", week()),
        Kind("forecast with intervals", 260, "/forecast/gru?level=80,95", week()),
        Kind("forecast, 50 sites", 5, "/forecast/gru", fifty_sites()),
        Kind("backtest, 5 weeks", 5, "/backtest/gru?stride=5", five_weeks()),
    )


def drawn(kinds: Sequence[Kind]) -> Iterator[Kind]:
    """Draw kinds by their shares, for ever."""
    dice = random.Random(SEED)  # noqa: S311
    while True:
        yield from dice.choices(kinds, [kind.share for kind in kinds], k=1_000)


class Judge:
    """Knows the first answer to each kind, and compares all later ones with it, number by number."""

    def __init__(self) -> None:
        self._right: dict[str, Any] = {}
        self._good: dict[str, set[bytes]] = {}

    def wrong(self, kind: str, head: bytes, body: bytes) -> str:
        """Say what is wrong with an answer; nothing if it is right. The first one of a kind is if its status is 200."""
        if not head.startswith(OK):
            return head.split(b"\r\n", 1)[0].decode(errors="replace")
        good = self._good.setdefault(kind, set())
        if body not in good:  # most are the same to the byte
            found = np.array(list(numbers(json.loads(body))))
            right = self._right.setdefault(kind, found)
            if found.shape != right.shape or not np.allclose(found, right, PART, KW):
                return "another answer"
            good.add(body)
        return ""


def numbers(value: Any) -> Iterator[float]:
    """Give all numbers of a JSON document in their order."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from numbers(each)
    elif isinstance(value, int | float):
        yield float(value)
