"""Does Lastgang get faster or slower? `python -m benchmarks.trend`, a minute and a half.

Lastgang with one worker and the floor (`peers/others/floor.py`: this project's own code on bare Starlette) serve side
by side and are loaded in turns, in short rounds, with the same CSV over TLS: whatever else the machine does hits both,
so their ratio says more than milliseconds do. Out: the ratios of now beside those in `trend.json`, which `--record`
adds to. It informs: it ends with 0 whatever the figures are, and with 1 only if one of the two does not answer.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from benchmarks.peers import machine, rounds
from benchmarks.peers.figures import percentile
from benchmarks.peers.ground import Ground, prepare
from benchmarks.peers.lineup import CORES, lineup
from benchmarks.peers.report import number
from benchmarks.peers.serving import Failed, Serving, adopt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HISTORY = Path(__file__).with_suffix(".json")
KEPT = 20  # entries
SHOWN = 3
SIDES = ("lastgang-one", "floor")  # one process each
SECONDS = {1: 0.5, 8: 0.75}  # requests at a time → length of a load
QUIET_WITHIN = 20.0  # seconds for which Lastgang may go on compiling
P50, RATE, ONE, EIGHT = "p50, 1 at a time", "requests/s, 8 at a time", "processor ms, 1 at a time", "processor ms, 8"
NOISE = """In brackets, the noise: all rounds but for the outermost
tenth at each end. Where the brackets of two ratios meet, nothing is known to have changed."""
LESS_IS_BETTER = {P50: True, RATE: False, ONE: True, EIGHT: True}


@dataclass(frozen=True)
class Span:
    """A ratio over the rounds: its median between the first and the last tenth, which are the noise.

    The quartiles would be too near: two runs of the same code on a busy machine were 1.43 to 1.71 and 0.79 to 1.39.
    """

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Span:
        """Sum rounds up."""
        return cls(*(round(percentile(values, percent), 4) for percent in (10, 50, 90)))

    def __str__(self) -> str:
        return f"{number(self.middle)} ({number(self.low)} to {number(self.high)})"


def compared(now: Span, then: Span, *, less_is_better: bool) -> str:
    """Say how a ratio has changed, in words; it has not where the noise of both meets."""
    if now.low <= then.high and then.low <= now.high:
        return "the same within noise"
    better = (now.middle < then.middle) is less_is_better
    return f"{'better' if better else '**worse**'} by {abs(now.middle / then.middle - 1):.0%}"


def turn(serving: Serving, concurrency: int) -> dict[str, float]:
    """Load one side once: measure → figure.

    Raises:
        Failed: nothing was answered.
    """
    before = serving.processor_seconds()
    load = rounds.run(serving, concurrency, SECONDS[concurrency])
    used = serving.processor_seconds() - before
    if not load.done:
        raise Failed(f"{serving.peer.name} answers nothing under load: {dict(load.errors)}. {serving.said()}")
    if load.errors:
        print(f"{serving.peer.name}, {concurrency} at a time: {dict(load.errors)}", file=sys.stderr)
    processor = 1e3 * used / len(load.milliseconds)
    if concurrency == 1:
        return {P50: percentile(load.milliseconds, 50), ONE: processor}
    return {RATE: load.done / load.seconds, EIGHT: processor}


def measure(sides: Sequence[Serving], count: int) -> dict[str, list[dict[str, float]]]:
    """Load both sides in turns: side → its figures, round by round."""
    found: dict[str, list[dict[str, float]]] = {serving.peer.name: [{} for _ in range(count)] for serving in sides}
    with tqdm(total=count * len(SECONDS) * len(sides), unit="load", leave=False) as bar:
        for index in range(count):
            for concurrency in SECONDS:
                for serving in sides[:: 1 if index % 2 else -1]:
                    found[serving.peer.name][index] |= turn(serving, concurrency)
                    bar.update()
    return found


def serve(stack: ExitStack, ground: Ground, scratch: Path) -> list[Serving]:
    """Start both sides, one after the other, and wait until nothing is compiled any more."""
    peers = {peer.name: peer for peer in lineup()}
    sides = []
    for name in SIDES:
        start = time.perf_counter()
        serving = stack.enter_context(Serving(peers[name], ground, Path(sys.executable), scratch / name))
        serving.wait(start)
        sides.append(serving)
    for serving in sides:
        serving.settle(QUIET_WITHIN)
    return sides


def ratios(found: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Span]:
    """Divide Lastgang's figures by the floor's of the same round."""
    ours, floor = (found[name] for name in SIDES)
    return {
        name: Span.of([one[name] / other[name] for one, other in zip(ours, floor, strict=True)])
        for name in LESS_IS_BETTER
    }


def table(now: Mapping[str, Span], found: Mapping[str, Sequence[Mapping[str, float]]], history: Sequence[Any]) -> str:
    """Lay the ratios of now beside the newest ones of the history; the words compare with the newest."""
    shown = list(reversed(history))[:SHOWN]
    head = ["Lastgang / floor", "ms or requests/s", "now", *(f"{one['date']} {one['commit']}" for one in shown)]
    lines = [[*head, "beside the newest"], ["---", *["---:"] * len(head)]]
    for name, span in now.items():
        medians = " / ".join(number(statistics.median(one[name] for one in found[side])) for side in SIDES)
        earlier = [Span(*one["ratios"][name]) for one in shown if name in one["ratios"]]
        word = compared(span, earlier[0], less_is_better=LESS_IS_BETTER[name]) if earlier else "nothing recorded"
        lines.append([name, medians, str(span), *map(str, earlier), word])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def record(history: Sequence[Any], now: Mapping[str, Span], here: str) -> None:
    """Write the ratios of now behind the others."""
    spans = {name: [span.low, span.middle, span.high] for name, span in now.items()}
    entry = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": machine.commit(), "machine": here, "ratios": spans}
    HISTORY.write_text(json.dumps([*history, entry][-KEPT:], indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trend", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=12, help="rounds (12), each of 2.5 s")
    parser.add_argument("--record", action="store_true", help=f"add the ratios to {HISTORY.name}")
    given = parser.parse_args()
    adopt()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that both sides are ended, too
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
            found = measure(serve(stack, prepare("folded", Path(work)), Path(work)), given.rounds)
    except Failed as error:
        sys.exit(str(error))
    now, here = ratios(found), f"{machine.processor()}, {CORES} cores"
    history = json.loads(HISTORY.read_text(encoding="utf-8")) if HISTORY.exists() else []
    print(table(now, found, history))
    print(f"\n{given.rounds} rounds in turns, {time.monotonic() - begun:.0f} s in all, on {here}. {NOISE}")
    if history and history[-1]["machine"] != here:
        print(f"The newest of the history was measured elsewhere: {history[-1]['machine']}.")
    if given.record:
        record(history, now, here)


if __name__ == "__main__":
    main()
