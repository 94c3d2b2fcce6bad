"""A Lastgang of its own for the tests: started as people start it, watched by what it prints, ended by a signal.

In: a folder for its state, a Bento store, a port. Out: its address, its output, its exit status. Nothing here
sleeps or polls: a reader follows the output, and its end tells that no process of the service is left.
"""

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import httpx

PROJECT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "Sieben-Tage-zwei-Stunden-04"
READY = "Lastgang is ready"
START_WITHIN = 300  # seconds; more than a machine needs that does ten other things
STOP_WITHIN = 25  # seconds; after 30 BentoML would kill its workers, and a stop would only look clean

LAUNCH = (sys.executable, "-m", "scripts.launch")
BENTOML = str(Path(sys.executable).with_name("bentoml"))


@dataclass(frozen=True)
class Place:
    """Where a service keeps its state and its models, and where it listens."""

    home: Path
    store: Path
    port: int
    certificate: Path | None = None  # if it is not the one that a first start makes in the home

    @property
    def url(self) -> str:
        """The service's address."""
        return f"https://localhost:{self.port}"

    def environment(self, **settings: str) -> dict[str, str]:
        """Return this process's environment with these settings and no others of the service."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LASTGANG_", "BENTOML"))}
        place = {"LASTGANG_HOME": str(self.home), "BENTOML_HOME": str(self.store), "LASTGANG_PORT": str(self.port)}
        return inherited | place | {"BENTOML_DO_NOT_TRACK": "True"} | settings

    def tls(self) -> ssl.SSLContext:
        """Return a client's context that trusts the service's own certificate and no other."""
        return ssl.create_default_context(cafile=str(self.certificate or self.home / "tls.crt"))

    def client(self, token: str | None = None) -> httpx.Client:
        """Return a client that verifies the certificate and, given a token, sends it."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, verify=self.tls(), headers=headers, trust_env=False, timeout=60)

    def log_in(self, username: str, password: str) -> str:
        """Return a new token."""
        with self.client() as client:
            answer = client.post("/token", data={"username": username, "password": password})
        return str(answer.raise_for_status().json()["access_token"])


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class _Output(threading.Thread):
    """Reads what a process and its children print, until the last of them has ended."""

    def __init__(self, pipe: IO[str]) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self._news = threading.Condition()
        self._text = ""
        self._ended = False

    def run(self) -> None:
        for line in self._pipe:
            self._add(line)
        self._pipe.close()
        self._add("", ended=True)

    def _add(self, line: str, *, ended: bool = False) -> None:
        with self._news:
            self._text += line
            self._ended = ended
            self._news.notify_all()

    def text(self) -> str:
        with self._news:
            return self._text

    def wait_for(self, words: str, seconds: float) -> bool:
        """Tell whether the words were printed in time and before the end."""
        with self._news:
            self._news.wait_for(lambda: words in self._text or self._ended, seconds)
            return words in self._text

    def wait_for_end(self, seconds: float) -> bool:
        with self._news:
            return self._news.wait_for(lambda: self._ended, seconds)


class Running:
    """A command that serves, from its start to its end; as a context it ends at the latest on leaving."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], directory: Path = PROJECT) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._output = _Output(self._process.stdout)
        self._output.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Number of the process that was started."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What has been printed until now, both streams together."""
        return self._output.text()

    def wait_for(self, words: str) -> Self:
        """Return when the words have been printed; fail with all that was printed instead."""
        assert self._output.wait_for(words, START_WITHIN), f"no {words!r} in:\n{self.output}"
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, unless the command has ended; return its exit status when its last process is gone.

        SIGINT goes to the whole process group, as from the Ctrl-C of a terminal.
        """
        if self._process.poll() is None:
            send = os.killpg if number == signal.SIGINT else os.kill
            send(self._process.pid, number)
        return self.end()

    def end(self) -> int:
        """Return the exit status of a command that ends by itself, when its last process is gone."""
        try:
            status = self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._give_up()
            raise
        assert self._output.wait_for_end(STOP_WITHIN), f"a process is left that could still print:\n{self.output}"
        return status

    def _give_up(self) -> None:
        """End what would not end, as gently as it allows: the service's own processes are in other sessions."""
        self._process.terminate()
        try:
            self._process.wait(2 * STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def run(command: Sequence[str], environment: Mapping[str, str], directory: Path = PROJECT, typed: str = "") -> str:
    """Run a command that has to succeed; return what it printed."""
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        input=typed,
        capture_output=True,
        text=True,
        timeout=START_WITHIN,
        check=False,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
