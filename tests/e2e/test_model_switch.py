"""Models change under load: no answer fails and none is mixed, whatever happens in the store meanwhile."""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e.running import LAUNCH, PASSWORD, PROJECT, READY, Place, Running, free_port, run
from toy import model_folder

CLIENTS = 8
SWITCH_WITHIN = 60  # seconds; far more than a loaded machine needs
LOOKS = "0.2"  # seconds between two looks at the store
CSV: dict[str, Any] = {
    "content": (PROJECT / "samples" / "week.csv").read_bytes(),
    "headers": {"Content-Type": "text/csv"},
}
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
]


@dataclass
class Answer:
    """What one client got: when it asked (seconds), how long it took, and what came."""

    asked: float
    took: float
    status: int
    route: str
    version: str | None
    power: tuple[float, ...]


@dataclass
class Load:
    """Clients that ask without a pause until they are told to stop."""

    place: Place
    token: str
    ended: threading.Event = field(default_factory=threading.Event)
    answers: list[Answer] = field(default_factory=list)

    def client(self, route: str) -> None:
        """Ask one route again and again on one connection."""
        with self.place.client(self.token) as client:
            while not self.ended.is_set():
                began = time.monotonic()
                reply = client.post(f"/{route}/toy", **CSV)
                self.answers.append(_answer(route, began, reply))


def _answer(route: str, began: float, reply: httpx.Response) -> Answer:
    took = time.monotonic() - began
    body = reply.json()
    version, power = None, ()
    if reply.status_code == httpx.codes.OK and route == "forecast":
        version, power = body["version"], tuple(step["power"] for step in body["forecast"])
    elif reply.status_code == httpx.codes.OK:
        power = tuple(body[0])
    return Answer(began, took, reply.status_code, route, version, power)


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Give three model folders of one name; each answers with a number of its own, eight times."""
    parent = tmp_path_factory.mktemp("toys")
    return [model_folder(parent / str(kw), constant(kw), description=f"Always {kw}") for kw in (1, 2, 3)]


def constant(normalised: float) -> Callable[[object], object]:
    def body(load: object) -> object:
        import tensorflow as tf  # noqa: PLC0415

        return tf.repeat(load[:, -1:, 0] * 0.0 + normalised, 8, axis=1)  # type: ignore[index]

    return body


@pytest.fixture(scope="module")
def switching(tmp_path_factory: pytest.TempPathFactory, toys: list[Path]) -> Iterator[Place]:
    """Give a service of its own with two workers, in whose store only these tests work."""
    place = Place(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("bentoml"), free_port())
    settings = {"LASTGANG_FIRST_USER": "ada", "LASTGANG_FIRST_PASSWORD": PASSWORD, "LASTGANG_WORKERS": "2"}
    environment = place.environment(LASTGANG_WATCH_SECONDS=LOOKS, **settings)
    run([sys.executable, "import_models.py", str(toys[0])], environment)
    run([sys.executable, "import_models.py", str(toys[2]), "--label", "none"], environment)
    with Running(LAUNCH, environment) as server:
        server.wait_for(READY)
        yield place
        assert server.stop() == 0


class Operator:
    """Who works on the store while the clients ask: mostly with the commands that people use."""

    def __init__(self, place: Place) -> None:
        self._toy = place.store / "models" / "toy"
        self._environment = place.environment()

    def imports(self, folder: Path, *options: str) -> str:
        """Import a version; return it."""
        said = run([sys.executable, "import_models.py", str(folder), *options], self._environment)
        return said.split(":")[1].split()[0]

    def models(self, *words: str) -> None:
        """Run `python -m models`."""
        run([sys.executable, "-m", "models", *words], self._environment)

    def breaks(self, version: str) -> None:
        """Change a file of a version in the store."""
        with (self._toy / version / "saved_model" / "saved_model.pb").open("ab") as file:
            file.write(b"x")

    def scrawls(self, words: str) -> None:
        """Write the labels by hand, as nobody should: in place."""
        (self._toy / "labels.json").write_text(words)


@pytest.fixture(scope="module")
def load(switching: Place) -> Iterator[Load]:
    """Give the clients at work; at the end none of them may have failed."""
    load = Load(switching, switching.log_in("ada", PASSWORD))
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(load.client, route) for route in (["predict"] * 5 + ["forecast"] * 3)]
        yield load
        load.ended.set()
    assert [client.exception() for client in clients] == [None] * CLIENTS


def wait_until_all_get(load: Load, power: float) -> None:
    """Return when every client gets this number; fail if that takes too long or a client ends."""
    since = time.monotonic()
    while time.monotonic() < since + SWITCH_WITHIN:
        load.ended.wait(0.1)
        recent = {one.power[:1] for one in load.answers if one.asked > max(since, time.monotonic() - 0.5)}
        if recent == {(power,)}:
            return
    raise AssertionError(f"not every client got {power} kW, but {Counter(one.power for one in load.answers[-50:])}")


def test_no_answer_fails_or_is_mixed_while_models_change(
    switching: Place, load: Load, toys: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Imports, labels, a roll back, broken and vanished files: each answer is that of one version, whole."""
    operator = Operator(switching)
    first = operator.imports(toys[0])
    wait_until_all_get(load, 70.0)
    began = time.monotonic()

    second = operator.imports(toys[1])
    wait_until_all_get(load, 90.0)
    third = operator.imports(toys[2], "--label", "canary")
    operator.models("label", "toy", "canary", "stable")
    wait_until_all_get(load, 110.0)
    operator.models("rollback", "toy")
    wait_until_all_get(load, 90.0)

    operator.breaks(first)
    operator.models("label", "toy", first, "stable")
    operator.models("label", "toy", third, "canary")  # a second change: it is taken up, so the first was looked at
    with switching.client(load.token) as client:
        wait_for_status(client, "canary", 200)
        assert client.get("/readyz").status_code == 200
        (toy,) = [one for one in client.get("/models").json()["models"] if one["name"] == "toy"]
    assert (toy["version"], toy["ready"]) == (second, True)
    assert {one["version"]: one["labels"] for one in toy["versions"]} == {
        first: ["stable"],
        second: [],
        third: ["canary"],
    }
    wait_until_all_get(load, 90.0)
    operator.imports(toys[0])  # mends what was broken
    wait_until_all_get(load, 70.0)
    operator.scrawls("{")
    operator.scrawls(json.dumps({"labels": {"stable": third}}))
    wait_until_all_get(load, 110.0)
    ended = time.monotonic()

    during = [one for one in load.answers if began <= one.asked <= ended]
    took = sorted(one.took for one in during)
    with capsys.disabled():
        failed = sum(one.status != httpx.codes.OK for one in during)
        print(  # noqa: T201  # the figure that the README gives
            f"\n{len(during)} requests during 5 switches, {failed} failed; seconds: median {took[len(took) // 2]:.3f}, "
            f"p99 {took[len(took) * 99 // 100]:.3f}, longest {took[-1]:.3f}"
        )
    powers = {first: 70.0, second: 90.0, third: 110.0}
    assert {one.status for one in load.answers} == {httpx.codes.OK}
    assert {one.power for one in load.answers} == {(kw,) * 8 for kw in powers.values()}
    forecasts = [one for one in load.answers if one.route == "forecast"]
    assert {one.version for one in forecasts} == set(powers)
    assert all(one.power == (powers[str(one.version)],) * 8 for one in forecasts)


