"""What the audit log costs: microseconds a line, for each way to the disk, and lines a second of several processes.

    python -m benchmarks.audit            in the folder for temporary files
    python -m benchmarks.audit /dev/shm   elsewhere

The line is that of a forecast. On a busy machine the median counts: what lies above it is mostly other people's work.
"""

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from audit.checking import extent_of, verify
from audit.lines import Key
from audit.trail import Trail

FACTS: dict[str, Any] = {
    "subject": "ada",
    "client": "client:office",
    "address": "203.0.113.9",
    "token": "a" * 32,
    "request": "b" * 32,
    "method": "POST",
    "route": "/forecast/{model}",
    "status": 200,
    "model": "gru",
    "version": "3f2a3f2a3f2a3f2a",
    "input": "c" * 64,
    "input_bytes": 17_487,
    "duration_us": 1_900,
}
LINES = 20_000
WRITER = """
import sys
from pathlib import Path
from audit.trail import Trail
from benchmarks.audit import FACTS
with Trail(Path(sys.argv[1])) as trail:
    trail.record("forecast", **FACTS)
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(sys.argv[2])):
        trail.append("forecast", **FACTS)
"""


def cost(folder: Path, sync: str, key: Key | None) -> tuple[float, float]:
    """Return the median and the 99th percentile of the microseconds that a line takes."""
    taken = []
    with Trail(folder, sync=sync, key=key) as trail:  # type: ignore[arg-type]  # one of the three
        trail.record("forecast", **FACTS)
        for _ in range(LINES if sync != "line" else LINES // 50):
            start = perf_counter()
            trail.record("forecast", **FACTS)
            taken.append(1e6 * (perf_counter() - start))
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


def rate(folder: Path, processes: int) -> float:
    """Return the lines a second that so many processes write to one log."""
    command = [sys.executable, "-c", WRITER, str(folder), str(LINES // processes)]
    writers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(processes)]
    for writer in writers:
        if writer.stdout is not None:
            writer.stdout.readline()
    start = perf_counter()
    for writer in writers:
        writer.communicate(b"go\n")
    return LINES / (perf_counter() - start)


def main() -> None:
    """Print the tables."""
    where = sys.argv[1] if len(sys.argv) > 1 else None
    key = Key.of(os.urandom(32))
    print("| sync | key | median us | p99 us |\n|---|---|---:|---:|")
    for sync in ("never", "second", "line"):
        for one in (None, key):
            with tempfile.TemporaryDirectory(dir=where) as folder:
                median, most = cost(Path(folder), sync, one)
            print(f"| `{sync}` | {'yes' if one else 'no'} | {median:.1f} | {most:.0f} |")
    print("\n| processes | lines/s |\n|---:|---:|")
    for processes in (1, 2, 4, 8):
        with tempfile.TemporaryDirectory(dir=where) as folder:
            print(f"| {processes} | {rate(Path(folder), processes):.0f} |", flush=True)
            if verify(extent_of(Path(folder))).broken is not None:
                sys.exit("the chain is broken")
    with tempfile.TemporaryDirectory(dir=where) as folder:
        cost(Path(folder), "never", None)
        start = perf_counter()
        lines = verify(extent_of(Path(folder))).lines
        print(f"\nverifying: {lines / (perf_counter() - start):.0f} lines/s")
    week, taken = os.urandom(FACTS["input_bytes"]), []
    for _ in range(1_000):
        start = perf_counter()
        hashlib.sha256(week).hexdigest()
        taken.append(1e6 * (perf_counter() - start))
    print(f"digest of a week: {statistics.median(taken):.1f} us")


if __name__ == "__main__":
    main()
