# ruff: noqa: T201  # figures and logs, for who reads why it failed or how long it took
"""The container image for real: built, run hardened, and composed, alone and as two replicas.

    scripts/test -m image      these tests alone; some minutes

LASTGANG_TEST_IMAGE=lastgang:latest tests what `scripts/image` has built before, instead of building anew. Skipped,
and the skip says why, where no container engine can be had.
"""

import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e.engine import Engine, an_engine, compose_command, demand_parts
from e2e.running import PROJECT, free_port
from packaging.requirements import Requirement

pytestmark = pytest.mark.image

NAME = "lastgang-test"
HARDENED = "--read-only --tmpfs /tmp:rw,noexec,nosuid,size=64m --cap-drop ALL --security-opt no-new-privileges -m 768m"
USER = os.getuid() or 4711  # who runs the tests and owns the secrets; the superuser is no user for a service
READY_WITHIN = 180  # seconds; a container is ready within 10 on two idle cores, which a test cannot demand
ADMIN = "admin"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Give a container engine."""
    with an_engine(tmp_path_factory.mktemp("engine")) as engine:
        demand_parts(engine)
        yield engine


@pytest.fixture(scope="module")
def image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Build the image with the project's script, as a person does; remove it in the end."""
    if built := os.environ.get("LASTGANG_TEST_IMAGE"):
        yield built
        return
    start = time.monotonic()
    store = {"BENTOML_HOME": str(tmp_path_factory.mktemp("bentoml"))}
    engine.with_settings(store).run("scripts/image", NAME, seconds=900)
    print(f"\nThe image was built in {time.monotonic() - start:.0f} s.")
    yield f"{NAME}:latest"
    engine.try_("docker", "image", "rm", "-f", f"{NAME}:latest", f"{NAME}:{project_version()}")
    engine.try_("docker", "image", "prune", "-f")


