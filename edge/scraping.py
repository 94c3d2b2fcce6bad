"""How the metrics are read: those of all workers added up, over the service's own route or on a port of their own.

Each worker counts into files of one folder. Those of a worker that has ended are put together with those of the others
that have, so that nothing written is lost and the folder does not grow, however often workers start anew.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from starlette.responses import Response

from edge.metrics import MODEL_INFO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the library's own name; BentoML sets it for its workers
_OWN = "lastgang-metrics-"  # where the name of such a folder begins
_MERGED = 0  # stands for the processes that have ended; no process has this id
_ADDED_UP = ("counter", "histogram")  # kinds of files whose numbers outlive their process


def keep_apart() -> None:
    """Name a folder to BentoML that no other service has; in the parent of the workers, before it starts them.

    BentoML's own lies in its store and is emptied at each start: a second service on a store would take the counts of
    the first away for good. This one is made only when workers are started.
    """
    if FOLDER in os.environ:  # this is one of them
        return
    from bentoml._internal.configuration.containers import BentoMLContainer  # noqa: PLC0415  # imported before

    folder = Path(tempfile.gettempdir()) / f"{_OWN}{secrets.token_hex(8)}"
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    BentoMLContainer.prometheus_multiproc_dir.set(str(folder))


class Shared:
    """The metrics of all workers that share a folder, as a collector of the library.

    Args:
        folder: of the workers' files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._collecting = Lock()

    def collect(self) -> Iterator[Metric]:
        """Add up what all workers have counted, those that have ended included."""
        from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415  # see Metrics

        with self._collecting, _locked(self._folder):
            forget_the_dead(self._folder)
            files = [str(file) for file in self._folder.glob("*.db")]
            metrics = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        for metric in metrics:
            if metric.name == MODEL_INFO:  # a version that answers nowhere is no longer told of
                metric.samples = [sample for sample in metric.samples if sample.value]
            yield metric


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time look at the files, or put them together."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def forget_the_dead(folder: Path) -> None:
    """Take away the files of processes that have ended; what they counted is added to one file for all of them."""
    from prometheus_client.mmap_dict import MmapedDict  # noqa: PLC0415  # see Metrics
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    dead = {process for file in folder.glob("*.db") if not _alive(process := _process_of(file))}
    if not dead:
        return
    for process in dead:
        mark_process_dead(process, str(folder))  # type: ignore[no-untyped-call]
    for kind in _ADDED_UP:
        files = [file for process in sorted(dead) if (file := folder / f"{kind}_{process}.db").exists()]
        if not files:
            continue
        merged, partial = folder / f"{kind}_{_MERGED}.db", folder / f"{kind}.partial"
        totals: dict[str, float] = {}
        for file in (*files, *((merged,) if merged.exists() else ())):
            for key, value, *_ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
                totals[key] = totals.get(key, 0.0) + value
        partial.unlink(missing_ok=True)
        written = MmapedDict(str(partial))  # type: ignore[no-untyped-call]
        for key, value in totals.items():
            written.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
        written.close()  # type: ignore[no-untyped-call]
        partial.replace(merged)
        for file in files:
            file.unlink()


def _process_of(file: Path) -> int:
    return int(file.stem.rpartition("_")[2])


def _alive(process: int) -> bool:
    if process == _MERGED:
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def registry_of(folder: Path | None) -> CollectorRegistry:
    """Return what lists the metrics of all workers; of this process alone if there is no folder to share."""
    import prometheus_client  # noqa: PLC0415  # see Metrics

    if folder is None or not folder.is_dir():
        return prometheus_client.REGISTRY
    registry = prometheus_client.CollectorRegistry()
    registry.register(Shared(folder))
    return registry


def exposition() -> Response:
    """Return the metrics of all workers in Prometheus's text format."""
    import prometheus_client  # noqa: PLC0415  # see Metrics

    named = os.environ.get(FOLDER)
    registry = registry_of(Path(named) if named else None)
    return Response(prometheus_client.generate_latest(registry), media_type=prometheus_client.CONTENT_TYPE_LATEST)


def serve(address: str, port: int, folder: Path) -> None:
    """Serve the metrics over plain HTTP on a port of their own, in a thread, as long as the process lives.

    Raises:
        OSError: the port cannot be listened on.
    """
    import prometheus_client  # noqa: PLC0415  # see Metrics

    prometheus_client.start_http_server(port, address, registry_of(folder))
