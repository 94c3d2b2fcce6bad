"""What the service tells of itself in numbers, for Prometheus.

Each worker counts into a file of a folder that BentoML makes for its workers; who is asked adds all of them up. Labels
have as many values as there are models: nothing that a client sends becomes one.
"""

from starlette.responses import Response

SIZES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """The metrics of one worker; make only one."""

    def __init__(self) -> None:
        # At its import the library looks whether there is a folder to share, which BentoML names to its workers only.
        from prometheus_client import Histogram  # noqa: PLC0415

        self._windows = Histogram(
            "lastgang_batch_windows",
            "Windows that the model forecast in one batch, of requests for one site.",
            ["model"],
            buckets=SIZES,
        )

    def batch(self, model: str, windows: int) -> None:
        """Count a batch."""
        self._windows.labels(model).observe(windows)


def exposition() -> Response:
    """Return the metrics of all workers in Prometheus's text format."""
    import prometheus_client  # noqa: PLC0415  # as above
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

    registry = prometheus_client.CollectorRegistry()
    try:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    except ValueError:  # there is no folder: this process is alone
        registry = prometheus_client.REGISTRY
    return Response(prometheus_client.generate_latest(registry), media_type=prometheus_client.CONTENT_TYPE_LATEST)
