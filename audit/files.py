"""The files of the audit log in their folder, the newest line in them, and the head that remembers it.

A file is named by the number of its first line and the day: ``000000000123-20261124.jsonl``. Beside them lies ``head``,
which every writer locks: it remembers the place where the log ended when it was last written to.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audit.errors import UnreadableTrail
from audit.lines import GENESIS, LONGEST, PLAIN, parse

if TYPE_CHECKING:
    from pathlib import Path

    from audit.lines import Line

HEAD = "head"
SUFFIX = ".jsonl"
HEAD_BYTES = 192  # always the same, within one sector: it is written as a whole or not at all
_NAME = re.compile(r"(\d{12})-(\d{8})\.jsonl", re.ASCII)
_HEAD = re.compile(r"(\d{12}-\d{8}\.jsonl) (\d{1,15}) (\d{1,15}) ([0-9a-f]{64}) (-|[0-9a-f]{16}) *\n", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the log ends.

    Attributes:
        name: of the newest file; empty if there is none.
        end: its size in bytes.
        seq: the number of the last line; 0 if there is none.
        hash: the last line's.
        key: the id of the key of that file, or `PLAIN`.
    """

    name: str = ""
    end: int = 0
    seq: int = 0
    hash: str = GENESIS
    key: str = PLAIN

    @property
    def day(self) -> str:
        """The day of the newest file, UTC, as in 20261124."""
        return self.name[13:21]

    def written(self) -> bytes:
        """Return the head's content."""
        text = f"{self.name} {self.end} {self.seq} {self.hash} {self.key or '-'}"
        return text.encode().ljust(HEAD_BYTES - 1) + b"\n"


def read_place(head: bytes) -> Place | None:
    """Return what a head's content says; None if it says nothing."""
    found = _HEAD.fullmatch(head.decode("latin-1"))
    if found is None:
        return None
    name, end, seq, last, key = found.groups()
    return Place(name, int(end), int(seq), last, PLAIN if key == "-" else key)


def name_of(seq: int, day: str) -> str:
    """Return the name of the file whose first line has this number."""
    return f"{seq:012d}-{day}{SUFFIX}"


def day_of(name: str) -> str:
    """Return the day in a file's name."""
    return name[13:21]


def listed(folder: Path) -> list[Path]:
    """Return the files of the log, the oldest first.

    Raises:
        UnreadableTrail: the folder cannot be read.
    """
    try:
        names = [name for name in os.listdir(folder) if _NAME.fullmatch(name)]  # noqa: PTH208  # names are compared
    except OSError as error:
        raise UnreadableTrail(folder, error.strerror or str(error)) from None
    return [folder / name for name in sorted(names)]


@dataclass(frozen=True)
class Tail:
    """The end of a file: its last whole line, where that ends, and the bytes after it, which are none."""

    line: Line | None
    end: int
    rest: bytes


def read_tail(path: Path) -> Tail:
    """Find the last line that has the right form; what lies behind it is damage.

    A file without damage is read for one line only.
    """
    size = path.stat().st_size
    step = 4 * LONGEST
    with path.open("rb") as file:
        start = size
        while start > 0:
            start = max(0, start - step)
            file.seek(start)
            block = file.read(size - start)
            found = _last_line(block, whole=start == 0)
            if found is not None:
                line, end = found
                return Tail(line, start + end, block[end:])
            step *= 4
        file.seek(0)
        return Tail(None, 0, file.read(size))


def _last_line(block: bytes, *, whole: bool) -> tuple[Line, int] | None:
    """Return the last line in a block and where it ends; a block that is not the whole may begin with half a line."""
    end = block.rfind(b"\n") + 1
    while end > 0:
        begin = block.rfind(b"\n", 0, end - 1) + 1
        if begin == 0 and not whole:
            return None
        line = parse(block[begin:end])
        if line is not None:
            return line, end
        end = begin
    return None
