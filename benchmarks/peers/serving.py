"""A peer that serves: started, asked until its answer is right, weighed, and ended with all its processes.

In: a `Peer`, a `Ground`. Out: seconds to the first right answer, and the memory of all its processes. Refused: a
peer that ends by itself, is not ready in time, or answers other numbers than it should.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import psutil

from benchmarks.peers.ground import ROOT
from benchmarks.peers.lineup import CORES, OTHERS
from benchmarks.peers.load import OK, Connection
from benchmarks.settling import processor_seconds, settle

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers.ground import Ground
    from benchmarks.peers.lineup import Peer

WITHIN = 120.0  # seconds to ready
STEP = 0.05
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
GRACE = 5.0  # seconds to end; LitServe never does
TOLERANCE = 1e-2  # kW
PORTS = 4  # in a row: the peer's, its back end's and two more that some back ends insist on


def adopt() -> None:
    """Become the parent of every process whose own parent ends, so that none outlives its peer (Linux)."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Failed(Exception):
    """A peer cannot be measured; the message says what it said last."""


class Serving:
    """One running peer; use it as a context. Another may run beside it."""

    _commands: ClassVar[set[int]] = set()  # process ids of the commands of all running peers

    def __init__(self, peer: Peer, ground: Ground, python: Path, scratch: Path) -> None:
        self.peer, self.ground, self._python, self._scratch = peer, ground, python, scratch
        self.port = free_ports()
        self.ready_seconds = 0.0
        self._processes: list[subprocess.Popen[bytes]] = []
        self._strangers: set[int] = set()  # process ids of children that were there before

    def __enter__(self) -> Self:
        self._strangers = {child.pid for child in psutil.Process().children()}
        versions = self._scratch / "versions"
        versions.mkdir(parents=True, exist_ok=True)
        if not (versions / "1").is_symlink():
            (versions / "1").symlink_to(self.ground.model / "saved_model")  # as TensorFlow Serving wants it
        for number, command in enumerate(self.peer.commands):
            with (self._scratch / f"output-{number}").open("wb") as log:
                filled = [word.format_map(self._words()) for word in command]
                words = filled if filled[0].startswith("/") else [str(self._python), *filled]
                if words[1].endswith(".py"):
                    words[1] = str(OTHERS / words[1])
                self._processes.append(
                    subprocess.Popen(
                        words, cwd=self._cwd(), env=self._environment(), stdout=log, stderr=log, start_new_session=True
                    )
                )
                self._commands.add(self._processes[-1].pid)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
        deadline = time.monotonic() + GRACE
        while self._tree() and time.monotonic() < deadline:
            for process in self._processes:
                process.poll()
            time.sleep(STEP)
        for left in self._tree():
            with contextlib.suppress(psutil.Error):
                left.kill()
        for process in self._processes:
            process.wait()
            self._commands.discard(process.pid)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass  # what was adopted

    def _words(self) -> dict[str, str]:
        return {
            "port": str(self.port),
            "backend_port": str(self.port + 1),
            "certificate": str(self.ground.certificate),
            "private_key": str(self.ground.private_key),
            "scratch": str(self._scratch),
            "model": str(self.ground.model),
            "versions": str(self._scratch / "versions"),
            "cores": str(CORES),
        }

    def _cwd(self) -> Path:
        return ROOT if self.peer.environment is None else self._scratch

    def _environment(self) -> dict[str, str]:
        path = [str(OTHERS)] if self.peer.environment else [str(ROOT), str(OTHERS)]
        words = self._words()
        own = self.ground.variables() | {"LASTGANG_PORT": str(self.port)} if self.peer.environment is None else {}
        return {
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "PYTHONPATH": os.pathsep.join(path),
            "PATH": f"{self._python.parent}{os.pathsep}{os.environ['PATH']}",
            "PEER_MODEL": str(self.ground.model),
            "PEER_SECRET": self.ground.secret,
            "PEER_PORT": words["port"],
            "PEER_BACKEND_PORT": words["backend_port"],
            "PEER_CERTIFICATE": words["certificate"],
            "PEER_PRIVATE_KEY": words["private_key"],
            "PEER_SCRATCH": words["scratch"],
            **own,
            **{name: value.format_map(words) for name, value in self.peer.variables.items()},
        }

    def wait(self, start: float) -> bytes:
        """Ask until an answer is there; return its body and note how long it took since `start` (`perf_counter`).

        Raises:
            Failed: it ended, or took too long.
        """
        context, last = self.ground.context(), "no connection"
        while time.perf_counter() < start + WITHIN:
            if any(process.poll() is not None for process in self._processes):
                raise Failed(f"{self.peer.name} ended by itself. {self.said()}")
            try:
                head, body = ask(("127.0.0.1", self.port), context, self.ground.message)
            except OSError as error:
                last = type(error).__name__
            else:
                if head.startswith(OK):
                    self.ready_seconds = time.perf_counter() - start
                    return body
                if head.startswith(b"HTTP/1.1 401"):
                    raise Failed(f"{self.peer.name} refuses the token: {body!r}")
                last = f"{head.splitlines()[0].decode()} {body[:200].decode(errors='replace')}"
            time.sleep(STEP)
        raise Failed(f"{self.peer.name} was not ready within {WITHIN:.0f} s, last: {last}. {self.said()}")

    def megabytes(self) -> tuple[float, float]:
        """Return the memory of all its processes: resident, each counted in full; and with shared pages shared out."""
        resident = shared_out = 0.0
        for process in self._tree():
            with contextlib.suppress(psutil.Error):
                info = process.memory_full_info()
                resident, shared_out = resident + info.rss / 1e6, shared_out + info.pss / 1e6
        return resident, shared_out

    def processes(self) -> int:
        """Count its processes."""
        return len(self._tree())

    def processor_seconds(self) -> float:
        """Return the processor time that its processes have used so far, user and system."""
        return processor_seconds(self._tree())

    def settle(self, within: float) -> None:
        """Wait until it hardly works any more, as Lastgang does until all batch sizes are compiled; at most so long."""
        settle(self._tree, within)

    def _tree(self) -> list[psutil.Process]:
        """Find all its processes: what descends from this one, as `adopt` lets none escape, less what others began."""
        others = self._strangers | self._commands - {process.pid for process in self._processes}
        found = []
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                below = [] if child.pid in others else [child, *child.children(recursive=True)]
                found += [process for process in below if process.status() != psutil.STATUS_ZOMBIE]
        return found

    def said(self) -> str:
        """Return the last of its output."""
        logs = [self._scratch / f"output-{number}" for number in range(len(self.peer.commands))]
        told = [" ".join(log.read_text(errors="replace").split())[-800:] for log in logs]
        return f"It said: {' / '.join(told)}"


def ask(address: tuple[str, int], context: object, message: bytes) -> tuple[bytes, bytes]:
    """Send the request once on a connection of its own; return head and body.

    Raises:
        OSError: it could not be sent, or not answered within a minute.
    """
    connection = Connection(address, context)  # type: ignore[arg-type]
    connection.socket.settimeout(60)
    try:
        connection.socket.sendall(message)
        while (answer := connection.receive()) is None:
            pass
    finally:
        connection.socket.close()
    return answer


def free_ports() -> int:
    """Find a port that is free, as are the next ones."""
    for first in range(21_000, 32_000, PORTS):
        try:
            for port in range(first, first + PORTS):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    sys.exit("There are no four free ports in a row between 21000 and 32000.")


def difference(body: bytes, right: bytes) -> float:
    """Return the largest difference of two answers in kW; infinity if they are no matrices of one shape."""
    try:
        one, other = (np.asarray(json.loads(each), np.float64) for each in (body, right))
    except (ValueError, TypeError):
        return np.inf
    return float(np.abs(one - other).max()) if one.shape == other.shape and one.size else np.inf
