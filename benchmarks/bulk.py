"""What `/forecast` costs on many sites: its seconds, the worker's memory, and what a small request waits meanwhile.

Makes files of N sites (long and wide) of the sample fleet's last week. Posts each to a fresh service of its own with
one worker, so that the large and the small requests meet, over TLS from a process apart, for JSON and for CSV, and
prints a Markdown table:

in process   seconds of reading and the model alone for the same bytes, here, without a service
request      seconds of the whole request while nothing else is asked; both are the fastest of some, turn about
part         `in process` of `request`: the median of the pairs, each of which one moment of the machine has measured
memory       the worker's highest resident set over its level before the first such request, in sizes of the file
p50, p99     of `/predict/gru` with the sample week, one at a time, during such requests and (`alone`) without;
             `times` is the one p99 in the other
"""

import argparse
import gzip
import http.client
import multiprocessing
import os
import ssl
import statistics
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import httpx
import psutil
import uvloop
from tqdm import tqdm

from benchmarks.backtest import served
from benchmarks.latency import BOUNDARY, PASSWORD, PROJECT, client, request, service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MODEL = "gru"
WEEK = 672  # quarter-hours
ALONE = 1_000  # small requests without a large one beside them
FIRST = 100  # sites of the first file: some of them make whole batches, and some do not
ENOUGH = 500  # small requests beside large ones
IDLE = 20  # percent of a core
PATIENCE = 30  # seconds
DONE = True
SETTINGS = {
    "LASTGANG_WORKERS": "1",
    "LASTGANG_MAX_BULK_BYTES": "1000000000",
    "LASTGANG_REQUEST_SECONDS": "600",
    "LASTGANG_BODY_SECONDS": "600",
}


@dataclass(frozen=True)
class Files:
    """A file of many sites: its layout, the number of sites, and where it lies."""

    layout: str
    sites: int
    path: Path


def weeks(sites: int) -> "tuple[list[str], Iterator[tuple[str, list[str]]]]":
    """Give the stamps of a week, and for each site its name and its powers as text: the fleet's, scaled and shifted."""
    with gzip.open(PROJECT / "samples" / "fleet.csv.gz", "rt") as file:
        rows = [line.rstrip("\n").split(",") for line in file][-WEEK:]
    stamps, *fleet = zip(*rows, strict=True)
    powers = [[float(kw) for kw in column] for column in fleet]

    def each() -> "Iterator[tuple[str, list[str]]]":
        for at in tqdm(range(sites), desc=f"{sites} sites", leave=False):
            column, shift, scale = powers[at % len(powers)], at % WEEK, 1 + at % 89 / 89
            yield f"site-{at:05d}", [f"{kw * scale:.2f}" for kw in column[shift:] + column[:shift]]

    return list(stamps), each()


def write(folder: Path, sites: int) -> "Iterator[Files]":
    """Make the two files of so many sites."""
    stamps, each = weeks(sites)
    names, columns = zip(*each, strict=True)
    with (wide := folder / f"wide-{sites}.csv").open("w") as file:
        file.write(",".join(["Datum", *(f"{name} (kW)" for name in names)]) + "\n")
        file.writelines(",".join(row) + "\n" for row in zip(stamps, *columns, strict=True))
    yield Files("wide", sites, wide)
    with (long := folder / f"long-{sites}.csv").open("w") as file:
        file.write("site,Datum,Wert (kW)\n")
        for name, powers in zip(names, columns, strict=True):
            file.writelines(f"{name},{stamp},{kw}\n" for stamp, kw in zip(stamps, powers, strict=True))
    yield Files("long", sites, long)


class InProcess:
    """Reading and the model alone, in this process."""

    def __init__(self) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        self.model = served(MODEL)

    def seconds(self, body: bytes) -> float:
        """Time them once for the bytes of a file."""
        from forecasting.bulk import AT_ONCE  # noqa: PLC0415  # TensorFlow only in this process, not in who posts
        from forecasting.power import preparation  # noqa: PLC0415
        from processing.reading import Reader, Rules  # noqa: PLC0415
        from processing.sites import Sites, read_sites  # noqa: PLC0415

        card = self.model.card
        start = time.perf_counter()
        read = read_sites(body, Reader(card.time_zone, card.window, Rules(known=card.known_mean_kw)))
        profiles = iter([site.profile for site in read.sites if site.profile]) if isinstance(read, Sites) else iter(())
        while some := list(islice(profiles, AT_ONCE)):
            self.model.runner.predict(preparation(card).model_inputs(some))
        return time.perf_counter() - start


class Bulk:
    """Posts files to the service from a process of its own, so that its work does not disturb who measures."""

    def __init__(self, address: str, certificate: Path, token: str) -> None:
        self.to = (address, str(certificate), token)
        self.pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))

    def post(self, path: Path, accept: str) -> "Future[float]":
        """Post a file; the future gives the seconds from its first byte to the answer's last."""
        self.pool.submit(load, path).result()
        return self.pool.submit(post, *self.to, accept)


