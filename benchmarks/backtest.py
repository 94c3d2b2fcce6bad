"""How long a year's backtest takes: the whole request over TLS, and how much of it the model works.

Starts a service of its own and posts the shipped year of a shop to `/backtest` and `/anomalies`; then forecasts from
the same origins in this process, without anything around it. Prints a table in Markdown, the fastest and the median.
"""

import argparse
import gzip
import os
import ssl
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import httpx

from benchmarks.latency import PASSWORD, PROJECT, SETTLE, service, tree
from benchmarks.settling import settle

if TYPE_CHECKING:
    from models.catalogue import ServedModel

SAMPLE = PROJECT / "samples" / "shop.csv.gz"
MODELS = ("gru", "cnn")


def seconds(work: Callable[[], object], turns: int) -> list[float]:
    """Time a piece of work; rising."""
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return sorted(times)


def over_tls(csv: bytes, turns: int) -> dict[str, list[float]]:
    """Time whole requests: route and model → seconds."""
    with service() as (address, certificate, _, process):
        context = ssl.create_default_context(cafile=str(certificate))
        with httpx.Client(base_url=address, verify=context, timeout=60) as client:
            login = {"username": "admin", "password": PASSWORD}
            token = client.post("/token", data=login).raise_for_status().json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            routes = [f"/{route}/{model}" for route in ("backtest", "anomalies") for model in MODELS]

            def ask(route: str) -> None:
                client.post(route, files={"file": csv}).raise_for_status()

            for route in routes:  # the first backtest of a model makes it compile a larger batch, behind the requests
                ask(route)
            settle(lambda: tree(process), SETTLE)
            return {route: seconds(partial(ask, route), turns) for route in routes}


def model_alone(csv: bytes, turns: int) -> dict[str, list[float]]:
    """Time the forecasts from the origins of a backtest, in this process: model → seconds."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from forecasting.rolling import rolled  # noqa: PLC0415
    from processing.reading import read_load_profile  # noqa: PLC0415  # TensorFlow only after the service has ended

    profile = read_load_profile(csv, time_zone="Europe/Berlin")
    return {name: seconds(partial(rolled, served(name), profile, ()), turns) for name in MODELS}


def served(name: str) -> "ServedModel":
    """Load a shipped model in this process, as a worker has it after its first backtest."""
    from forecasting.replay import WIDE  # noqa: PLC0415
    from models.card import CARD, read_card  # noqa: PLC0415
    from models.catalogue import ServedModel  # noqa: PLC0415
    from models.runner import Runner  # noqa: PLC0415
    from worker import BATCH_SIZES  # noqa: PLC0415

    folder = PROJECT / "models" / "pretrained" / name
    card = read_card(folder / CARD)
    return ServedModel(name, "shipped", card, Runner(folder, card, (*BATCH_SIZES, WIDE)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backtest", description="Seconds for a year's backtest.")
    parser.add_argument("--turns", type=int, default=5, help="requests of each kind (5)")
    given = parser.parse_args()
    csv = gzip.decompress(SAMPLE.read_bytes())
    rows = over_tls(csv, given.turns)
    alone = model_alone(csv, given.turns)
    print("| a year of one site | fastest s | median s | the model alone s |\n|---|---:|---:|---:|")
    for route, times in rows.items():
        model = statistics.median(alone[route.rpartition("/")[2]])
        print(f"| `POST {route}` | {times[0]:.2f} | {statistics.median(times):.2f} | {model:.2f} |")


if __name__ == "__main__":
    main()
