"""Verifies the chain: every hash, every link, every number, from the first line to the last, and the remembered end.

Comes in: the files, oldest first, the keys, and what is remembered of the end. Goes out: what was found, with the first
line that is broken, if one is, and what is odd and yet accounted for. Files are read a line at a time.
"""

from __future__ import annotations

import fcntl
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from audit.errors import UnreadableTrail
from audit.files import HEAD, HEAD_BYTES, listed, read_place
from audit.lines import GENESIS, LONGEST, PLAIN, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from audit.lines import Key, Line


@dataclass(frozen=True)
class Finding:
    """Something about one line.

    Attributes:
        path: its file.
        number: its number in that file, from 1; 0 if it is about the file's end.
        what: what is to be said of it, a sentence.
    """

    path: Path
    number: int
    what: str

    def __str__(self) -> str:
        place = f"line {self.number}" if self.number else "at its end"
        return f"{self.path.name}, {place}: {self.what}"


@dataclass(frozen=True)
class Anchor:
    """What somebody remembers of the log: that line `seq` had this hash."""

    seq: int
    hash: str


@dataclass
class Report:
    """What a verification found.

    Attributes:
        lines: that were read and are good.
        first, last: the first and last of these; None if there are none.
        keys: the ids of the keys that sealed them; `PLAIN` for lines without a key.
        notices: what is odd and accounted for, in order.
        broken: the first line that is broken; None if none is.
    """

    lines: int = 0
    first: Line | None = None
    last: Line | None = None
    keys: set[str] = field(default_factory=set)
    notices: list[Finding] = field(default_factory=list)
    broken: Finding | None = None


@dataclass(frozen=True)
class Extent:
    """The files of a log, oldest first, each with the bytes that it had at one moment, and the head at that moment."""

    files: tuple[tuple[Path, int], ...]
    head: Anchor | None


def extent_of(folder: Path) -> Extent:
    """Look at a log of which no line is just being written; it may be written to afterwards.

    Raises:
        UnreadableTrail: there is none, or it cannot be read.
    """
    try:
        with (folder / HEAD).open("rb") as head:
            fcntl.flock(head, fcntl.LOCK_SH)
            place = read_place(head.read(HEAD_BYTES))
            files = tuple((path, path.stat().st_size) for path in listed(folder))
    except FileNotFoundError:
        return Extent(tuple((path, path.stat().st_size) for path in listed(folder)), None)
    except OSError as error:
        raise UnreadableTrail(folder, error.strerror or str(error)) from None
    return Extent(files, None if place is None else Anchor(place.seq, place.hash))


def verify(
    extent: Extent, keys: Sequence[Key] = (), *, remembered: Sequence[Anchor] = (), whole: bool = True, start: int = 1
) -> Report:
    """Verify a log.

    Args:
        extent: its files.
        keys: every key that it was written with; none if it was written without.
        remembered: what is known of its lines from elsewhere.
        whole: whether it has to begin at line 1, unless a line in it tells that the files before were deleted.
        start: the number of the first line that counts; lines before it are not looked at.
    """
    return _Walk(extent, keys, [*remembered, *([extent.head] if extent.head else [])], whole=whole, start=start).run()


@dataclass(frozen=True)
class _Raw:
    path: Path
    number: int
    data: bytes


def _lines(extent: Extent) -> Iterator[_Raw]:
    for path, size in extent.files:
        try:
            with path.open("rb") as file:
                for number, data in enumerate(_bounded(file, size), 1):
                    yield _Raw(path, number, data)
        except OSError as error:
            raise UnreadableTrail(path, error.strerror or str(error)) from None


def _bounded(file: BinaryIO, size: int) -> Iterator[bytes]:
    left = size
    while left > 0 and (data := file.readline(min(left, LONGEST + 1))):
        left -= len(data)
        yield data


class _BrokenError(Exception):
    """The walk ends here."""

    def __init__(self, raw: _Raw, what: str, *, at_the_end: bool = False) -> None:
        self.finding = Finding(raw.path, 0 if at_the_end else raw.number, what)


