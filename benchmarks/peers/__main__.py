"""Lastgang beside its peers, in one run: `python -m benchmarks.peers`, from the project's root.

Every peer is started, asked, loaded with 1, 8 and 64 requests at a time, weighed and ended; then comes the next one,
and when all had their turn the next round begins, in another order, so that noise hits all alike. All get the same
CSV over TLS with the same token, and all have to answer the same numbers before anything is measured. Only one peer
runs at a time. Out: peers.md, peers.json and peers.png.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from tqdm import tqdm

from benchmarks.peers import machine, report
from benchmarks.peers.environments import NotInstalled, python_of, versions
from benchmarks.peers.figures import Table
from benchmarks.peers.ground import ROOT, TABLES, Ground, prepare
from benchmarks.peers.lineup import TENSORFLOW_SERVING, Peer, lineup
from benchmarks.peers.rounds import Round, measure, right_answer, row_of
from benchmarks.peers.serving import Failed, adopt

NO_SERVING = "not measured: its binary is in no package registry; `--tensorflow-serving PATH` takes one."
EPILOG = """\
examples:
  python -m benchmarks.peers                          everything: about two hours on two cores
  python -m benchmarks.peers --quick                  one short round: some ten minutes, noisy
  python -m benchmarks.peers --only lastgang,floor    only these
  python -m benchmarks.peers --table plain            only with the plain GRU
  python -m benchmarks.peers --list                   the names

The peers' environments (some 4 GB) are made under --work when they are first needed. Leave the machine alone
meanwhile: the load generator and the peers share its cores.
"""


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one round of 2 s a cell instead of three of 10 s")
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="NAME,...", help="measure only these")
    parser.add_argument("--table", choices=TABLES, action="append", help="only with this model; the other table stays")
    parser.add_argument("--rounds", type=int, help="rounds (3)")
    parser.add_argument("--seconds", type=float, help="seconds a cell (10)")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 64], help="requests at a time (1 8 64)")
    parser.add_argument("--tensorflow-serving", type=Path, metavar="PATH", help="a tensorflow_model_server binary")
    parser.add_argument("--list", action="store_true", help="list the peers and end")
    parser.add_argument("--work", type=Path, default=ROOT / ".peers", help="folder for environments and state")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks", help="folder of peers.md and peers.json")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "peers.png", help="the plot")
    given = parser.parse_args(arguments)
    given.rounds = given.rounds or (1 if given.quick else 3)
    given.seconds = given.seconds or (2.0 if given.quick else 10.0)
    known = [peer.name for peer in lineup(given.tensorflow_serving or Path(TENSORFLOW_SERVING))]
    if unknown := [name for name in given.only or [] if name not in known]:
        parser.error(f"--only: there is no {', '.join(unknown)}; there are {', '.join(known)}")
    if TENSORFLOW_SERVING in (given.only or []) and not given.tensorflow_serving:
        parser.error(f"{TENSORFLOW_SERVING} is {NO_SERVING}")
    return given


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    given = _arguments(arguments)
    peers = [peer for peer in lineup(given.tensorflow_serving) if not given.only or peer.name in given.only]
    if given.list:
        print("\n".join(f"{peer.name:20} {peer.title.replace('*', '')}" for peer in peers))
        return
    for folder in (given.out, given.picture.parent):
        folder.mkdir(parents=True, exist_ok=True)  # now, not after two hours
    adopt()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the running peer is ended, too
    given.work = given.work.resolve()
    pythons, missing = _environments(peers, given.work)
    told = {name: versions(pythons[name], peer.packages) for name, peer in _by_name(peers).items() if name in pythons}
    tables = {}
    for table in given.table or TABLES:
        began, served = time.monotonic(), machine.facts()
        rounds, failed = _rounds(peers, prepare(table, given.work), pythons, given)
        why_not = missing | failed
        rows = [row_of(peer, rounds[peer.name], told.get(peer.name, {}), why_not.get(peer.name, "")) for peer in peers]
        loads = [load for each in rounds.values() for one in each for load in one.loads.values()]
        answers, own = sum(len(load.milliseconds) for load in loads), sum(load.own_seconds for load in loads)
        facts = _facts(given, (time.monotonic() - began) / 60, 1e3 * own / max(answers, 1))
        tables[table] = Table(rows, served | facts)
    _write(given, tables)


def _by_name(peers: list[Peer]) -> dict[str, Peer]:
    return {peer.name: peer for peer in peers}


def _facts(given: argparse.Namespace, minutes: float, own_ms: float) -> dict[str, str]:
    facts = {
        "command": "`" + " ".join(["python -m benchmarks.peers", *sys.argv[1:]]) + "`",
        "date": f"{datetime.now(UTC):%Y-%m-%d}, {minutes:.0f} minutes",
        "cells": f"{given.rounds} round(s) of {given.seconds:g} s each, peers in turn; medians of the rounds",
        "load generator": f"one thread, {own_ms:.2f} ms of processor time a request, on the same cores",
    }
    return facts if given.tensorflow_serving else facts | {"TensorFlow Serving": NO_SERVING}


def _write(given: argparse.Namespace, measured: dict[str, Table]) -> None:
    """Write the tables; one that was not measured now stays as the run before wrote it."""
    figures = given.out / "peers.json"
    before = report.of_json(figures.read_text(encoding="utf-8")) if figures.exists() else {}
    tables = {name: table for name in TABLES if (table := measured.get(name) or before.get(name))}
    text = report.markdown(tables)
    (given.out / "peers.md").write_text(text, encoding="utf-8")
    figures.write_text(report.as_json(tables), encoding="utf-8")
    machines = "; ".join(sorted({table.facts["machine"] for table in tables.values()}))
    report.plot(tables, given.picture, f"{machines}; over TLS with a token, one week as CSV")
    print(text)


def _environments(peers: list[Peer], work: Path) -> tuple[dict[str, Path], dict[str, str]]:
    pythons, missing = {}, {}
    for peer in peers:
        try:
            pythons[peer.name] = python_of(peer.environment, work)
        except NotInstalled as error:
            missing[peer.name] = str(error)
            print(error, file=sys.stderr)
    return pythons, missing


def _rounds(
    peers: list[Peer], ground: Ground, pythons: dict[str, Path], given: argparse.Namespace
) -> tuple[dict[str, list[Round]], dict[str, str]]:
    """Give each peer its turn in each round; who fails once is left out from then on, with the reason."""
    rounds: dict[str, list[Round]] = defaultdict(list)
    failed: dict[str, str] = {}
    order = [peer for peer in peers if peer.name in pythons]
    right = right_answer(ground, Path(sys.executable), given.work / "scratch" / "right")
    with tqdm(total=given.rounds * len(order), unit="turn") as bar:
        for number in range(given.rounds):
            for peer in _shuffled(order, number):
                bar.set_description(f"{ground.table}: {peer.name}")
                if peer.name not in failed:
                    scratch = given.work / "scratch" / peer.name
                    try:
                        one = measure(
                            peer, ground, pythons[peer.name], scratch, right, given.concurrency, given.seconds
                        )
                        rounds[peer.name].append(one)
                    except Failed as error:
                        failed[peer.name] = str(error)
                        bar.write(str(error), file=sys.stderr)
                bar.update()
    return rounds, failed


def _shuffled(peers: list[Peer], seed: int) -> list[Peer]:
    return random.Random(seed).sample(peers, len(peers))  # noqa: S311


if __name__ == "__main__":
    main()