def wait_for_status(client: httpx.Client, version: str, status: int) -> None:
    """Return when the card of a version is answered so by both workers, as far as ten answers tell."""
    give_up = time.monotonic() + SWITCH_WITHIN
    while any(client.get("/models/toy", params={"version": version}).status_code != status for _ in range(10)):
        assert time.monotonic() < give_up, f"version {version!r} is not answered with {status}"


@pytest.fixture(scope="module")
def settled(switching: Place) -> None:
    """Wait until both workers serve what the labels name: all clients of a test before may have had the same one."""
    token, give_up = switching.log_in("ada", PASSWORD), time.monotonic() + SWITCH_WITHIN
    with ExitStack() as stack:
        clients = [stack.enter_context(switching.client(token)) for _ in range(4 * CLIENTS)]  # connections at once
        while not all(_serves_its_labels(client) for client in clients):
            assert time.monotonic() < give_up, "a worker does not serve what the labels name"


def _serves_its_labels(client: httpx.Client) -> bool:
    (toy,) = [one for one in client.get("/models").json()["models"] if one["name"] == "toy"]
    stable = [one["version"] for one in toy["versions"] if "stable" in one["labels"]]
    return stable == [toy["version"]] and all(one["loaded"] == bool(one["labels"]) for one in toy["versions"])


ASKED = [
    ("?version=stable", 200, None),
    ("?version=9", 404, "unknown-version"),
    ("?version=", 404, "unknown-version"),
    ("?version={unlabelled}", 409, "version-not-loaded"),
    ("?version={labelled}", 200, None),
]


@pytest.mark.parametrize("route", ["/predict/toy", "/forecast/toy", "/models/toy"])
@pytest.mark.parametrize("query, status, kind", ASKED)
@pytest.mark.usefixtures("settled")
def test_version_is_asked_for(route: str, query: str, status: int, kind: str | None, switching: Place) -> None:
    """Every route that names a model takes a version or a label, and says what there is if there is none such."""
    with switching.client(switching.log_in("ada", PASSWORD)) as client:
        (toy,) = [one for one in client.get("/models").json()["models"] if one["name"] == "toy"]
        names = {bool(one["loaded"]): one["version"] for one in toy["versions"]}
        path = route + query.format(labelled=names[True], unlabelled=names.get(False))
        reply = client.get(path) if route.startswith("/models") else client.post(path, **CSV)
    assert reply.status_code == status
    if kind is not None:
        assert reply.json()["type"] == f"urn:lastgang:problem:{kind}"
        assert f"stable ({toy['version']})" in reply.json()["detail"]