class _Walk:
    """One walk along the chain."""

    def __init__(
        self, extent: Extent, keys: Sequence[Key], anchors: Sequence[Anchor], *, whole: bool, start: int
    ) -> None:
        self._raws = _lines(extent)
        self._keys = {key.id: key for key in keys}
        self._anchors = {anchor.seq: anchor.hash for anchor in reversed(anchors)}
        self._whole, self._start = whole and start == 1, start
        self._report = Report()
        self._begin: _Raw | None = None
        self._pruned = 0
        self._damage: _Damage | None = None

    def run(self) -> Report:
        raw: _Raw | None = None
        try:
            for raw in self._raws:
                self._look_at(raw)
            if raw is not None:
                self._end(raw)
        except _BrokenError as broken:
            self._report.broken = broken.finding
        if (fault := self._missing_before()) is not None:
            self._report.broken = fault
        return self._report

    def _missing_before(self) -> Finding | None:
        """Return what is wrong with a log that does not begin at line 1, unless a line in it tells why."""
        first = self._report.first
        if not self._whole or first is None or self._begin is None or first.seq == 1:
            return None
        rest = (line for raw in self._raws if (line := parse(raw.data)) is not None)
        if max(self._pruned, *(_pruned_to(line) for line in rest), 0) >= first.seq - 1:
            return None
        told = f"lines 1 to {first.seq - 1} are missing before it, and no line tells that they were deleted"
        return Finding(self._begin.path, self._begin.number, told)

    def _look_at(self, raw: _Raw) -> None:
        line = parse(raw.data)
        if self._report.last is None and self._start > 1 and (line is None or line.seq < self._start):
            return
        key = None if line is None else line.sealed_by(tuple(self._keys.values()))
        if line is None or key is None:
            if self._damage is None:
                self._damage = _Damage(raw, self._why(raw, line))
            self._damage.add(raw.data)
            return
        self._link(raw, line)
        if key == PLAIN and self._report.keys - {PLAIN}:
            raise _BrokenError(raw, "has a hash without a key, after lines with one: it was put in its place")
        if self._anchors.get(line.seq, line.hash) != line.hash:
            raise _BrokenError(raw, f"is not the line {line.seq} that is remembered: the log was written anew")
        self._report.lines += 1
        self._report.first, self._report.last = self._report.first or line, line
        self._report.keys.add(key)
        self._pruned = max(self._pruned, _pruned_to(line))

    def _why(self, raw: _Raw, line: Line | None) -> str:
        """Say what is wrong with bytes that are no good line."""
        if line is not None:
            key = line.content.get("key")
            if line.event == "trail.file" and key is not None and key not in self._keys:
                return f"was written with the key {key}, which was not given"
            return "its hash is not that of its content: it was changed"
        if not raw.data.endswith(b"\n"):
            return "is torn: it has no end"
        return "is no line of an audit log: it was changed or damaged"

    def _link(self, raw: _Raw, line: Line) -> None:
        """Hold a line against the one before it."""
        last = self._report.last
        damage, self._damage = self._damage, None
        if damage is not None:
            if not (line.event == "trail.recovered" and damage.told_by(line)):
                raise _BrokenError(damage.raw, damage.why)
            told = f"{damage.size} bytes are no line; line {line.seq} of {line.time} closed them off"
            self._report.notices.append(Finding(damage.raw.path, damage.raw.number, told))
        if last is None:
            self._begin = raw
            if line.seq == 1 and line.prev != GENESIS:
                raise _BrokenError(raw, "is the first line and names one before it")
            return
        expected = last.seq + 1
        if line.seq == expected and line.prev == last.hash:
            return
        if line.event == "trail.recovered" and (line.content.get("lost_from"), line.seq - 1) == (
            expected,
            line.content.get("lost_to"),
        ):
            raise _BrokenError(raw, f"lines {expected} to {line.seq - 1} were lost, as it says, before {line.time}")
        if line.seq == expected:
            raise _BrokenError(raw, "does not follow from the line before it: one of the two was exchanged")
        if line.seq < expected:
            raise _BrokenError(raw, f"is number {line.seq} and stands after number {last.seq}: repeated or moved")
        told = f"is number {line.seq} and stands after number {last.seq}"
        later = any(found is not None and found.seq == expected for found in (parse(one.data) for one in self._raws))
        if later:
            raise _BrokenError(raw, f"{told}: lines were moved")
        missing = f"line {expected} is" if line.seq == expected + 1 else f"lines {expected} to {line.seq - 1} are"
        raise _BrokenError(raw, f"{told}: {missing} missing")

    def _end(self, raw: _Raw) -> None:
        """Judge what only the whole can tell: the end and the key."""
        first, last = self._report.first, self._report.last
        if self._damage is not None:
            raise _BrokenError(self._damage.raw, self._damage.why)
        remembered = max(self._anchors, default=0)
        if last is None or first is None:
            if remembered >= self._start:
                raise _BrokenError(raw, f"line {remembered} is remembered, and none is here", at_the_end=True)
            return
        if self._keys and not self._report.keys - {PLAIN}:
            raise _BrokenError(
                raw, "no line has a hash with the key: the log was written anew, or by a service without it"
            )
        if remembered > last.seq:
            told = f"line {remembered} is remembered and {last.seq} is the last here: the end is missing"
            raise _BrokenError(raw, told, at_the_end=True)


def _pruned_to(line: Line) -> int:
    """Return the number of the last line that a line says was deleted; 0 if it says no such thing."""
    last = line.content.get("last") if line.event == "trail.pruned" else None
    return last if isinstance(last, int) else 0


class _Damage:
    """Bytes between two lines that are none, until a line tells of them."""

    def __init__(self, raw: _Raw, why: str) -> None:
        self.raw, self.why, self.size, self._digest = raw, why, 0, hashlib.sha256()

    def add(self, data: bytes) -> None:
        self.size += len(data)
        self._digest.update(data)

    def told_by(self, line: Line) -> bool:
        told = line.content.get("damaged_bytes"), line.content.get("damaged_sha256")
        return told == (self.size, self._digest.hexdigest())
