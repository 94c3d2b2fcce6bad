"""Does the service hold out? `python -m benchmarks.soak`, half an hour and a little.

Starts a service of its own, finds out how many requests of the mix (`mix.py`) it can answer, then sends 70 % of that,
steadily, and weighs all its processes every few seconds. Every answer is compared with the first of its kind. Prints
a report in Markdown: requests, failures, p50 and p99 by minute, memory and its slope over the second half. Ends with 1
if a request failed or memory was not flat.
"""

from __future__ import annotations

import argparse
import signal
import ssl
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from tqdm import tqdm

from benchmarks.latency import PASSWORD, PROJECT, service
from benchmarks.peers import machine
from benchmarks.peers.ground import request
from benchmarks.peers.report import number
from benchmarks.peers.serving import ask
from benchmarks.soak import report
from benchmarks.soak.memory import Scales, verdict
from benchmarks.soak.mix import Judge, drawn, mix
from benchmarks.soak.pacing import Answer, Pace

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psutil

    from benchmarks.soak.memory import Sample

STEADY = 0.7  # of the capacity
AT_A_TIME = 8  # while the capacity is measured
WARM_UP, MEASURED = 20.0, 20.0  # seconds; the service compiles batches meanwhile
CONNECTIONS = 32
LONGEST = 1_380  # minutes: tokens are good for a day at most


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30, help="minutes of steady load (30)")
    parser.add_argument(
        "--out",
        type=Path,
        nargs="?",
        const=PROJECT / "docs",
        metavar="FOLDER",
        help="write soak.md and soak.png (docs)",
    )
    given = parser.parse_args()
    if not 0 < given.minutes <= LONGEST:
        parser.error(f"--minutes: give more than 0 and at most {LONGEST}")
    return given


def pace(address: str, certificate: Path) -> Pace:
    """Log in, ask for each kind once, and return what loads the service.

    Ends the command with a sentence if one of the answers is not 200.
    """
    context, kinds, judge = ssl.create_default_context(cafile=str(certificate)), mix(), Judge()
    login = {"username": "admin", "password": PASSWORD}
    token = httpx.post(f"{address}/token", data=login, verify=context).raise_for_status().json()["access_token"]
    messages: Mapping[str, bytes] = {kind.name: request(token, kind.file, kind.route) for kind in kinds}
    server = ("127.0.0.1", httpx.URL(address).port or 443)
    for name, message in messages.items():
        head, body = ask(server, context, message)
        if wrong := judge.wrong(name, head, body):
            sys.exit(f"'{name}' is not answered: {wrong} {body[:300]!r}")
    return Pace(server, context, ((kind.name, messages[kind.name]) for kind in drawn(kinds)), judge.wrong)


def soak(loading: Pace, process: psutil.Process, minutes: float) -> tuple[list[Answer], list[Sample], float]:
    """Find the capacity, then load; return the answers, the memory and the capacity in requests a second."""
    loading.run(AT_A_TIME, WARM_UP)
    capacity = len(loading.run(AT_A_TIME, MEASURED)) / MEASURED
    seconds = 60 * minutes
    with tqdm(total=seconds, bar_format="{l_bar}{bar}| {n:.0f} of {total:.0f} s") as bar, Scales(process) as scales:

        def tell(gone: float) -> None:
            bar.update(gone - bar.n)

        answers = loading.run(CONNECTIONS, seconds, STEADY * capacity, tell)
    return answers, scales.samples, capacity


def main() -> None:
    """Measure, print and write."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the service is ended, too
    tokens = str(int(given.minutes) + 60)
    with service(LASTGANG_TOKEN_MINUTES=tokens) as (address, certificate, _, process):
        answers, samples, capacity = soak(pace(address, certificate), process, given.minutes)
    load = f"{number(STEADY * capacity)} requests a second, {STEADY:.0%} of what {AT_A_TIME} at a time got"
    date = f"{datetime.now(UTC):%Y-%m-%d}, {given.minutes:g} minutes of steady load"
    facts = machine.facts() | {"date": date, "load": f"{load} ({number(capacity)})"}
    text = report.markdown(answers, samples, facts)
    print(text)
    if given.out:
        (given.out / "soak.md").write_text(text, encoding="utf-8")
        report.plot(answers, samples, given.out / "soak.png", f"{load}\n{facts['machine']}")
    sys.exit(bool(report.failures(answers)) or verdict(samples) == "not flat")


if __name__ == "__main__":
    main()
