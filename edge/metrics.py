"""What the service tells of itself in numbers, for Prometheus.

Each worker counts into files of a folder that BentoML makes for its workers; `edge.scraping` adds all of them up. No
label comes from a client: a path is its route's template or `other`, so is a method; models and versions are those of
the store; the other labels are words of this code.
"""

from __future__ import annotations

import logging
import platform
from bisect import bisect_left
from collections import Counter as Tally
from collections import defaultdict
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from edge.routes import METHODS, OTHER
from edge.timing import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import CollectorRegistry, Counter, Histogram

    from edge.timing import Record
    from models.catalogue import Known

logger = logging.getLogger("lastgang")

TOKEN = "/token"  # noqa: S105  # the route
OK = 200
SIZES = (1, 2, 4, 8, 16, 32)  # windows
SECONDS = (0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
STAGE_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1, 2.5, 10, 30)
MODEL_INFO = "lastgang_model_info"


class Metrics:
    """The metrics of one worker; make only one for a registry.

    What requests count by the dozen waits for `write`, which `edge.sampling` calls twice a second: each count is two
    microseconds of the library's, and most of them are of the same few things.

    Args:
        registry: where they are listed; the library's own if None.
        worker: number of this worker among those that serve, from 1.
        build: version of the Bento that serves.
    """

    def __init__(self, registry: CollectorRegistry | None = None, worker: int = 1, build: str = "") -> None:
        # At its import the library looks whether there is a folder to share, which BentoML names to its workers only.
        from prometheus_client import REGISTRY, Counter, Gauge, Histogram  # noqa: PLC0415

        into = REGISTRY if registry is None else registry
        self._worker = str(worker)
        self._requests = Counter(
            "lastgang_requests", "Requests that were answered.", ["route", "method", "status"], registry=into
        )
        self._seconds = Histogram(
            "lastgang_request_seconds",
            "From a request's first byte to the last of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=into,
        )
        self._in_flight = Gauge(
            "lastgang_requests_in_flight",
            "Requests that are being answered.",
            multiprocess_mode="livesum",
            registry=into,
        )
        self._bytes = Counter("lastgang_request_bytes", "Bytes of requests' bodies.", ["route"], registry=into)
        self._stages = Histogram(
            "lastgang_stage_seconds",
            "What a stage of a request took: " + ", ".join(STAGES) + ".",
            ["stage"],
            buckets=STAGE_SECONDS,
            registry=into,
        )
        self._problems = Counter(
            "lastgang_problems", "Requests that were answered with a problem document.", ["problem"], registry=into
        )
        self._log_ins = Counter(
            "lastgang_log_ins", "Requests for a token: granted, or the problem.", ["outcome"], registry=into
        )
        self._windows = Histogram(
            "lastgang_batch_windows",
            "Windows that the model forecast in one batch, of requests for one site.",
            ["model"],
            buckets=SIZES,
            registry=into,
        )
        self._models = Gauge(
            MODEL_INFO,
            "Workers in which this version of the model answers under the label.",
            ["model", "version", "label"],
            multiprocess_mode="livesum",
            registry=into,
        )
        self._failing = Gauge(
            "lastgang_models_failing",
            "Labels whose version a worker cannot serve, as it sees the store now.",
            multiprocess_mode="livemax",
            registry=into,
        )
        self._switches = Counter(
            "lastgang_model_switches",
            "Changes under a model's label since a worker's start: switched, removed, failed.",
            ["model", "outcome"],
            registry=into,
        )
        self._long = Gauge(
            "lastgang_long_requests",
            "Long requests (many sites, backtests) that a thread works on, or that wait for one.",
            ["state"],
            multiprocess_mode="livesum",
            registry=into,
        )
        self._audit = Counter(
            "lastgang_audit_lines", "Lines of the audit log: written, or failed.", ["outcome"], registry=into
        )
        self._lag = Gauge(
            "lastgang_event_loop_lag_seconds",
            "How late the worker's event loop was at the worst in the last quarter of a minute.",
            ["worker"],
            multiprocess_mode="livemostrecent",
            registry=into,
        )
        self._memory = Gauge(
            "lastgang_worker_memory_bytes",
            "Resident memory of a worker.",
            ["worker"],
            multiprocess_mode="livemostrecent",
            registry=into,
        )
        self._cpu = Counter("lastgang_worker_cpu_seconds", "Processor time of a worker.", ["worker"], registry=into)
        self._started = Gauge(
            "lastgang_worker_start_time_seconds",
            "When a worker was started, in seconds since 1970.",
            ["worker"],
            multiprocess_mode="livemostrecent",
            registry=into,
        )
        self._info = Gauge(
            "lastgang_build_info",
            "Always 1; the labels say what serves.",
            ["version", "python", "bentoml", "tensorflow"],
            multiprocess_mode="livemax",
            registry=into,
        )
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram, Counter]] = {}
        self._stage_of: dict[str, Histogram] = {}
        self._served: dict[tuple[str, str], str] = {}
        self._failures: dict[tuple[str, str], str] = {}
        self._at_work = 0
        self._added: defaultdict[Counter, float] = defaultdict(float)
        self._observed: defaultdict[Histogram, list[float]] = defaultdict(list)
        self._looked = self._told = False
        for state in ("running", "waiting"):
            self._long.labels(state).set(0)
        tensorflow = _version("tensorflow", "tensorflow-cpu")
        self._info.labels(build, platform.python_version(), _version("bentoml"), tensorflow).set(1)

    def began(self) -> None:
        """Count a request in."""
        self._at_work += 1

    def write(self) -> None:
        """Write what requests have counted since the last time; on the event loop."""
        added, self._added = self._added, defaultdict(float)
        observed, self._observed = self._observed, defaultdict(list)
        self._in_flight.set(self._at_work)
        for counter, amount in added.items():
            counter.inc(amount)
        for histogram, amounts in observed.items():
            _observe(histogram, amounts)

    def answered(self, route: str, method: str, status: int, seconds: float, received: int, record: Record) -> None:  # noqa: PLR0913, PLR0917
        """Count a request that has been answered.

        Args:
            route: its template.
            method: as it was sent.
            status: of the answer.
            seconds: from its first byte to the last of the answer.
            received: bytes of its body.
            record: what is known of it.
        """
        self._at_work -= 1
        if (children := self._answered.get((route, method, status))) is None:
            children = self._children(route, method, status)
        requests, duration, size = children
        self._added[requests] += 1
        self._observed[duration].append(seconds)
        self._added[size] += received
        for name, taken in record.stages.items():
            if (stage := self._stage_of.get(name)) is None:
                stage = self._stage_of[name] = self._stages.labels(name)
            self._observed[stage].append(taken)
        if record.problem:
            self._added[self._problems.labels(record.problem)] += 1
        if route == TOKEN:
            self._added[self._log_ins.labels("granted" if status == OK else record.problem or OTHER)] += 1

    def _children(self, route: str, method: str, status: int) -> tuple[Counter, Histogram, Counter]:
        known = method if method in METHODS else OTHER
        children = (
            self._requests.labels(route, known, status),
            self._seconds.labels(route),
            self._bytes.labels(route),
        )
        if known == method:  # or anyone could fill this dictionary
            self._answered[route, method, status] = children
        return children

    def batch(self, model: str, windows: int) -> None:
        """Count a batch."""
        self._observed[self._windows.labels(model)].append(windows)

    def long(self, running: int, waiting: int) -> None:
        """Tell how many long requests are worked on, and how many wait."""
        self._long.labels("running").set(running)
        self._long.labels("waiting").set(waiting)

    def audited(self, outcome: str) -> None:
        """Count a line of the audit log that was `written` or `failed`; it never fails, as a request hangs on it."""
        with self.never_failing():
            self._audit.labels(outcome).inc()

    def worker(self, lag: float, memory: int, cpu: float, started: float) -> None:
        """Tell of this process: its event loop's lag in s, its memory in bytes, its *new* processor time in s."""
        self._lag.labels(self._worker).set(lag)
        self._memory.labels(self._worker).set(memory)
        self._cpu.labels(self._worker).inc(cpu)
        self._started.labels(self._worker).set(started)

    def models(self, known: Iterable[Known]) -> None:
        """Tell what this worker serves, and count what has changed since it was told last."""
        known = tuple(known)
        served: dict[tuple[str, str], str] = {
            (one.name, label): model.version for one in known for label, model in one.served.items()
        }
        failures: dict[tuple[str, str], str] = {
            (one.name, label): why for one in known for label, why in one.failures.items()
        }
        for of, version_ in self._served.items() - served.items():
            self._models.labels(of[0], version_, of[1]).set(0)
            if of not in served:
                self._switches.labels(of[0], "removed").inc()
        for of, version_ in served.items() - self._served.items():
            self._models.labels(of[0], version_, of[1]).set(1)
            if self._looked:
                self._switches.labels(of[0], "switched").inc()
        for of, _ in failures.items() - self._failures.items():
            self._switches.labels(of[0], "failed").inc()
        self._failing.set(len(failures))
        self._served, self._failures, self._looked = served, failures, True

    @contextmanager
    def never_failing(self) -> Iterator[None]:
        """Let what cannot be counted stop nothing; it is logged once.

        What the machine lacks, such as room on the disk or file descriptors, is told in a line without a traceback.
        """
        try:
            yield
        except Exception as error:
            if not self._told:
                self._told = True
                logger.exception(
                    "The metrics cannot be written (%s); the service goes on",
                    getattr(error, "strerror", None) or type(error).__name__,  # noqa: TRY401  there may be no traceback
                    exc_info=not isinstance(error, OSError),
                )


def _observe(histogram: Histogram, amounts: list[float]) -> None:
    """Do what `histogram.observe` does for each amount, for all at once; the library has no such function."""
    histogram._sum.inc(sum(amounts))  # noqa: SLF001
    for bucket, count in Tally(bisect_left(histogram._upper_bounds, amount) for amount in amounts).items():  # noqa: SLF001
        histogram._buckets[bucket].inc(count)  # noqa: SLF001


def _version(*distributions: str) -> str:
    """Return the version of whichever is installed, without importing it."""
    for name in distributions:
        with suppress(PackageNotFoundError):
            return version(name)
    return ""
