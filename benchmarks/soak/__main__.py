"""Does the service hold out? `python -m benchmarks.soak`, an hour and a little.

Starts a service of its own, lets hostile clients come (`hostile.py`), finds out how many good requests of the mix
(`mix.py`) it answers beside them, then sends 70 % of that, steadily, and weighs all its processes every few seconds.
Every good answer is compared with the first of its kind, and each hostile client has outcomes that are right. Prints a
report in Markdown: good requests, failures, p50 and p99 by minute; memory and its slope over the second half,
descriptors, threads, audit log; hostile clients and what came of them. Ends with 1 if a good request failed, an outcome
was wrong, memory was not flat, or descriptors stayed open.
"""

from __future__ import annotations

import argparse
import signal
import ssl
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tqdm import tqdm

from auth.keys import new_key
from benchmarks.latency import PASSWORD, PROJECT, service
from benchmarks.peers import machine
from benchmarks.peers.ground import request
from benchmarks.peers.report import number
from benchmarks.peers.serving import ask
from benchmarks.soak import report
from benchmarks.soak.hostile import Beside, Outcomes, attacks
from benchmarks.soak.memory import Sample, Scales, verdict, weigh
from benchmarks.soak.mix import Judge, drawn, mix
from benchmarks.soak.pacing import Answer, Pace
from benchmarks.soak.target import Target, populate

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psutil

STEADY = 0.7  # of the capacity
AT_A_TIME = 8  # while the capacity is measured
WARM_UP, MEASURED = 20.0, 20.0  # seconds; the service compiles batches meanwhile
CONNECTIONS = 32
LONGEST = 1_380  # minutes: tokens are good for a day at most
MOST = 5  # times as many hostile clients: more would meet the bound of one address
REST = 20.0  # seconds after which nothing of a client is left: idle connections are closed after 5, handshakes after 10
STAYED = 20  # descriptors more at rest than before are a leak: one of 1,000 attacks leaves more in half an hour
NO_LIMIT = str(10**9)  # of a user, so that limits are counted as ever and never met


class Seen(NamedTuple):
    """What a soak has seen.

    Attributes:
        capacity: good requests a second beside the hostile clients.
        before, after: what the service holds when no client is there.
        audited: MB that the audit log grew by, and in how many seconds.
    """

    answers: list[Answer]
    samples: list[Sample]
    outcomes: Outcomes
    capacity: float
    before: Sample
    after: Sample
    audited: tuple[float, float]

    @property
    def stayed(self) -> int:
        """Descriptors that are open at rest and were not before."""
        return self.after.descriptors - self.before.descriptors


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60, help="minutes of steady load (60)")
    parser.add_argument(
        "--hostile", type=float, default=1, metavar="TIMES", help="how many times the usual hostile clients come (1)"
    )
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
    if not 0 < given.hostile <= MOST:
        parser.error(f"--hostile: give more than 0 and at most {MOST}")
    if given.out:
        try:
            given.out.mkdir(parents=True, exist_ok=True)  # now, not after an hour
        except OSError as error:
            parser.error(f"--out: {given.out} cannot be made a folder ({error.strerror})")
    return given


def pace(target: Target, token: str) -> Pace:
    """Ask for each kind once, and return what loads the service.

    Ends the command with a sentence if one of the answers is not 200.
    """
    context, kinds, judge = ssl.create_default_context(cafile=str(target.certificate)), mix(), Judge()
    messages: Mapping[str, bytes] = {kind.name: request(token, kind.file, kind.route) for kind in kinds}
    server = ("127.0.0.1", target.port)
    for name, message in messages.items():
        head, body = ask(server, context, message)
        if wrong := judge.wrong(name, head, body):
            sys.exit(f"'{name}' is not answered: {wrong} {body[:300]!r}")
    return Pace(server, context, ((kind.name, messages[kind.name]) for kind in drawn(kinds)), judge.wrong)


def soak(loading: Pace, target: Target, process: psutil.Process, minutes: float, times: float) -> Seen:
    """Find the capacity, then load; hostile clients come all the while."""
    with Beside(target, WARM_UP + MEASURED, times) as hostile:
        loading.run(AT_A_TIME, WARM_UP)
        capacity = len(loading.run(AT_A_TIME, MEASURED)) / MEASURED
        hostile.outcomes()
    before, audit, seconds = _rest(process), target.certificate.parent / "audit", 60 * minutes
    with (
        tqdm(total=seconds, bar_format="{l_bar}{bar}| {n:.0f} of {total:.0f} s") as bar,
        Beside(target, seconds, times) as hostile,
    ):
        start, length = time.perf_counter(), _megabytes(audit)

        def tell(gone: float) -> None:
            bar.update(gone - bar.n)

        with Scales(process) as scales:
            answers = loading.run(CONNECTIONS, seconds, STEADY * capacity, tell)
        audited = _megabytes(audit) - length, time.perf_counter() - start
        outcomes = hostile.outcomes()
    return Seen(answers, scales.samples, outcomes, capacity, before, _rest(process), audited)


def _rest(process: psutil.Process) -> Sample:
    """Wait until nothing of a client is left; return what the service holds then."""
    time.sleep(REST)
    return weigh(process)


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def facts(seen: Seen, minutes: float) -> dict[str, str]:
    """Put into words what is no table."""
    load = f"{number(STEADY * seen.capacity)} good requests a second, {STEADY:.0%} of what {AT_A_TIME} at a time got"
    most = [max(getattr(each, of) for each in seen.samples) for of in ("descriptors", "threads")]
    descriptors, threads = (
        f"{getattr(seen.before, of)} at rest before, {under} at most, {getattr(seen.after, of)} at rest after"
        for of, under in zip(("descriptors", "threads"), most, strict=True)
    )
    grown, seconds = seen.audited
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}, {minutes:g} minutes of steady load",
        "load": f"{load} beside the hostile clients ({number(seen.capacity)})",
        "descriptors of all processes": f"{descriptors} (more than {STAYED} more are a leak)",
        "threads of all processes": threads,
        "audit log": f"{grown:.1f} MB, {3_600 * grown / seconds:.0f} MB an hour",
    }


def main() -> None:
    """Measure, print and write."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the service is ended, too
    served = machine.facts()  # now: after an hour another commit may be checked out
    key = new_key("HS256").strip()
    settings = {
        "LASTGANG_TOKEN_MINUTES": str(int(given.minutes) + 60),
        "LASTGANG_SIGNING_KEY": key,
        "LASTGANG_REQUESTS_PER_MINUTE": NO_LIMIT,
        "LASTGANG_SITES_PER_HOUR": NO_LIMIT,
    }
    with service(**settings) as (address, certificate, _, process):
        token, target = populate(address, certificate, key, ("admin", PASSWORD))
        seen = soak(pace(target, token), target, process, given.minutes, given.hostile)
    told, several = served | facts(seen, given.minutes), attacks(target)
    text = report.markdown(seen.answers, seen.samples, told)
    text += report.hostile(seen.outcomes, several, 60 * given.minutes)
    print(text)
    if given.out:
        (given.out / "soak.md").write_text(text, encoding="utf-8")
        caption = f"{told['load']}\n{told['machine']}"
        report.plot(seen.answers, seen.samples, given.out / "soak.png", caption)
    wrong = report.failures(seen.answers) or report.unexpected(seen.outcomes, several)
    sys.exit(bool(wrong) or verdict(seen.samples) == "not flat" or seen.stayed > STAYED)


if __name__ == "__main__":
    main()