@dataclass(frozen=True)
class Secrets:
    """The files that docs/containers.md tells people to make."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What the made `.env` sets."""
        lines = (self.folder / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def read(self, name: str) -> str:
        """Return what is in one of the files."""
        return (self.folder / "secrets" / name).read_text().strip()

    def tls(self) -> ssl.SSLContext:
        """Return a client's context that trusts the made certificate and no other."""
        return ssl.create_default_context(cafile=str(self.folder / "secrets" / "tls.crt"))


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    """Make the secrets by the lines of the documentation, as they stand there."""
    folder = tmp_path_factory.mktemp("project")
    (lines,) = re.findall(r"```sh\n(.*?)```", (PROJECT / "docs" / "containers.md").read_text(), re.DOTALL)
    subprocess.run(["bash", "-euo", "pipefail", "-c", lines], cwd=folder, check=True, capture_output=True)
    return Secrets(folder)


def project_version() -> str:
    """Return the version of the project."""
    (found,) = re.findall(r'^version = "(.*)"$', (PROJECT / "pyproject.toml").read_text(), re.MULTILINE)
    return str(found)


@dataclass(frozen=True)
class Service:
    """Where containers serve."""

    port: int
    secrets: Secrets
    token: str | None = None

    def client(self) -> httpx.Client:
        """Return a client that verifies the certificate and sends the token, if there is one."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        url = f"https://localhost:{self.port}"
        return httpx.Client(base_url=url, verify=self.secrets.tls(), headers=headers, trust_env=False, timeout=60)

    def get(self, path: str) -> int:
        """Ask once, over a connection of its own; return the status, 0 where nobody answers."""
        try:
            with self.client() as client:
                return client.get(path).status_code
        except httpx.TransportError:
            return 0

    def wait(self) -> float:
        """Wait until it is ready; return the seconds."""
        start = time.monotonic()
        while self.get("/readyz") != 200:
            assert time.monotonic() - start < READY_WITHIN, "the service is not ready"
            time.sleep(0.1)
        return time.monotonic() - start

    def logged_in(self, name: str, password: str) -> "Service":
        """Return the same with a token of this user."""
        with self.client() as client:
            answer = client.post("/token", data={"username": name, "password": password})
        return replace(self, token=answer.raise_for_status().json()["access_token"])

    def forecast_slowly(self, week: bytes, go_on: threading.Event) -> int:
        """Send a week whose second half waits until it may go on; return the status of the answer."""

        def halves() -> Iterator[bytes]:
            yield week[:1000]
            go_on.wait(15)
            yield week[1000:]

        with self.client() as client:
            return client.post("/forecast/gru", content=halves(), headers={"Content-Type": "text/csv"}).status_code

    def forecast(self, model: str, week: bytes) -> Any:
        """Return an answer of /forecast."""
        with self.client() as client:
            return client.post(f"/forecast/{model}", files={"file": week}).raise_for_status().json()


def inspected(engine: Engine, what: str) -> Any:
    """Return what the engine knows of an image or a container."""
    return json.loads(engine.docker("inspect", what))[0]


def inside(engine: Engine, image: str, script: str) -> str:
    """Run a line of shell in a container of the image; return what it printed."""
    return engine.docker("run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", script)


def test_the_image_is_small(engine: Engine, image: str) -> None:
    """Unpacked, and compressed as a registry would store it."""
    unpacked = int(inspected(engine, image)["Size"])
    # The usual level takes a minute more and makes 416 of every 475 bytes: 480 MB.
    compressed = int(engine.run("bash", "-c", f"docker save {image} | gzip -1 | wc -c"))
    print(f"\n{unpacked / 1e6:.0f} MB, {compressed / 1e6:.0f} MB compressed at the quickest level")
    assert unpacked < 1_600_000_000
    assert 100_000_000 < compressed < 480_000_000 * 475 / 416


def test_the_image_says_what_it_is(engine: Engine, image: str) -> None:
    """A user by number, a health check, one port, version, revision and licence."""
    config = inspected(engine, image)["Config"]
    assert (config["User"], list(config["ExposedPorts"])) == ("1034:0", ["8443/tcp"])
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "probe.py"]
    label = "org.opencontainers.image."
    labels = {name.removeprefix(label): value for name, value in config["Labels"].items() if name.startswith(label)}
    assert (labels["version"], labels["licenses"]) == (project_version(), "Apache-2.0")
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels["revision"])


def test_the_image_holds_no_tool_and_no_secret(engine: Engine, image: str) -> None:
    """No compiler, no git, no state; and nothing of the service may be changed by who serves."""
    found = inside(engine, image, "for tool in cc gcc g++ make git curl uv; do command -v $tool; done; true")
    assert not found
    assert not inside(engine, image, "ls -A /var/lib/lastgang /run/secrets 2>/dev/null | grep -v :$; true")
    assert not inside(engine, image, "find /opt -name '*.key' -o -name '*.db' -o -name '.env' -o -name .git")
    assert not inside(engine, image, "find /opt ! -type l -writable | head")
    assert "SECRET" not in "".join(inspected(engine, image)["Config"]["Env"]).upper().replace("/RUN/SECRETS/", "")


def test_the_image_holds_the_locked_packages(engine: Engine, image: str, bill: dict[str, Any]) -> None:
    """Every package of the lock that is for Linux, in its version, and no other; the SBOM lists them all."""
    lock = (PROJECT / "requirements.lock").read_text()
    requirements = map(Requirement, re.findall(r"^([\w.-]+(?:\[[^]]+\])?==[^\\\n]+?) *\\$", lock, re.MULTILINE))
    locked = {
        (each.name, str(each.specifier).removeprefix("=="))
        for each in requirements
        if each.marker is None or each.marker.evaluate()
    }
    listed = {
        (component["purl"].removeprefix("pkg:pypi/").partition("@")[0], component["version"])
        for component in bill["components"]
        if component.get("purl", "").startswith("pkg:pypi/")
    }
    removed = {(name, number) for name, number in locked if name == "libclang"}
    assert len(removed) == 1
    assert listed == locked - removed


def test_the_bill_lists_more_than_python(bill: dict[str, Any]) -> None:
    """Debian's packages, the interpreter, and both models in the versions of their cards, too."""
    kinds = {(component["type"], component["name"]) for component in bill["components"]}
    assert {("library", "libc6"), ("platform", "python")} <= kinds
    assert {name for kind, name in kinds if kind == "machine-learning-model"} == {"cnn", "gru"}
    assert bill["metadata"]["component"]["name"] == "lastgang"


@pytest.fixture(scope="module")
def bill(image: str) -> dict[str, Any]:
    """Give the SBOM that was written beside the image."""
    name = image.partition(":")[0]
    return dict(json.loads((PROJECT / "build" / f"{name}-{project_version()}.cdx.json").read_text()))


def owned(secrets: Secrets, folder: Path) -> Path:
    """Copy the secrets into a folder that nobody but the containers' user may enter; return it."""
    shutil.copytree(secrets.folder / "secrets", folder, dirs_exist_ok=True)
    os.chown(folder, USER, -1)
    return folder


@pytest.fixture(scope="module")
def hardened(
    engine: Engine, image: str, secrets: Secrets, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Run the image as the documentation says, hardened, as a user that has no name in it."""
    service = Service(free_port(), secrets)
    mounts = f"-v {owned(secrets, tmp_path_factory.mktemp('owned'))}:/run/secrets:ro -v {NAME}:/var/lib/lastgang"
    first = f"-e LASTGANG_FIRST_USER={ADMIN} -e LASTGANG_FIRST_PASSWORD_FILE=/run/secrets/first.password"
    published = f"-p 127.0.0.1:{service.port}:8443"
    try:
        engine.docker(
            "run",
            "-d",
            "--name",
            NAME,
            "--user",
            f"{USER}:0",
            *f"{HARDENED} {mounts} {first} {published}".split(),
            image,
        )
        print(f"\nready after {service.wait():.1f} s, load {os.getloadavg()[0]:.1f}")
        yield service.logged_in(ADMIN, secrets.read("first.password"))
    finally:
        print(engine.try_("docker", "logs", NAME).stderr[-3000:])
        engine.try_("docker", "rm", "-f", NAME)
        engine.try_("docker", "volume", "rm", NAME)


@pytest.mark.parametrize("model", ["cnn", "gru"])
def test_it_forecasts(hardened: Service, week: bytes, model: str) -> None:
    """Over verified TLS, with a token of the first user, whose password came from a file."""
    answer = hardened.forecast(model, week)
    assert (answer["model"], len(answer["forecast"])) == (model, 8)


def test_it_is_closed(hardened: Service) -> None:
    """No token, no forecast; no TLS, no answer."""
    assert Service(hardened.port, hardened.secrets).get("/users/me") == 401
    assert hardened.get("/users/me") == 200
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://localhost:{hardened.port}/livez", trust_env=False)


def test_it_runs_with_few_rights(engine: Engine, hardened: Service) -> None:
    """Any uid, no capability, no way to get one, a root that cannot be written; one worker, as the memory is small."""
    status = engine.docker("exec", NAME, "cat", "/proc/1/status")
    said = dict(line.split(":\t", 1) for line in status.splitlines())
    assert said["Uid"].split() == [str(USER)] * 4
    assert (said["CapEff"], said["CapBnd"], said["NoNewPrivs"].strip()) == ("0" * 16, "0" * 16, "1")
    assert engine.try_("docker", "exec", NAME, "touch", "/opt/bento/x").returncode
    assert len(workers(engine)) == 1


def test_its_commands_work_inside(engine: Engine, hardened: Service) -> None:
    """A user is added in the running container, and may log in at once."""
    added = engine.docker("exec", NAME, "python", "-m", "auth", "add", "ada", "--generate")
    password = added.split()[-1]
    assert hardened.logged_in("ada", password).get("/users/me") == 200


def test_the_engine_finds_it_healthy(engine: Engine, hardened: Service) -> None:
    """The health check runs in the container, as it is."""
    engine.docker("exec", NAME, "python", "probe.py")
    end = time.monotonic() + 60
    while (health := inspected(engine, NAME)["State"]["Health"]["Status"]) == "starting" and time.monotonic() < end:
        time.sleep(0.5)
    assert health == "healthy"


def workers(engine: Engine) -> set[str]:
    """Return the process ids of the workers in the hardened container."""
    processes = engine.docker("top", NAME, "-o", "pid,args")
    return set(re.findall(r"^\s*(\d+) .*_bentoml_impl.worker.service", processes, re.MULTILINE))


def test_a_killed_worker_comes_back(engine: Engine, hardened: Service) -> None:
    """The container starts another worker, instead of looking well without one; new connections wait for it."""
    before = workers(engine)
    kill = "for p in /proc/[0-9]*; do grep -q 'impl[.]worker' $p/cmdline && kill -9 ${p#/proc/}; done; true"
    engine.docker("exec", NAME, "sh", "-c", kill)
    hardened.wait()
    assert len(workers(engine) - before) == 1
    assert inspected(engine, NAME)["RestartCount"] == 0


def test_it_leaves_in_good_order(engine: Engine, hardened: Service, week: bytes) -> None:
    """Told to stop, it is not ready but answers on; then it is deaf, finishes what runs, and ends with 0."""
    go_on, answers = threading.Event(), list[int]()
    running = threading.Thread(target=lambda: answers.append(hardened.forecast_slowly(week, go_on)))
    running.start()
    time.sleep(1)
    start = time.monotonic()
    seen: list[tuple[int, int]] = []
    with subprocess.Popen(
        ["docker", "stop", "-t", "60", NAME], env=engine.environment, stdout=subprocess.DEVNULL
    ) as it:
        while it.poll() is None:
            seen.append((hardened.get("/readyz"), hardened.get("/users/me")))
            if seen[-1] == (0, 0):
                go_on.set()
    running.join()
    print(f"\nstopped after {time.monotonic() - start:.1f} s")
    leaving = seen[next(place for place, (ready, _) in enumerate(seen) if ready == 503) :]
    assert (503, 200) in leaving
    assert {ready for ready, _ in leaving} == {503, 0}
    assert answers == [200]
    assert inspected(engine, NAME)["State"]["ExitCode"] == 0


@pytest.mark.parametrize("missing", ["tls.crt", "signing.key"])
def test_it_does_not_start_without_its_secrets(
    engine: Engine, image: str, secrets: Secrets, missing: str, tmp_path: Path
) -> None:
    """One sentence says what is missing; nothing is generated."""
    for file in (secrets.folder / "secrets").iterdir():
        if file.name != missing:
            shutil.copy(file, tmp_path)
    os.chown(tmp_path, USER, -1)
    user, mount = ("--user", f"{USER}:0"), ("-v", f"{tmp_path}:/run/secrets:ro")
    done = engine.try_("docker", "run", "--rm", *HARDENED.split(), *user, *mount, image)
    assert done.returncode == 1
    assert "Lastgang cannot start." in done.stderr
    assert f"/run/secrets/{missing}" in done.stderr
    assert "Traceback" not in done.stderr


@dataclass(frozen=True)
class Composed:
    """A composition that runs, and how it is called."""

    engine: Engine
    command: tuple[str, ...]
    service: Service

    def __call__(self, *arguments: str) -> str:
        """Run Compose with these arguments."""
        return self.engine.run(*self.command, *arguments)

    def up(self) -> None:
        """Start it, and wait until it is ready."""
        self("up", "-d")
        self.service.wait()


@pytest.fixture(scope="module")
def composed(engine: Engine, image: str, secrets: Secrets) -> Iterator[Callable[..., Composed]]:
    """Give what runs a file of Compose; in the end nothing of it is left."""
    started: list[Composed] = []

    def start(file: str, **more: str) -> Composed:
        service = Service(free_port(), secrets)
        settings = {**secrets.environment, "LASTGANG_IMAGE": image, "LASTGANG_PUBLISH": f"127.0.0.1:{service.port}"}
        command = (*compose_command(engine), "-p", f"{NAME}{len(started)}", "-f", file)
        composition = Composed(engine.with_settings({**settings, **more}), command, service)
        started.append(composition)
        composition.up()
        return composition

    yield start
    for each in started:
        print(each.engine.try_(*each.command, "logs", "--tail", "20").stdout[-6000:])
        each.engine.try_(*each.command, "down", "-v", "-t", "50")


@pytest.mark.parametrize("file", ["docker-compose.yml", "docker-compose.replicas.yml"])
def test_nothing_is_composed_without_secrets(engine: Engine, file: str) -> None:
    """Compose names what is missing before it makes anything."""
    done = engine.try_(*compose_command(engine), "-f", file, "up", "-d")
    assert done.returncode
    assert re.search(r"the name of the first user|the PEM file of|a file with", done.stdout + done.stderr)


def audited(composition: Composed, service: str) -> int:
    """Verify the audit log of a service; return the number of its lines."""
    verified = composition("exec", "-T", service, "python", "-m", "audit", "verify")
    shown = composition("exec", "-T", service, "python", "-m", "audit", "show", "--json", "--last", "0")
    assert verified
    return len(shown.splitlines())


def add_user(composition: Composed, service: str, name: str) -> str:
    """Add a user by the command in a container; return the password."""
    return composition("exec", "-T", service, "python", "-m", "auth", "add", name, "--generate").split()[-1]


def test_one_service_keeps_its_state(composed: Callable[..., Composed], secrets: Secrets, week: bytes) -> None:
    """Users, tokens and audit lines are there again after `down` and `up`."""
    one = composed("docker-compose.yml")
    admin = one.service.logged_in(ADMIN, secrets.read("first.password"))
    assert len(admin.forecast("gru", week)["forecast"]) == 8
    password = add_user(one, "lastgang", "ada")
    lines = audited(one, "lastgang")
    one("down", "-t", "50")
    assert one.service.get("/livez") == 0
    one.up()
    assert one.service.logged_in("ada", password).get("/users/me") == 200
    assert admin.get("/users/me") == 200
    assert audited(one, "lastgang") >= lines > 0
    one("down", "-v", "-t", "50")


@pytest.fixture(scope="module")
def replicas(engine: Engine, composed: Callable[..., Composed]) -> Composed:
    """Compose two replicas behind a balancer, with local stand-ins where no registry is in reach."""
    images: dict[str, str] = {}
    for name, public in (("balancer", "haproxy:3.2"), ("database", "postgres:17")):
        if engine.has(public) or engine.try_("docker", "pull", "-q", public).returncode == 0:
            continue
        if not images:
            engine.run("scripts/local-images", seconds=600)
        images[f"LASTGANG_{name.upper()}_IMAGE"] = f"lastgang-{name}:local"
    return composed("docker-compose.replicas.yml", **images)


def both_ready(replicas: Composed) -> None:
    """Wait until both replicas are ready, by their own health checks."""
    end = time.monotonic() + READY_WITHIN
    for name in ("lastgang-1", "lastgang-2"):
        while replicas.engine.try_(*replicas.command, "exec", "-T", name, "python", "probe.py").returncode:
            assert time.monotonic() < end, f"{name} is not ready"
            time.sleep(0.5)


def kill_from_outside(process: int) -> None:
    """Kill a container's first process as the kernel does when memory runs out; `docker kill` would be a stop."""
    try:
        os.kill(process, signal.SIGKILL)
    except (PermissionError, ProcessLookupError):
        pytest.skip("only the engine's own root can kill a container's first process")


def test_a_killed_replica_is_not_missed_and_comes_back(replicas: Composed, secrets: Secrets, week: bytes) -> None:
    """While one of two is killed, the other serves; what was lost is at most what ran in the killed one."""
    engine = replicas.engine
    both_ready(replicas)
    token = replicas.service.logged_in(ADMIN, secrets.read("first.password"))
    container = replicas("ps", "-q", "lastgang-1").strip()
    counts: dict[bool, int] = {True: 0, False: 0}
    stopping = threading.Event()

    def ask() -> None:
        while not stopping.is_set():
            counts[token.get("/users/me") == 200] += 1

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    time.sleep(2)
    kill_from_outside(inspected(engine, container)["State"]["Pid"])
    time.sleep(8)
    stopping.set()
    for client in clients:
        client.join()
    print(f"\n{counts[True]} requests were answered, {counts[False]} lost as one of two replicas was killed")
    assert counts[False] <= len(clients)
    assert counts[True] > 20
    assert len(token.forecast("cnn", week)["forecast"]) == 8
    both_ready(replicas)
    assert inspected(engine, container)["RestartCount"] == 1


def test_replicas_keep_their_state(replicas: Composed) -> None:
    """A user added in one replica logs in through the balancer; after `down` and `up`, too; no audit line is lost."""
    password = add_user(replicas, "lastgang-2", "grace")
    assert replicas.service.logged_in("grace", password).get("/users/me") == 200
    lines = [audited(replicas, name) for name in ("lastgang-1", "lastgang-2")]
    replicas("down", "-t", "50")
    replicas.up()
    both_ready(replicas)
    assert replicas.service.logged_in("grace", password).get("/users/me") == 200
    after = [audited(replicas, name) for name in ("lastgang-1", "lastgang-2")]
    assert all(now >= before > 0 for now, before in zip(after, lines, strict=True))


def test_a_stopped_replica_loses_no_request(replicas: Composed, secrets: Secrets) -> None:
    """An orderly stop of one of two: the balancer has left it out before it stops answering."""
    both_ready(replicas)
    token = replicas.service.logged_in(ADMIN, secrets.read("first.password"))
    statuses: list[int] = []
    with subprocess.Popen(
        [*replicas.command, "stop", "-t", "50", "lastgang-2"],
        cwd=PROJECT,
        env=replicas.engine.environment,
        stderr=subprocess.DEVNULL,
    ) as stopping:
        statuses += [token.get("/users/me") for _ in iter(stopping.poll, 0)]
    print(f"\n{len(statuses)} requests while a replica was stopped")
    assert statuses
    assert set(statuses) == {200}
