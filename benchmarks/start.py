"""How long the service takes until it is ready and until its first forecast, and what an idle worker holds.

Starts it as `scripts/serve` does with the packages in place. The first start, which makes keys, users and the model
store, stands in a row of its own. Prints two Markdown tables:

ready, answered   seconds from the command until `/readyz` says so, and until a first log-in and forecast are answered
USS, PSS, RSS     MB of each worker when all models are compiled and nothing is asked: what it has to itself, with its
                  part of what it shares, and in all
"""

import argparse
import ssl
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import psutil
from tqdm import tqdm

from benchmarks.latency import PASSWORD, PROJECT, SETTLE, launched, tree
from benchmarks.settling import settle

WORKER = "_bentoml_impl.worker"  # in the command line of each
KINDS = ("uss", "pss", "rss")


def forecast(address: str, certificate: Path) -> float:
    """Log in, ask for the first forecast, and return the seconds that both took."""
    week = (PROJECT / "samples" / "week.csv").read_bytes()
    start = time.perf_counter()
    with httpx.Client(base_url=address, verify=ssl.create_default_context(cafile=str(certificate))) as client:
        login = client.post("/token", data={"username": "admin", "password": PASSWORD}).raise_for_status().json()
        bearer = {"Authorization": f"Bearer {login['access_token']}"}
        client.post("/predict/gru", files={"file": week}, headers=bearer).raise_for_status()
    return time.perf_counter() - start


def workers(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes that answer requests."""
    return [one for one in tree(process) if any(WORKER in part for part in one.cmdline())]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.start", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=5, help="starts besides the first one (5)")
    turns = parser.parse_args().turns
    seconds: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as home:
        for turn in tqdm(range(1 + turns), desc="starts"):
            with launched(Path(home)) as (address, certificate, ready, process):
                seconds.append((ready, ready + forecast(address, certificate)))
                if turn == turns:
                    settle(lambda: tree(process), SETTLE)  # called before the next turn
                    idle = [worker.memory_full_info() for worker in workers(process)]
    rows = [("the first", seconds[0])] + [(str(at), pair) for at, pair in enumerate(seconds[1:], 2)]
    if turns:
        ready_all, answered = zip(*seconds[1:], strict=True)
        rows.append(("median without the first", (statistics.median(ready_all), statistics.median(answered))))
    print("| start | ready s | answered s |\n|---|---:|---:|")
    print(*(f"| {name} | {ready:.1f} | {first:.1f} |" for name, (ready, first) in rows), sep="\n")
    print("\n| worker | USS MB | PSS MB | RSS MB |\n|---|---:|---:|---:|")
    for at, held in enumerate(idle, 1):
        print("|", at, "|", " | ".join(f"{getattr(held, kind) / 1e6:.0f}" for kind in KINDS), "|")


if __name__ == "__main__":
    main()
