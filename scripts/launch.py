"""Prepare everything, serve in the foreground, and say how to get a first forecast.

Called by `scripts/serve` with the packages in place. Ends with 0 when it is told to stop (SIGTERM, Ctrl-C),
with 1 and a sentence when it cannot start, and with BentoML's status when that ends by itself.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import Any

from config import PROJECT, Settings, SettingsError, load_settings, stopping_the_start
from first_start import FirstUser, announce, prepare
from probe import address, ready

# BentoML would report each start to its makers; TensorFlow would fill the log with advice.
QUIET = {"BENTOML_DO_NOT_TRACK": "True", "TF_CPP_MIN_LOG_LEVEL": "2"}
SERVE = ("serve", "service:Lastgang")
GO_ON = "go on"
# What `bentoml serve` does, but its imports, over a second, are done while the models are imported on another core.
# If this process ends before it says so, the pipe ends with it, and so does the server.
SERVE_WHEN_TOLD = f"""\
import sys, garbage, service
from bentoml_cli.cli import cli
if sys.stdin.read() == {GO_ON!r}:
    cli()
"""
WAIT = 0.2  # seconds between two looks at /readyz
STOP_WITHIN = 15  # seconds beyond what draining and the longest request may take


def main() -> int:
    """Serve until told to stop; return the exit status."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    with stopping_the_start():
        settings = load_settings()
        _check_port(settings)
        welcome = _Welcome(settings, prepare(settings))
    with welcome:
        # In processes of their own: the checks of an import load TensorFlow, and this process shall stay small as
        # long as it serves. In sessions of their own: Ctrl-C reaches this process alone, which then ends them once.
        apart: dict[str, Any] = {"cwd": PROJECT, "env": QUIET | os.environ, "start_new_session": True}
        serving, importing = [sys.executable, "-c", SERVE_WHEN_TOLD, *SERVE], [sys.executable, "import_models.py"]
        with subprocess.Popen(serving, stdin=subprocess.PIPE, **apart) as server:
            if subprocess.run(importing, check=False, **apart).returncode:
                return 1
            _tell(server)
            return _Foreground(settings, welcome, server).run()


def _tell(server: subprocess.Popen[bytes]) -> None:
    """Let the server serve; one that has ended by itself is found by who waits for it."""
    if server.stdin is not None:
        with suppress(BrokenPipeError):
            server.stdin.write(GO_ON.encode())
            server.stdin.close()


def _leave(_: int, __: FrameType | None) -> None:
    """End while nothing serves yet."""
    sys.exit(0)


class _Welcome:
    """The lines with which a person begins; on leaving, a password that they did not get to show is shown alone.

    The first user is made before the service is ready: without that, a start that fails or is interrupted would
    take the only copy of the password with it.
    """

    def __init__(self, settings: Settings, first_user: FirstUser | None) -> None:
        self._settings, self._first_user = settings, first_user
        self._said = False

    def say(self) -> None:
        self._said = True
        print(_first_steps(self._settings, self._first_user), flush=True)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if not self._said:
            announce(self._first_user)


class _Foreground:
    """Watches over the server process, from its start to its end."""

    def __init__(self, settings: Settings, welcome: _Welcome, server: subprocess.Popen[bytes]) -> None:
        self._settings, self._welcome, self._server = settings, welcome, server
        self._stopping = threading.Event()

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        threading.Thread(target=self._announce, daemon=True).start()
        status = self._server.wait()
        return 0 if self._stopping.is_set() else status or 1

    def _stop(self, _: int, __: FrameType | None) -> None:
        if not self._stopping.is_set():
            self._stopping.set()
            self._server.terminate()
            last_resort = threading.Timer(self._longest_stop(), self._server.kill)
            last_resort.daemon = True  # or this process would wait for it
            last_resort.start()

    def _longest_stop(self) -> float:
        return self._settings.drain_seconds + self._settings.request_seconds + STOP_WITHIN

    def _announce(self) -> None:
        while not ready(address(str(self._settings.host), str(self._settings.port))):
            if self._stopping.wait(WAIT) or self._server.poll() is not None:
                return
        self._welcome.say()


def _check_port(settings: Settings) -> None:
    address = (str(settings.host), settings.port)
    try:
        socket.create_server(address, family=socket.AF_INET6 if settings.host.version == 6 else socket.AF_INET).close()  # noqa: PLR2004
    except OSError as error:
        raise SettingsError(
            f"{address[0]} port {address[1]} cannot be listened on ({error.strerror}). "
            "Stop what uses it, or set LASTGANG_PORT to another."
        ) from None


def _url(settings: Settings) -> str:
    host = settings.host
    if str(host) == "127.0.0.1" or host.is_unspecified:  # the other loopback addresses are not localhost
        return f"https://localhost:{settings.port}"
    return f"https://{f'[{host}]' if host.version == 6 else host}:{settings.port}"  # noqa: PLR2004


def _first_steps(settings: Settings, first_user: FirstUser | None) -> str:
    """Return the lines that a person can paste to get a token and a forecast."""
    url = _url(settings)
    curl = f"curl -fsS --cacert {shlex.quote(str(settings.certificate))}"
    sample = shlex.quote(str(PROJECT / "samples" / "week.csv"))
    if first_user is not None and first_user.password is not None:
        shown = f"{shlex.quote(first_user.password)}   # shown only now; stored nowhere in clear"
    elif settings.first_password is not None:
        shown = '"${LASTGANG_FIRST_PASSWORD:?set it here as for the service}"'
    else:
        shown = "'the password shown at the first start'   # or set another: .venv/bin/python -m auth password admin"
    name = shlex.quote(first_user.name if first_user else settings.first_user or "admin")
    return f"""
Lastgang is ready: {url}/ is its documentation; Ctrl-C stops it.
Get a token and a first forecast by pasting these lines into another terminal:

PASSWORD={shown}
TOKEN=$(printf %s "$PASSWORD" | {curl} -d username={name} --data-urlencode password@- {url}/token |
  sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
printf 'Authorization: Bearer %s' "$TOKEN" | {curl} -H @- -F file=@{sample} {url}/forecast/gru; echo
"""


if __name__ == "__main__":
    sys.exit(main())
