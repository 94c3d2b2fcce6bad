"""One turn of one peer, and the row that its turns come to.

In: a peer and the ground that all share. Out: its times at each concurrency, its seconds to ready, its memory.
Refused: a peer that answers other numbers than Lastgang does; a wrong answer under load is an error like any other.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.peers.figures import Row, cell, median
from benchmarks.peers.lineup import lineup
from benchmarks.peers.load import Generator, Load
from benchmarks.peers.serving import TOLERANCE, Failed, Serving, difference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.peers.ground import Ground
    from benchmarks.peers.lineup import Peer

WARM_UP = 0.15  # of a cell's seconds, before each cell
SETTLE = 30.0  # seconds at most


@dataclass
class Round:
    """What one turn of a peer gave; memory as `Serving.megabytes` gives it."""

    ready_seconds: float
    idle_megabytes: tuple[float, float]
    megabytes: tuple[float, float] = (float("nan"), float("nan"))
    processes: int = 0
    difference_kw: float = 0.0
    loads: dict[int, Load] = field(default_factory=dict)


def right_answer(ground: Ground, python: Path, scratch: Path) -> bytes:
    """Ask Lastgang, once, unmeasured."""
    (lastgang,) = (peer for peer in lineup() if peer.name == "lastgang")
    start = time.perf_counter()
    with Serving(lastgang, ground, python, scratch) as serving:
        return serving.wait(start)


def measure(  # noqa: PLR0913, PLR0917  # what a turn is made of
    peer: Peer,
    ground: Ground,
    python: Path,
    scratch: Path,
    right: bytes,
    concurrencies: Sequence[int],
    seconds: float,
) -> Round:
    """Start a peer, compare its answer, load it, weigh it and end it.

    Raises:
        Failed: it does not serve, or its answer is not the right one.
    """
    start = time.perf_counter()
    with Serving(peer, ground, python, scratch) as serving:
        answer = serving.wait(start)
        if (apart := difference(answer, right)) >= TOLERANCE:
            raise Failed(f"{peer.name} answers other numbers, up to {apart:.3g} kW apart: {answer[:200]!r}")
        serving.settle(SETTLE)  # who still compiles behind the first answer may end that in peace
        measured = Round(serving.ready_seconds, serving.megabytes(), difference_kw=apart)
        for concurrency in concurrencies:
            run(serving, concurrency, WARM_UP * seconds)
            load = run(serving, concurrency, seconds)
            measured.difference_kw = max(measured.difference_kw, judge(load, right))
            measured.loads[concurrency] = load
        measured.megabytes, measured.processes = serving.megabytes(), serving.processes()
    return measured


def run(serving: Serving, concurrency: int, seconds: float) -> Load:
    """Load a peer once.

    Raises:
        Failed: it takes no connections.
    """
    address = ("127.0.0.1", serving.port)
    try:
        return Generator(address, serving.ground.context(), serving.ground.message).run(concurrency, seconds)
    except OSError as error:
        raise Failed(f"{serving.peer.name} takes no connections any more ({error}). {serving.said()}") from error


def judge(load: Load, right: bytes) -> float:
    """Count wrong answers as errors; return the largest difference among the right ones, kW."""
    largest = 0.0
    for body, count in load.bodies.items():
        if (apart := difference(body, right)) >= TOLERANCE:
            load.errors["wrong answer"] += count
        else:
            largest = max(largest, apart)
    return largest


def row_of(peer: Peer, rounds: Sequence[Round], versions: Mapping[str, str], why_not: str) -> Row:
    """Sum a peer's turns up: medians of times, the largest memory; nothing if it failed."""
    if why_not or not rounds:
        return Row(peer.name, peer.title, why_not=why_not or "It had no turn.")
    return Row(
        peer.name,
        peer.title,
        tuple(cell(concurrency, [one.loads[concurrency] for one in rounds]) for concurrency in rounds[0].loads),
        median([one.ready_seconds for one in rounds]),
        max((one.idle_megabytes for one in rounds), key=lambda each: each[1]),
        max((one.megabytes for one in rounds), key=lambda each: each[1]),
        rounds[0].processes,
        max(one.difference_kw for one in rounds),
        dict(versions),
    )
