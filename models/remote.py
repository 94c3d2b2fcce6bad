"""Archives of models elsewhere: on S3 (MinIO and the like) and on WebDAV.

In: `s3://bucket/path` or `webdav://...`, and a local file to fill or to send. Where the server is and who asks it
is told in the ways of the libraries: `AWS_*` variables and files; `FSSPEC_WEBDAV_BASE_URL` or fsspec's
configuration file, then `webdav://` names a path below that address, or else a host, asked over HTTPS. Refused:
credentials in an address, because a command line is read by everyone on the machine, and more bytes than a model
may have. Every error is told without credentials.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from models.archive import COPIED, LARGEST_ARCHIVE, MORE_ROOM, NO_ROOM
from models.errors import RefusedArchive, TransferFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGES = {"s3": "s3fs", "webdav": "webdav4[fsspec]"}
CREDENTIALS = {
    "s3": "AWS_ENDPOINT_URL, and AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "webdav": "FSSPEC_WEBDAV_BASE_URL, or base_url and auth in ~/.config/fsspec/webdav.json",
}
CONNECT_SECONDS, READ_SECONDS = 10, 60
BLOCK = 1 << 23  # bytes asked for at a time
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SECRETS = re.compile(r"(://)[^/\s@]*@|\?[^\s'\")>]*")


class Place(NamedTuple):
    """A place that was asked for: `s3` or `webdav`, and what follows `://`."""

    scheme: str
    rest: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.rest}"


def is_remote(source: str) -> bool:
    """Tell whether a source is an address rather than a path."""
    return _SCHEME.match(source) is not None


def hidden(text: str) -> str:
    """Give a text without the credentials and queries of the addresses in it."""
    return _SECRETS.sub(lambda found: "://***@" if found[1] else "", text)


def place(address: str) -> Place:
    """Understand an address.

    Raises:
        TransferFailed: for another scheme, for credentials or a query in it, and if it names nothing.
    """
    scheme, _, rest = address.partition("://")
    scheme, shown = scheme.lower(), hidden(address)
    if scheme not in PACKAGES:
        raise TransferFailed(shown, f"is neither {' nor '.join(f'{s}://' for s in PACKAGES)}; fetch the file yourself")
    if "@" in rest.split("/")[0] or "?" in rest:
        raise TransferFailed(
            shown, f"holds credentials or a query, which others on this machine could read; set {CREDENTIALS[scheme]}"
        )
    parts = rest.partition("/")[::2] if scheme == "s3" else (rest,)
    if not all(parts) or not rest.isprintable() or ".." in rest.split("/"):
        raise TransferFailed(shown, f"names no file; write {scheme}://bucket/path/model.bentomodel")
    return Place(scheme, rest)


def fetch(address: str, target: Path) -> str:
    """Copy a remote file into a local one.

    Returns:
        Its SHA-256, in hexadecimal.

    Raises:
        TransferFailed: if it cannot be had.
        RefusedArchive: if it is larger than a model may be.
    """
    asked = place(address)
    with _told_of(asked), _file_system(asked) as (files, path):
        size = files.info(path).get("size")
        with files.open(path, "rb", block_size=BLOCK) as remote, target.open("wb") as local:
            return copy(remote, local, size, str(asked))


def copy(source: Any, target: Any, size: int | None, shown: str) -> str:
    """Copy an open file, at most `LARGEST_ARCHIVE` bytes of it, with a progress bar where somebody watches.

    Returns:
        Its SHA-256, in hexadecimal.

    Raises:
        RefusedArchive: if it says that it is larger, or is.
    """
    if size is not None and size > LARGEST_ARCHIVE:
        raise RefusedArchive(shown, f"has {size} bytes; at most {LARGEST_ARCHIVE} are taken")
    digest, count = hashlib.sha256(), 0
    with _progress(size) as bar:
        while content := source.read(COPIED):
            count += len(content)
            if count > LARGEST_ARCHIVE:
                raise RefusedArchive(shown, f"has more than {LARGEST_ARCHIVE} bytes")
            digest.update(content)
            target.write(content)
            bar.update(len(content))
    return digest.hexdigest()


def send(file: Path, address: str) -> None:
    """Copy a local file to a remote place, and replace what is there; missing WebDAV folders are made.

    Raises:
        TransferFailed: if it cannot be put there.
    """
    asked = place(address)
    with _told_of(asked), _file_system(asked) as (files, path), _progress(file.stat().st_size) as bar:
        from fsspec.callbacks import Callback  # noqa: PLC0415  # with the packages that not everybody has

        class Shown(Callback):  # type: ignore[misc]  # fsspec has no types
            def relative_update(self, inc: int = 1) -> None:
                bar.update(inc)

        files.put_file(str(file), path, callback=Shown())


def _progress(size: int | None) -> Any:
    from tqdm import tqdm  # noqa: PLC0415  # only where something is copied

    return tqdm(total=size, unit="B", unit_scale=True, unit_divisor=1024, leave=False, disable=None)


@contextmanager
def _file_system(asked: Place) -> Iterator[tuple[Any, str]]:
    """Open the file system of a place; give it and the path in it."""
    try:
        opened = _s3() if asked.scheme == "s3" else _webdav(asked)
    except ImportError:
        package = PACKAGES[asked.scheme]
        raise TransferFailed(str(asked), f"needs a package that is not here: pip install '{package}'") from None
    files, path = opened[0], opened[1] or asked.rest
    try:
        yield files, path
    finally:
        if asked.scheme == "s3":
            files.close_session(files.loop, files.s3)
        else:
            files.client.http.close()


def _s3() -> tuple[Any, str | None]:
    import s3fs  # noqa: PLC0415  # an extra

    bounds = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS, "retries": {"max_attempts": 2}}
    files = s3fs.S3FileSystem(config_kwargs=bounds, skip_instance_cache=True, use_listings_cache=False)
    files.connect()
    return files, None


def _webdav(asked: Place) -> tuple[Any, str | None]:
    import httpx  # noqa: PLC0415  # only here
    from fsspec.config import conf  # noqa: PLC0415  # an extra
    from webdav4.fsspec import WebdavFileSystem  # noqa: PLC0415

    told = conf.get("webdav", {})
    host, _, path = asked.rest.partition("/")
    timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    auth = tuple(told["auth"]) if isinstance(told.get("auth"), list) else told.get("auth")
    base = told.get("base_url")
    files = WebdavFileSystem(base_url=base or f"https://{host}", auth=auth, timeout=timeout, skip_instance_cache=True)
    return files, None if base else path


@contextmanager
def _told_of(asked: Place) -> Iterator[None]:
    """Turn what a library raises into one sentence without credentials."""
    try:
        yield
    except (TransferFailed, RefusedArchive):
        raise
    except FileNotFoundError:
        raise TransferFailed(str(asked), "is not there; look at the bucket or folder, and at the name") from None
    except Exception as error:  # noqa: BLE001  # three libraries, each with a tree of its own
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise TransferFailed(str(asked), f"finds no room here ({error.strerror}); {MORE_ROOM}") from None
        reason = hidden(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        raise TransferFailed(
            str(asked),
            f"cannot be reached or does not let you in ({reason}); {CREDENTIALS[asked.scheme]} say where and who",
        ) from None
