"""A model as one file: the archive that `bentoml models export` writes and `bentoml models import` reads.

In and out: a tar archive (`.bentomodel` is one compressed with xz) of a model folder with BentoML's `model.yaml`
beside the card. An archive may come from anyone, so nothing in it decides where a file is written, how many there
are or how much room they take: members that are not plain files, paths that leave the folder or repeat, and
whatever passes the limits below are refused before they are written. What the files hold is not judged here.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Self

from models.errors import RefusedArchive, TransferFailed
from models.weights import BENTO_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

EXTENSION = ".bentomodel"
SUFFIXES = frozenset({EXTENSION, ".tar", ".tgz", ".gz", ".xz", ".bz2"})
LARGEST_ARCHIVE = 1 << 30  # bytes
LARGEST_UNPACKED = 1 << 31  # bytes
MOST_MEMBERS = 1_000
LONGEST_PATH = 200  # characters
LARGEST_HEADER = 1 << 16  # bytes of a tar member's extended header, which tarfile reads into memory
XZ_MEMORY = 1 << 27  # bytes; xz -9 needs 65 MiB, and an archive may ask for gigabytes
COPIED = 1 << 20  # bytes at a time
NO_ROOM, MORE_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG}), "set TMPDIR to a folder with more"
XZ, GZIP, BZIP2, ZIP = b"\xfd7zXZ\0", b"\x1f\x8b", b"BZh", b"PK"


def pack(folder: Path, archive: Path) -> None:
    """Write a stored model folder as a `.bentomodel`; the same folder always gives the same bytes."""
    with (
        lzma.open(archive, "wb") as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = tarfile.TarInfo(f"./{file.relative_to(folder).as_posix()}")
            member.size, member.mode = file.stat().st_size, 0o644
            with file.open("rb") as content:
                tar.addfile(member, content)


def unpack(archive: Path, folder: Path, source: str) -> None:
    """Write the members of an archive below a new folder, all but BentoML's own `model.yaml`.

    Args:
        archive: the file.
        folder: where to; it must not exist.
        source: what errors call the archive.

    Raises:
        RefusedArchive: if it is no archive of these kinds, is damaged, or holds what may not be there.
        TransferFailed: if there is no room for it.
    """
    folder.mkdir()
    try:
        with archive.open("rb") as file, _uncompressed(file, source) as stream:
            bounded = io.BufferedReader(_Bounded(stream, source), COPIED)
            with tarfile.open(fileobj=bounded, mode="r|", tarinfo=_Member) as tar:
                for member, path in _checked(tar, source):
                    _write(tar, member, folder / path)
    except _HeaderTooLarge:
        raise RefusedArchive(source, f"has a header of more than {LARGEST_HEADER} bytes") from None
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, ValueError, RecursionError, OSError) as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise TransferFailed(source, f"finds no room here ({error.strerror}); {MORE_ROOM}") from None
        raise RefusedArchive(source, f"is damaged or no tar archive ({error}); export it anew") from None


def _checked(tar: tarfile.TarFile, source: str) -> Iterator[tuple[tarfile.TarInfo, PurePosixPath]]:
    """Give the plain files of an archive and where they belong, each looked at before the next is read."""
    seen: set[PurePosixPath] = set()
    size = 0
    for count, member in enumerate(tar, 1):
        if count > MOST_MEMBERS:
            raise RefusedArchive(source, f"holds more than {MOST_MEMBERS} members; a model has a dozen")
        path = PurePosixPath(member.name)
        _check_path(member.name, path, source)
        if member.isdir():
            continue
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse:
            raise RefusedArchive(source, f"holds {member.name!r}, which is a link or no plain file")
        if path in seen or not path.parts:
            raise RefusedArchive(source, f"holds {member.name!r} twice, or as a file without a name")
        if (size := size + member.size) > LARGEST_UNPACKED:
            raise RefusedArchive(source, f"unpacks to more than {LARGEST_UNPACKED} bytes; use a smaller model")
        seen.add(path)
        if path != PurePosixPath(BENTO_FILE):
            yield member, path
    if not seen:
        raise RefusedArchive(source, "holds nothing; export it anew")


def _check_path(name: str, path: PurePosixPath, source: str) -> None:
    if len(name) > LONGEST_PATH:
        raise RefusedArchive(source, f"holds a path of {len(name)} characters; at most {LONGEST_PATH} are taken")
    if path.is_absolute() or ".." in path.parts or "\\" in name or not name.isprintable():
        raise RefusedArchive(source, f"holds the path {name!r}, which may lead out of the model's folder")


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    content = tar.extractfile(member)
    if content is None:  # pragma: no cover  # only for members that were refused before
        raise tarfile.ReadError(member.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        shutil.copyfileobj(content, file, COPIED)


def _uncompressed(file: IO[bytes], source: str) -> AbstractContextManager[Any]:
    """Open what the first bytes say it is; a name says nothing."""
    start = file.read(len(XZ))
    file.seek(0)
    if start.startswith(ZIP):
        raise RefusedArchive(source, "is a ZIP archive; export the model as .bentomodel, which is BentoML's default")
    if start == XZ:
        return io.BufferedReader(_Xz(file), COPIED)
    if start.startswith(GZIP):
        return gzip.GzipFile(fileobj=file)
    if start.startswith(BZIP2):
        return bz2.BZ2File(file)
    return file


class _HeaderTooLarge(Exception):
    """A member's extended header would fill the memory."""


class _Member(tarfile.TarInfo):
    """A member whose extended headers are bounded: tarfile reads them whole, however long they say they are."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read one header block of 512 bytes."""
        member = super().frombuf(buf, encoding, errors)
        plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
        if not plain and member.size > LARGEST_HEADER:
            raise _HeaderTooLarge
        return member


class _Bounded(io.RawIOBase):
    """A stream that ends in a refusal once more came out of it than a model may have."""

    def __init__(self, stream: IO[bytes], source: str) -> None:
        self._stream, self._source, self._left = stream, source, LARGEST_UNPACKED

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise RefusedArchive(self._source, f"unpacks to more than {LARGEST_UNPACKED} bytes; use a smaller model")
        buffer[: len(content)] = content
        return len(content)


class _Xz(io.RawIOBase):
    """What xz unpacks to, within a bound of memory that the `lzma` module's own file does not know."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._decoder = file, lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = b""
        while not content and not self._decoder.eof:
            fresh = self._file.read(COPIED) if self._decoder.needs_input else b""
            if self._decoder.needs_input and not fresh:
                raise EOFError("it ends too early")
            content = self._decoder.decompress(fresh, len(buffer))
        buffer[: len(content)] = content
        return len(content)
