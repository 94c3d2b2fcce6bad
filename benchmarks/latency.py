"""How long a client waits for `/predict/gru`: over TLS with a token and keep-alive, the sample week in the body.

Starts a service of its own (fresh state, free port), measures it from another process, and prints a table in
Markdown; `--out` writes the figures as JSON besides.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import httpx
import psutil
import uvloop
from tqdm import tqdm

from benchmarks.settling import settle

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parent.parent
PASSWORD = "benchmark only, never served"  # noqa: S105
BOUNDARY = "lastgang"
SETTLE = 60.0  # seconds at most


@dataclass(frozen=True)
class Figures:
    """What was measured at one concurrency; times in milliseconds.

    `processor_ms` is what all processes of the service spent on a request; neighbours on the machine change it least.
    """

    concurrency: int
    requests: int
    errors: int
    p50_ms: float
    p99_ms: float
    per_second: float
    processor_ms: float


@contextmanager
def launched(home: Path, **settings: str) -> "Iterator[tuple[str, Path, float, psutil.Process]]":
    """Serve from a folder of state until left, with other settings if given, on a free port.

    Gives the address, the certificate, the seconds until it was ready and the process.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "LASTGANG_HOME": str(home),
        "BENTOML_HOME": str(home / "bentoml"),
        "LASTGANG_PORT": str(port),
        "LASTGANG_FIRST_PASSWORD": PASSWORD,
        **settings,
    }
    command = [sys.executable, "-m", "scripts.launch"]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=PROJECT, env=os.environ | environment, stdout=subprocess.PIPE, text=True)
    try:
        if not any("is ready" in line for line in process.stdout or ()):
            sys.exit("The service did not start; run scripts/serve to see why.")
        seconds = time.perf_counter() - start
        # Whatever it says from now on is thrown away: a pipe that nobody empties would stop it at 64 KB.
        Thread(target=deque, args=(process.stdout, 0), daemon=True).start()
        yield f"https://localhost:{port}", home / "tls.crt", seconds, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@contextmanager
def service(**settings: str) -> "Iterator[tuple[str, Path, float, psutil.Process]]":
    """Serve as `launched` does, from fresh state; all that follows a start has been done."""
    with tempfile.TemporaryDirectory() as home, launched(Path(home), **settings) as started:
        settle(lambda: tree(started[3]), SETTLE)
        yield started


def tree(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and all below it."""
    return [process, *process.children(recursive=True)]


def request(url: httpx.URL, token: str, csv: bytes) -> bytes:
    """Return the bytes of one request."""
    body = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="week.csv"\r\n\r\n'.encode()
        + csv
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )
    head = (
        f"POST /predict/gru HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def client(
    url: httpx.URL, context: ssl.SSLContext, message: bytes, times: list[float], turns: "Iterator[int]"
) -> int:
    """Send the message once for each turn that is left; return how many answers were no 200."""
    reader, writer = await asyncio.open_connection(url.host, url.port, ssl=context)
    errors = 0
    for _ in turns:
        start = time.perf_counter()
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        times.append(time.perf_counter() - start)
        errors += not head.startswith(b"HTTP/1.1 200")
    writer.close()
    return errors


async def measure(  # noqa: PLR0913, PLR0917  # what is measured, and how
    url: httpx.URL,
    context: ssl.SSLContext,
    message: bytes,
    concurrency: int,
    requests: int,
    process: psutil.Process,
) -> Figures:
    """Measure one concurrency, after a tenth of the requests to warm up."""
    times: list[float] = []
    spent = 0.0
    for total in (max(requests // 10, concurrency), requests):
        times.clear()
        turns = iter(tqdm(range(total), desc=f"{concurrency} at a time", disable=total < requests))
        start, spent = time.perf_counter(), processor(process)
        clients = [client(url, context, message, times, turns) for _ in range(concurrency)]
        errors = sum(await asyncio.gather(*clients))
        seconds, spent = time.perf_counter() - start, processor(process) - spent
    cuts = statistics.quantiles(times, n=100)
    rate, each = len(times) / seconds, 1e3 * spent / len(times)
    return Figures(concurrency, len(times), errors, cuts[49] * 1e3, cuts[98] * 1e3, rate, each)


def processor(process: psutil.Process) -> float:
    """Return the seconds of processor time that this process and those below it have spent."""
    return float(sum(sum(one.cpu_times()[:2]) for one in tree(process)))


def memory(process: psutil.Process) -> float:
    """Return the megabytes that the largest process below this one holds (the worker)."""
    return float(max(child.memory_info().rss for child in process.children(recursive=True))) / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2_000, help="requests at each concurrency (2000)")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8], help="requests at a time (1 8)")
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    given = parser.parse_args()
    week = (PROJECT / "samples" / "week.csv").read_bytes()
    with service() as (address, certificate, ready, process):
        context = ssl.create_default_context(cafile=str(certificate))
        login = {"username": "admin", "password": PASSWORD}
        token = httpx.post(f"{address}/token", data=login, verify=context).json()["access_token"]
        url = httpx.URL(address)
        message = request(url, token, week)
        idle = memory(process)
        rows = [
            uvloop.run(measure(url, context, message, concurrency, given.requests, process))
            for concurrency in given.concurrency
        ]
        loaded = memory(process)
    print("| at a time | p50 ms | p99 ms | requests/s | processor ms | errors |\n|---|---|---|---|---|---|")
    for row in rows:
        cells = f"{row.p50_ms:.1f} | {row.p99_ms:.1f} | {row.per_second:.0f} | {row.processor_ms:.2f} | {row.errors}"
        print(f"| {row.concurrency} | {cells} |")
    print(f"\nReady after {ready:.1f} s. Worker: {idle:.0f} MB idle, {loaded:.0f} MB after the load.")
    if given.out:
        figures = {"ready_s": ready, "idle_mb": idle, "loaded_mb": loaded, "rows": [asdict(row) for row in rows]}
        given.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
