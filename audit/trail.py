"""What writes the audit log: one line at a time, in the order of the chain, by any number of threads and processes.

Comes in: an event and its facts. Goes out: a line at the end of the newest file of the folder, before `record` returns.
A lock on the file ``head`` keeps writers apart; who finds that another has written since takes the place from there.
What a crash or a power cut left is closed off by a line that names it (``trail.recovered``): half a line, or lines that
the head remembers and the file no longer has. What cannot be written is an error, never a loss.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from audit.errors import TrailUnwritable, UnreadableTrail
from audit.files import HEAD, HEAD_BYTES, Place, day_of, listed, name_of, read_place, read_tail
from audit.lines import FORMAT, LONGEST, PLAIN, checked, parse, seal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Self

    from audit.lines import Key, Value

Sync = Literal["line", "second", "never"]
LINE, SECOND, NEVER = "line", "second", "never"
OUTCOME_OK = "ok"
EVERY = 1.0  # seconds between two looks whether there is something to bring to the disk
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC


def _utc_now() -> datetime:
    return datetime.now(UTC)


class _MovedError(Exception):
    """The folder or its head is no longer the one that was opened."""


class Trail:
    """The audit log in one folder. Nothing is opened before the first line.

    Args:
        folder: made if it is not there; nobody but its owner may look into it. It must lie on a file system where
            `flock` works between all that write, which is any local one.
        key: of the chain; without one it can be verified, and made anew, by anyone.
        sync: when a line is brought to the disk: `line` before `record` returns, `second` within a second of it,
            `never` when the system likes. A crash of this process loses nothing either way; a power cut may.
        max_bytes: a file that would be longer is followed by a new one, as is that of another day (UTC).
        keep_days: files whose last line is older are deleted when a new one begins; 0 keeps all.
        clock: returns the aware time now.
    """

    def __init__(  # noqa: PLR0913  # the settings of a log
        self,
        folder: Path,
        *,
        key: Key | None = None,
        sync: Sync = "second",
        max_bytes: int = 64_000_000,
        keep_days: int = 0,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.folder, self.sync = folder, sync
        self._key, self._max_bytes, self._keep_days, self._clock = key, max_bytes, keep_days, clock
        self._key_id = PLAIN if key is None else key.id
        self._writing = threading.Lock()  # flock keeps processes apart, not the threads of one
        self._syncing = threading.Lock()
        self._process = 0
        self._head = self._file = -1
        self._path, self._inode = "", 0
        self._place = Place()
        self._remembered = b""
        self._appended = self._synced = 0
        self._sync_error: OSError | None = None
        self._syncer: threading.Thread | None = None
        self._closed = threading.Event()

    def record(self, event: str, *, outcome: str = OUTCOME_OK, **facts: Value) -> int:
        """Write a line; return its number when it is as safe as `sync` says.

        Args:
            event: what happened, as in ``user.disable``.
            outcome: ``ok``, ``refused``, ``failed``, or ``begun`` for what is about to be tried.
            facts: see `audit.lines.FACTS`; None is left out.

        Raises:
            TrailUnwritable: the line could not be written; a later call tries anew.
            ValueError: there is no fact of this name.
        """
        seq = self.append(event, outcome=outcome, **facts)
        self.settle()
        return seq

    def append(self, event: str, *, outcome: str = OUTCOME_OK, **facts: Value) -> int:
        """Write a line and return at once; `settle` waits for the disk.

        Raises:
            TrailUnwritable, ValueError: as `record` does.
        """
        return self.append_all([content_of(event, outcome=outcome, **facts)])

    def append_all(self, contents: Sequence[dict[str, Value]]) -> int:
        """Write a line for each of these, all or none, with one look at what others wrote; return the last's number.

        Args:
            contents: of `content_of`, one at least.

        Raises:
            TrailUnwritable: as `record` does.
        """
        with self._writing:
            try:
                return self._append_once(contents)
            except _MovedError:
                self._forget()
            except (OSError, UnreadableTrail) as error:
                self._forget()
                raise self._unwritable(error) from error
            try:
                return self._append_once(contents)
            except (OSError, UnreadableTrail, _MovedError) as error:
                self._forget()
                raise self._unwritable(error) from error

    def settle(self) -> None:
        """Return when every line that this process wrote before is on the disk, where `sync` asks for that.

        Threads that wait at the same moment share one trip to the disk.

        Raises:
            TrailUnwritable: the disk did not take it.
        """
        if self.sync == LINE:
            try:
                self._to_disk()
            except OSError as error:
                raise self._unwritable(error) from error

    def check(self) -> None:
        """Find out, without writing a line, whether the folder and its head can be used.

        Raises:
            TrailUnwritable: they cannot.
        """
        with self._writing:
            try:
                self._hold()
                self._release()
            except OSError as error:
                self._forget()
                raise self._unwritable(error) from error

    def close(self) -> None:
        """Bring to the disk what is not there yet, unless `sync` is `never`, and close every file."""
        if self._syncer is not None:
            self._closed.set()
            self._syncer.join()
            self._syncer = None
            self._closed.clear()
        if self.sync != NEVER:
            with suppress(OSError):
                self._to_disk()
        with self._writing:
            self._forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _unwritable(self, error: Exception) -> TrailUnwritable:
        words = error.strerror if isinstance(error, OSError) else None
        return TrailUnwritable(self.folder, words or str(error))

    def _append_once(self, contents: Sequence[dict[str, Value]]) -> int:
        self._hold()
        try:
            self._catch_up()
            if self._sync_error is not None:  # lines before are not on the disk: nothing more may be promised
                os.fdatasync(self._file)
                self._sync_error = None
            now = self._clock()
            if self._due(now):
                self._turn_over(now)
            return self._put(contents, now)
        finally:
            self._release()

    def _hold(self) -> None:
        """Lock the head, opening it if need be; a lock on a head that was removed would keep nobody out."""
        if self._process != os.getpid():  # a fork shares its parent's open files, and so its locks
            self._forget()
            self._process = os.getpid()
            self._syncer = None
        while True:
            if self._head < 0:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._head = os.open(self.folder / HEAD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._head, fcntl.LOCK_EX)
            if os.fstat(self._head).st_nlink:
                return
            self._forget()

    def _release(self) -> None:
        if self._head >= 0:
            fcntl.flock(self._head, fcntl.LOCK_UN)

    def _forget(self) -> None:
        """Close what is open; the next line opens it anew."""
        for descriptor in (self._file, self._head):
            if descriptor >= 0:
                with suppress(OSError):
                    os.close(descriptor)
        self._head = self._file = -1
        self._path, self._inode, self._remembered = "", 0, b""
        self._place = Place()

    def _catch_up(self) -> None:
        """Stand at the end of the log, whoever wrote last."""
        head = os.pread(self._head, HEAD_BYTES, 0)
        if self._file >= 0 and head == self._remembered and self._is_there(self._path, self._place.end, self._inode):
            return
        place = read_place(head)
        if place is None or not self._is_there(str(self.folder / place.name), place.end):
            self._recover(head, place)
            return
        self._stand_at(place)
        self._remembered = head

    def _is_there(self, path: str, size: int, inode: int | None = None) -> bool:
        try:
            found = os.stat(path)  # noqa: PTH116  # this is done for each line, and a Path costs
        except FileNotFoundError:
            return False
        return found.st_size == size and inode in (None, found.st_ino)

    def _stand_at(self, place: Place) -> None:
        path = str(self.folder / place.name)
        if self._file < 0 or path != self._path or os.stat(path).st_ino != self._inode:  # noqa: PTH116
            self._open(path, _FLAGS)
        self._place = place

    def _open(self, path: str, flags: int) -> None:
        descriptor = os.open(path, flags, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._path = descriptor, path
        self._inode = os.fstat(descriptor).st_ino

    def _due(self, now: datetime) -> bool:
        place = self._place
        return not place.end or place.end >= self._max_bytes or place.key != self._key_id or place.day < _day(now)

    def _put(self, contents: Sequence[dict[str, Value]], now: datetime) -> int:
        """Write lines at the place, all of them or none."""
        place, time = self._place, _written(now)
        seq, sealed, lines = place.seq, place.hash, []
        for content in contents:
            seq += 1
            line, sealed = seal({**content, "seq": seq, "time": time, "prev": sealed}, self._key)
            lines.append(line)
        data = b"".join(lines)
        self._write(data)
        self._remember(Place(place.name, place.end + len(data), seq, sealed, place.key))
        return seq

    def _write(self, data: bytes) -> None:
        whole = False
        try:
            whole = os.write(self._file, data) == len(data)
        finally:
            if not whole:
                with suppress(OSError):  # what stays is closed off by the next line
                    os.ftruncate(self._file, self._place.end)
        if not whole:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _remember(self, place: Place) -> None:
        self._place = place
        self._remembered = place.written()
        with suppress(OSError):  # the line is there; who finds the head behind looks into the file
            os.pwrite(self._head, self._remembered, 0)
        self._appended += 1
        if self.sync == SECOND and self._syncer is None:
            self._syncer = threading.Thread(target=self._keep_syncing, name="audit-sync", daemon=True)
            self._syncer.start()

    def _turn_over(self, now: datetime) -> None:
        """Begin a new file with a line that tells how it is written; what follows it is the chain's next line."""
        former = self._place
        if self._file >= 0 and self.sync != NEVER:
            os.fdatasync(self._file)
        name = name_of(former.seq + 1, max(_day(now), former.day))
        self._open(str(self.folder / name), _FLAGS | os.O_CREAT)
        if os.fstat(self._file).st_size:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        self._place = replace(former, name=name, end=0, key=self._key_id)
        # Before the file's first line: were it after, a crash between would let the next writer go on in the old file.
        self._remembered = self._place.written()
        os.pwrite(self._head, self._remembered, 0)
        opened: dict[str, Value] = {"format": FORMAT, "chain": "sha256" if self._key is None else "hmac-sha256"}
        if self._key is not None:
            opened["key"] = self._key_id
        self._put([{**content_of("trail.file"), **opened}], now)
        self._sync_folder()
        self._prune(now, former.day)

    def _sync_folder(self) -> None:
        if self.sync != NEVER:
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _prune(self, now: datetime, former: str) -> None:
        """Delete files that are old enough, after a line that says so.

        A clock that is ahead would take all of them with it. So the day is not believed to be later than the one after
        the former file's.
        """
        if not self._keep_days or not former:
            return
        after = datetime.strptime(former, "%Y%m%d").replace(tzinfo=UTC) + timedelta(days=1)
        oldest = _day(min(now, after) - timedelta(days=self._keep_days))
        files = listed(self.folder)
        old = [(path, follower) for path, follower in pairwise(files) if day_of(path.name) < oldest]
        for path, follower in old:
            last = int(follower.name[:12]) - 1
            told = content_of("trail.pruned", target=path.name, first=int(path.name[:12]), last=last)
            self._put([told], now)
            path.unlink()

    def _recover(self, head: bytes, remembered: Place | None) -> None:
        """Find the end in the files themselves, and close off with a line whatever is not as it should be."""
        if not self._is_there(str(self.folder / HEAD), len(head), os.fstat(self._head).st_ino):
            raise _MovedError
        files = listed(self.folder)
        while files and not files[-1].stat().st_size:
            files.pop().unlink()  # made for a first line that never came
        place, rest = self._end_of(files) if files else (Place(), b"")
        facts: dict[str, Value] = {}
        if files and remembered is None:
            facts["head"] = "unreadable" if head else "missing"
        if remembered is not None and remembered.seq > place.seq:
            facts |= {"lost_from": place.seq + 1, "lost_to": remembered.seq}
            # The chain goes on from the last line that was lost: were it found again, it would fit.
            place = replace(place, seq=remembered.seq, hash=remembered.hash)
        self._place = place
        if place.name:
            self._stand_at(place)
        elif self._file >= 0:
            os.close(self._file)
            self._file = -1
        if facts or rest:
            self._account(facts, rest)
        elif place.name:  # the writer ended between the line and the head
            self._remember(place)

    def _end_of(self, files: list[Path]) -> tuple[Place, bytes]:
        """Return where the newest file ends, and the bytes at its end that are no line."""
        newest = files[-1]
        tail = read_tail(newest)
        last = tail.line
        for path in reversed(files[:-1]):
            if last is not None:
                break
            last = read_tail(path).line
        end = tail.end + len(tail.rest)
        place = Place(newest.name, end, key=self._key_of(newest))
        return (place if last is None else replace(place, seq=last.seq, hash=last.hash)), tail.rest

    def _key_of(self, path: Path) -> str:
        """Return the id of the key that a file says it is written with; what is not to be read is not ours."""
        with path.open("rb") as file:
            first = parse(file.readline(LONGEST))
        said = first.content.get("key", PLAIN) if first is not None else None
        return said if isinstance(said, str) else "?"

    def _account(self, facts: dict[str, Value], rest: bytes) -> None:
        """Write the line that names what is damaged or lost."""
        now = self._clock()
        if not self._place.name:
            self._turn_over(now)
        if rest:
            if not rest.endswith(b"\n"):
                self._write(b"\n")
                rest += b"\n"
                self._place = replace(self._place, end=self._place.end + 1)
            facts |= {"damaged_bytes": len(rest), "damaged_sha256": hashlib.sha256(rest).hexdigest()}
        self._put([{**content_of("trail.recovered", outcome="failed"), **facts}], now)

    def _to_disk(self) -> None:
        wanted = self._appended
        with self._syncing:
            if self._synced >= wanted:
                return
            with self._writing:
                if self._file < 0:
                    return
                descriptor, upto = os.dup(self._file), self._appended
            try:
                os.fdatasync(descriptor)
            except OSError as error:
                self._sync_error = error
                raise
            finally:
                os.close(descriptor)
            self._synced, self._sync_error = upto, None

    def _keep_syncing(self) -> None:
        while not self._closed.wait(EVERY):
            with suppress(OSError):  # told to whoever writes next
                self._to_disk()


def content_of(event: str, *, outcome: str = OUTCOME_OK, **facts: Value) -> dict[str, Value]:
    """Return what a line will tell besides its number, time and place in the chain.

    Raises:
        ValueError: there is no fact of this name.
    """
    return {**checked(facts), "event": event, "outcome": outcome}


def _day(moment: datetime) -> str:
    return moment.date().isoformat().replace("-", "")  # asked for with each line; strftime takes several times as long


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
