"""What every fault has in common: clients that go on asking, hostile ones among them, and what must be left after it.

In: a place, with a store. Out: a service with its users, a crowd whose answers are kept, and checks that no answer
was wrong, no door open, and no user, revocation or audit line lost.
"""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from e2e.running import BENTOML, PASSWORD, PROJECT, START_WITHIN, Place, Running, run

SERVE = (BENTOML, "serve", "service:Lastgang")
RECOVERED_WITHIN = 90  # seconds; far more than a busy machine needs
GOOD = 3  # clients that ask for forecasts without a pause
PREDICT = "/predict/gru"
CSV: dict[str, Any] = {
    "content": (PROJECT / "samples" / "week.csv").read_bytes(),
    "headers": {"Content-Type": "text/csv"},
}
OK = "200"
CONNECTION = {"ConnectError", "ReadError", "RemoteProtocolError", "WriteError", "ConnectTimeout"}


@dataclass(frozen=True)
class Tokens:
    """Tokens of the users of a service: a good one and, by what is wrong with them, those that must open nothing."""

    good: str
    bad: dict[str, str]


class Faulty:
    """A service that something will happen to."""

    def __init__(self, place: Place, running: Running) -> None:
        self.place, self.running = place, running
        self.tokens = self._people()

    def workers(self) -> list[psutil.Process]:
        """Return the processes that serve."""
        children = psutil.Process(self.running.pid).children(recursive=True)
        return [one for one in children if _is_worker(one)]

    def ready(self) -> bool:
        """Tell whether a new connection hears that the service is ready."""
        return status(self.place, "/readyz") == httpx.codes.OK

    def _people(self) -> Tokens:
        place = self.place
        good, revoked = (place.log_in("ada", PASSWORD) for _ in range(2))
        with place.client(good) as ada:
            new = {"username": "eve", "password": PASSWORD, "scopes": ["forecast"]}
            ada.post("/users", json=new).raise_for_status()
            disabled = place.log_in("eve", PASSWORD)
            ada.patch("/users/eve", json={"disabled": True}).raise_for_status()
            ada.post("/revoke", data={"token": revoked}).raise_for_status()
        head, _, signature = good.rpartition(".")
        forged = f"{head}.{'A' * len(signature)}"
        return Tokens(good, {"forged": forged, "revoked": revoked, "disabled": disabled})


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any("worker" in word and "service" in word for word in process.cmdline())
    except psutil.Error:
        return False


def status(place: Place, path: str) -> int | None:
    """Return the status of an open path, None where nobody answers."""
    try:
        with place.client() as client:
            return client.get(path).status_code
    except (httpx.TransportError, OSError):
        return None


def gru_store(folder: Path) -> Path:
    """Make a store with one shipped model."""
    environment = Place(folder / "home", folder / "store", 1).environment(TF_CPP_MIN_LOG_LEVEL="2")
    run([sys.executable, "import_models.py", str(PROJECT / "models" / "pretrained" / "gru")], environment)
    shutil.rmtree(folder / "home", ignore_errors=True)
    return folder / "store"


@contextmanager
def serving(place: Place, **settings: str) -> Iterator[Running]:
    """Serve with `bentoml serve`, which mends no store as `scripts/serve` would; give it when it is ready."""
    user = {"LASTGANG_FIRST_USER": "ada", "LASTGANG_FIRST_PASSWORD": PASSWORD}
    quiet = {"LASTGANG_WORKERS": "2", "TF_CPP_MIN_LOG_LEVEL": "2", "LASTGANG_LOG_FORMAT": "text"}
    with Running(SERVE, place.environment(**(user | quiet | settings))) as running:
        wait_until(lambda: status(place, "/readyz") == httpx.codes.OK, START_WITHIN, lambda: running.output)
        yield running


