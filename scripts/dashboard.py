"""Load a service, watch it with Prometheus, and take a picture of the example dashboard; see scripts/dashboard."""

import json
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from benchmarks.latency import PASSWORD, PROJECT, service

EXAMPLE = PROJECT / "deploy" / "observability"
SIZE = (1440, 1400)  # of the picture, in pixels
STRAY = b"Datum,Wert (kW)\n2016-12-25 00:00:00,abc\n"  # a file that is refused


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def prometheus(metrics_port: int) -> Iterator[str]:
    """Run Prometheus on the example's files, but every two seconds; give its address."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "example"
        shutil.copytree(EXAMPLE, place)
        config = (place / "prometheus.yml").read_text()
        config = config.replace("127.0.0.1:9464", f"127.0.0.1:{metrics_port}")
        (place / "prometheus.yml").write_text(re.sub(r"_interval: 15s", "_interval: 2s", config))
        port = free_port()
        options = {
            "config.file": place / "prometheus.yml",
            "storage.tsdb.path": f"{folder}/data",
            "web.listen-address": f"127.0.0.1:{port}",
            "web.console.templates": place / "consoles",
            "log.level": "warn",
        }
        with subprocess.Popen(["prometheus", *(f"--{name}={value}" for name, value in options.items())]) as process:
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()


class Clients:
    """Some clients of all kinds, until told to stop."""

    def __init__(self, address: str, certificate: Path) -> None:
        self._address, self._certificate = address, str(certificate)
        self._ended = threading.Event()
        self._week = (PROJECT / "samples" / "week.csv").read_bytes()
        rows = subprocess.run(
            ["gunzip", "-c", str(PROJECT / "samples" / "shop.csv.gz")], capture_output=True, check=True
        ).stdout.splitlines()
        self._year = b"\n".join([rows[0], *rows[-12_000:]])
        kinds = (self._forecasts, self._forecasts, self._forecasts, self._backtests, self._mistakes)
        self._threads = [threading.Thread(target=self._go_on, args=(kind,), daemon=True) for kind in kinds]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _go_on(self, kind: "object") -> None:
        with httpx.Client(base_url=self._address, verify=self._certificate, timeout=60) as client:
            login = {"username": "admin", "password": PASSWORD}
            token = client.post("/token", data=login).raise_for_status().json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            while not self._ended.is_set():
                with suppress(httpx.TransportError):
                    kind(client)  # type: ignore[operator]

    def _forecasts(self, client: httpx.Client) -> None:
        model = random.choice(("gru", "cnn"))  # noqa: S311
        for _ in range(random.randrange(5, 40)):  # noqa: S311
            client.post(f"/predict/{model}", files={"file": self._week})
        client.post(f"/forecast/{model}?level=80", files={"file": self._week})
        self._ended.wait(random.random() / 4)  # noqa: S311

    def _backtests(self, client: httpx.Client) -> None:
        client.post("/backtest/gru?stride=5", files={"file": self._year})
        self._ended.wait(6)

    def _mistakes(self, client: httpx.Client) -> None:
        client.post("/predict/gru", files={"file": STRAY})
        client.post("/predict/grue", files={"file": self._week})
        client.get(f"/wp-login.php?{random.random()}")  # noqa: S311
        client.post("/token", data={"username": "admin", "password": "a guess"})
        client.get("/models")
        self._ended.wait(1)


def picture(address: str, path: Path, minutes: float) -> None:
    """Open the dashboard and keep what the last minutes look like; fail if a graph has nothing to show."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars", f"--window-size={SIZE[0]},{SIZE[1]}"):
        options.add_argument(argument)
    with Chrome(options=options, service=Service(shutil.which("chromedriver") or "")) as browser:
        browser.set_window_size(*SIZE)
        browser.get(f"{address}/consoles/lastgang.html?minutes={minutes:.1f}")
        panels = browser.find_elements("css selector", ".panel [id]")
        end = time.monotonic() + 30
        while (drawn := sum(bool(panel.find_elements("css selector", "svg path")) for panel in panels)) < len(panels):
            if time.monotonic() > end:
                sys.exit(f"Only {drawn} of {len(panels)} graphs were drawn.")
            time.sleep(0.2)
        time.sleep(1)
        browser.save_screenshot(str(path))
    print(f"{len(panels)} graphs are drawn: {path}")


def told(address: str) -> None:
    """Print whether Prometheus reaches the service, and which alerts fire, or will if things stay so."""
    with urllib.request.urlopen(f"{address}/api/v1/targets", timeout=10) as answer:  # noqa: S310  # nosec B310
        targets = json.load(answer)["data"]["activeTargets"]
    print("targets:", ", ".join(f"{one['scrapeUrl']} {one['health']}" for one in targets))
    with urllib.request.urlopen(f"{address}/api/v1/alerts", timeout=10) as answer:  # noqa: S310  # nosec B310
        alerts = json.load(answer)["data"]["alerts"]
    print("alerts:", ", ".join(sorted({f"{one['labels']['alertname']} {one['state']}" for one in alerts})) or "none")


def main() -> None:
    """Do what scripts/dashboard says."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT / "docs" / "dashboard.png"
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 150.0  # noqa: PLR2004
    port = free_port()
    with ExitStack() as running:
        address, certificate, *_ = running.enter_context(service(LASTGANG_METRICS_PORT=str(port)))
        watching = running.enter_context(prometheus(port))
        running.enter_context(Clients(address, certificate))
        time.sleep(seconds)
        told(watching)
        picture(watching, path, seconds / 60)


if __name__ == "__main__":
    main()
