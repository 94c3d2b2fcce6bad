"""A PostgreSQL of its own for tests: Debian's, in a folder of its own, on a socket that nobody else can reach."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "lastgang"
INSTALL = Path(__file__).resolve().parent.parent / "scripts" / "install-postgres"
LEAST = "nobody"  # PostgreSQL refuses to run as root


class NoPostgres(Exception):
    """There is none here; the message says how to get it."""


@contextmanager
def private_server() -> Iterator[str]:
    """Start a server with an empty database; give its URL, and end it afterwards.

    Raises:
        NoPostgres: it is not installed, or cannot be run by this user.
    """
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="lastgang-postgres-"))  # pytest's own folders are closed to other users
    try:
        if os.getuid() == 0:
            os.chown(folder, pwd.getpwnam(LEAST).pw_uid, -1)
        data, log = folder / "data", folder / "log"
        _run(programs / "initdb", "--auth=trust", "--no-sync", "--encoding=UTF8", f"--username={USER}", "-D", str(data))
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        _run(programs / "pg_ctl", "-D", str(data), "-l", str(log), "-w", "-t", "60", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://{USER}@/postgres?host={folder}"
        finally:
            _run(programs / "pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def restart(url: str, stop: signal.Signals) -> Callable[[], None]:
    """Stop a private server by a signal; give what starts it again."""
    folder = Path(url.partition("?host=")[2])
    file = folder / "data" / "postmaster.pid"
    os.kill(int(file.read_text().split()[0]), stop)
    end = time.monotonic() + 60
    while file.exists():
        assert time.monotonic() < end, "PostgreSQL does not stop"
        time.sleep(0.1)
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    control = (_programs() / "pg_ctl", "-D", str(folder / "data"), "-l", str(folder / "log"))
    return lambda: _run(*control, "-w", "-t", "60", "-o", options, "start")


def _programs() -> Path:
    """Return the folder with PostgreSQL's programs; they are installed where that is allowed."""
    installed = subprocess.run([INSTALL], capture_output=True, text=True, timeout=660, check=False)
    if installed.returncode:
        raise NoPostgres(installed.stderr)
    newest = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=None)
    found = newest or shutil.which("initdb")
    if found is None:
        raise NoPostgres("scripts/install-postgres left no initdb")
    if os.getuid() == 0 and not shutil.which("setpriv"):
        raise NoPostgres("PostgreSQL does not run as root, and there is no setpriv to run it as somebody else")
    return Path(found).parent


def _run(program: Path, *arguments: str) -> None:
    other = ["setpriv", f"--reuid={LEAST}", "--clear-groups"] if os.getuid() == 0 else []
    done = subprocess.run(
        [*other, str(program), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # the server keeps it open
        stderr=subprocess.STDOUT,
        cwd="/",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{program.name} failed"