def wait_until(
    holds: Callable[[], bool], seconds: float = RECOVERED_WITHIN, told: Callable[[], object] = lambda: ""
) -> float:
    """Return after how many seconds it holds; fail, with what is told, if it takes too long."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() < start + seconds, told()
        time.sleep(0.1)
    return time.monotonic() - start


@dataclass
class Crowd:
    """Clients that ask until they are told to stop, and what each of their answers was."""

    place: Place
    tokens: Tokens
    good: Counter[str] = field(default_factory=Counter)  # status and kind of problem, or the connection's failure
    bad: dict[str, Counter[str]] = field(default_factory=dict)
    numbers: Counter[bytes] = field(default_factory=Counter)
    requests: set[str] = field(default_factory=set)  # ids of those answered with 200
    longest: float = 0.0  # seconds until an answer of any kind
    _ended: threading.Event = field(default_factory=threading.Event)

    def ask(self, token: str, told: Counter[str], pause: float, *, keep: bool) -> None:
        """Ask for forecasts again and again, on a new connection after each that failed."""
        while not self._ended.is_set():
            with self.place.client(token) as client:
                try:
                    while not self._ended.wait(pause):
                        start = time.monotonic()
                        answer = client.post(PREDICT, **CSV)
                        self.longest = max(self.longest, time.monotonic() - start)
                        told[kind_of(answer)] += 1
                        if keep and answer.status_code == httpx.codes.OK:
                            self.numbers[answer.content] += 1
                            self.requests.add(answer.headers["x-request-id"])
                except httpx.TransportError as error:
                    told[type(error).__name__] += 1
                    self._ended.wait(0.05)

    def served(self) -> int:
        """Return how many good requests have been answered well until now."""
        return self.good[OK]

    def goes_on(self, more: int = 20) -> float:
        """Return after how many seconds so many more good requests have been served."""
        target = self.served() + more
        return wait_until(lambda: self.served() >= target, told=lambda: dict(self.good))

    def answers_on(self, more: int) -> float:
        """Return after how many seconds so many more good requests have come to an end of any kind."""
        target = self.good.total() + more
        return wait_until(lambda: self.good.total() >= target, told=lambda: dict(self.good))

    def tell(self, fault: str, more: object = "") -> None:
        """Print what docs/faults.md says of a fault; seen with `pytest -s`."""
        bad = {kind: dict(told) for kind, told in self.bad.items()}
        print(f"\n{fault}: {dict(self.good)}; {bad}; longest {self.longest:.1f} s; {more}")  # noqa: T201

    def check(self, *expected: str) -> None:
        """Fail if an answer was wrong, a door was open, or a good request ended otherwise than was expected."""
        assert_the_same(self.numbers)
        assert set(self.good) <= {OK, *expected}, self.good
        opened = {kind: dict(told) for kind, told in self.bad.items() if OK in told}
        assert not opened, opened
        assert all(told for told in self.bad.values())


def assert_the_same(bodies: Iterable[bytes]) -> None:
    """Fail if answers differ by more than float32's rounding: larger batches add up in another order."""
    matrices = [np.array(json.loads(body)) for body in bodies]
    assert matrices
    for one in matrices:
        np.testing.assert_allclose(one, matrices[0], rtol=1e-6)


def kind_of(answer: httpx.Response) -> str:
    """Return the status of an answer, and the kind of its problem."""
    if answer.status_code == httpx.codes.OK:
        return OK
    return f"{answer.status_code} {answer.json()['type'].rpartition(':')[2]}"


@contextmanager
def crowd(place: Place, tokens: Tokens) -> Iterator[Crowd]:
    """Let the clients ask; give their answers once each has some."""
    all_of_them = Crowd(place, tokens, bad={kind: Counter() for kind in tokens.bad})
    good = [(tokens.good, all_of_them.good, 0.0, True)] * GOOD
    bad = [(token, all_of_them.bad[kind], 0.05, False) for kind, token in tokens.bad.items()]
    threads = [
        threading.Thread(target=all_of_them.ask, args=(token, told, pause), kwargs={"keep": keep})
        for token, told, pause, keep in good + bad
    ]
    for thread in threads:
        thread.start()
    try:
        all_of_them.goes_on()
        yield all_of_them
    finally:
        all_of_them._ended.set()
        for thread in threads:
            thread.join()


def check_left(faulty: Faulty, crowd: Crowd) -> None:
    """Fail if a user, a revocation or an audit line is gone, or the log is not whole."""
    place = faulty.place
    with place.client(faulty.tokens.good) as ada:
        users = {one["username"]: one["disabled"] for one in ada.get("/users").raise_for_status().json()["users"]}
    assert users == {"ada": False, "eve": True}
    for kind, token in faulty.tokens.bad.items():
        with place.client(token) as client:
            assert client.post(PREDICT, **CSV).status_code == httpx.codes.UNAUTHORIZED, kind
    verified = audit(place, "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert crowd.requests - recorded(place) == set()


def audit(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m audit`."""
    command = [sys.executable, "-m", "audit", *words]
    return subprocess.run(
        command, cwd=PROJECT, env=place.environment(), capture_output=True, text=True, timeout=120, check=False
    )


def lines(place: Place) -> list[dict[str, Any]]:
    """Return every line of the audit log."""
    files = sorted((place.home / "audit").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines() if line.endswith(b"}")]


def recorded(place: Place) -> set[str]:
    """Return the ids of the forecasts that the audit log tells of."""
    return {line["request"] for line in lines(place) if (line["event"], line["outcome"]) == ("predict", "ok")}