message = b""  # of the process that posts


def load(path: Path) -> None:
    """Make the body of the next request, before the time counts."""
    global message  # noqa: PLW0603
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="sites.csv"\r\n\r\n'
    message = b"".join([head.encode(), path.read_bytes(), f"\r\n--{BOUNDARY}--\r\n".encode()])


def post(address: str, certificate: str, token: str, accept: str) -> float:
    """Send the body that was loaded."""
    url = httpx.URL(address)
    context = ssl.create_default_context(cafile=certificate)
    start = time.perf_counter()
    connection = http.client.HTTPSConnection(url.host, url.port, context=context)
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind, "Accept": accept}
    connection.request("POST", f"/forecast/{MODEL}", message, headers)
    answer = connection.getresponse()
    if answer.read() and answer.status == http.client.OK:
        return time.perf_counter() - start
    raise SystemExit(f"The service answered {answer.status} to {len(message)} bytes.")


class Memory:
    """Watches a process's resident set through the kernel's own mark of its highest."""

    def __init__(self, process: psutil.Process) -> None:
        self.folder = Path(f"/proc/{process.pid}")

    def reset(self) -> int:
        """Forget the highest; return the level now, in bytes."""
        (self.folder / "clear_refs").write_text("5")
        return self._bytes("VmRSS")

    def peak(self) -> int:
        """Return the highest level since, in bytes."""
        return self._bytes("VmHWM")

    def _bytes(self, name: str) -> int:
        lines = (self.folder / "status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def small(url: httpx.URL, context: ssl.SSLContext, week: bytes, turns: "Iterable[int]") -> list[float]:
    """Send small requests, one at a time; give their milliseconds."""
    times: list[float] = []
    if errors := uvloop.run(client(url, context, week, times, iter(turns))):
        raise SystemExit(f"{errors} small requests failed.")
    return [1e3 * one for one in times]


def p99(times: list[float]) -> float:
    """Return the 99th percentile."""
    return statistics.quantiles(times, n=100)[98]


def measure(one: Files, alone: InProcess, turns: int, first: Path) -> "Iterator[str]":
    """Post a file to a fresh service, warmed by a first one; give the rows of the table."""
    body = one.path.read_bytes()
    with service() as (address, certificate, _, process):
        context = ssl.create_default_context(cafile=str(certificate))
        login = {"username": "admin", "password": PASSWORD}
        token = httpx.post(f"{address}/token", data=login, verify=context).json()["access_token"]
        url, bulk = httpx.URL(address), Bulk(address, certificate, token)
        week = request(url, token, (PROJECT / "samples" / "week.csv").read_bytes())
        serving = max(process.children(recursive=True), key=lambda child: child.memory_info().rss)
        small(url, context, week, range(ALONE))
        for _ in range(PATIENCE):  # it still compiles, and afterwards lets go of what many sites need
            if serving.cpu_percent(1) < IDLE:
                break
        bulk.post(first, "text/csv").result()
        worker = Memory(serving)
        level = worker.reset()
        for accept in ("application/json", "text/csv"):
            worker.reset()
            pairs = [(alone.seconds(body), bulk.post(one.path, accept).result()) for _ in range(turns)]
            needed, took = map(min, zip(*pairs, strict=True))
            part = statistics.median(before / then for before, then in pairs)
            growth = (worker.peak() - level) / len(body)
            quiet = small(url, context, week, range(ALONE))
            busy: list[float] = []
            while len(busy) < ENOUGH:
                busy += small(url, context, week, iter(bulk.post(one.path, accept).done, DONE))
            yield (
                f"| {one.sites} {one.layout} | {len(body) / 1e6:.1f} | {accept.rpartition('/')[2]} | {needed:.2f} "
                f"| {took:.2f} | {part:.0%} | {growth:.1f} | {statistics.median(busy):.1f} | {p99(busy):.1f} "
                f"| {p99(quiet):.1f} | {p99(busy) / p99(quiet):.1f} |"
            )
        bulk.pool.shutdown()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bulk", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sites", type=int, nargs="+", default=[1_000, 10_000], help="sites in a file (1000 10000)")
    parser.add_argument("--turns", type=int, default=5, help="requests of each kind for the seconds (5)")
    given = parser.parse_args()
    os.environ |= SETTINGS
    with TemporaryDirectory() as folder:
        first = next(write(Path(folder), FIRST)).path
        files = chain.from_iterable(write(Path(folder), sites) for sites in given.sites)
        alone = InProcess()
        alone.seconds(first.read_bytes())
        each = tqdm(files, total=2 * len(given.sites), desc="files")
        rows = [row for one in each for row in measure(one, alone, given.turns, first)]
    print("| file | MB | answer | in process s | request s | part | memory | p50 ms | p99 ms | p99 alone | times |")
    print("|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|", *rows, sep="\n")


if __name__ == "__main__":
    main()
