"""Models elsewhere: to and from a real S3 server and a real WebDAV server, over TLS and with a password there."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from toy import QUIET, model_folder

from config import load_settings
from first_start import prepare
from import_models import import_model, import_source, main
from models import remote
from models.__main__ import main as models_main
from models.errors import RefusedArchive, TransferFailed
from models.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = QUIET
ROOT = Path(__file__).parent.parent
PASSWORD = "correct-horse"


@contextmanager
def running(log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end of the block."""
    with log.open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(url: str, certificate: Path | None = None) -> None:
    """Wait until anything answers."""
    trusted = ssl.create_default_context(cafile=certificate)
    for _ in range(300):
        try:
            httpx.get(url, verify=trusted, timeout=5)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"{url} does not answer")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run an S3 server with the bucket `models`; give the variables that lead there."""
    address = f"http://127.0.0.1:{free_port()}"
    command = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", address.rsplit(":", 1)[1])
    with running(tmp_path_factory.mktemp("s3") / "log", *command):
        wait_for(address)
        httpx.put(f"{address}/models", headers={"Host": "localhost"}).raise_for_status()
        yield {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "ada",
            "AWS_SECRET_ACCESS_KEY": PASSWORD,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@pytest.fixture(scope="module")
def webdav(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run a WebDAV server over TLS that lets in ada alone; give the variables that lead there, and its folder."""
    folder = tmp_path_factory.mktemp("webdav")
    settings = load_settings({"LASTGANG_HOME": str(folder / "home"), "LASTGANG_FIRST_PASSWORD": PASSWORD})
    prepare(settings)
    (folder / "share").mkdir()
    port = free_port()
    told = {
        "host": "127.0.0.1",
        "port": port,
        "provider_mapping": {"/": str(folder / "share")},
        "simple_dc": {"user_mapping": {"*": {"ada": {"password": PASSWORD}}}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "ssl_certificate": str(settings.certificate),
        "ssl_private_key": str(settings.private_key),
    }
    (folder / "wsgidav.json").write_text(json.dumps(told))
    command = (sys.executable, "-m", "wsgidav.server.server_cli", "-c", str(folder / "wsgidav.json"))
    with running(folder / "log", *command):
        wait_for(f"https://127.0.0.1:{port}/", settings.certificate)
        yield {
            "FSSPEC_WEBDAV_BASE_URL": f"https://ada:{PASSWORD}@127.0.0.1:{port}",
            "SSL_CERT_FILE": str(settings.certificate),
            "SHARE": str(folder / "share"),
        }


@pytest.fixture
def there(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lead to the server whose fixture is asked for, as the environment would; give where models go."""
    from fsspec.config import conf  # noqa: PLC0415

    variables: dict[str, str] = request.getfixturevalue(request.param)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if request.param == "webdav":
        monkeypatch.setitem(conf, "webdav", {"base_url": variables["FSSPEC_WEBDAV_BASE_URL"]})
        return "webdav://team/models/"
    return "s3://models/team/"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Give a store with one toy model, which both commands use."""
    store = Store(tmp_path / "home" / "models")
    import_model(model_folder(tmp_path / "mine"), store=store)
    monkeypatch.setattr("import_models.Store", lambda: store)
    monkeypatch.setattr("models.__main__.Store", lambda: store)
    return store


BOTH = pytest.mark.parametrize("there", ["s3", "webdav"], indirect=True)


@BOTH
def test_model_goes_there_and_comes_back(
    there: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line that an export ends with, typed elsewhere, brings the same version, digest and all."""
    assert models_main(["export", "toy", there]) == 0
    told = capsys.readouterr().out
    words = told.split("python import_models.py ")[1].split()
    assert words[0].startswith(f"{there}toy-")
    version = store.newest()["toy"].version
    shutil.rmtree(store.directory)
    assert main(words) == 0
    assert f"toy:{version} imported ({words[0]})" in capsys.readouterr().out
    assert main([words[0], "--sha256", "0" * 64]) == 1
    assert f"refused: {words[0]}: has the SHA-256 {words[2]}" in capsys.readouterr().err
    assert models_main(["export", "toy", f"{there}another.bentomodel"]) == 0
    digest = remote.fetch(f"{there}another.bentomodel", tmp_path / "another")
    assert f"{there}another.bentomodel --sha256 {digest}" in capsys.readouterr().out


@BOTH
def test_what_lies_there_is_not_trusted(
    there: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is no archive, or too large, is refused; what is not there is said so."""
    (tmp_path / "rubbish").write_bytes(b"x" * 10_000)
    remote.send(tmp_path / "rubbish", f"{there}rubbish.bentomodel")
    with pytest.raises(RefusedArchive, match="no tar archive"):
        import_source(f"{there}rubbish.bentomodel", store=store)
    monkeypatch.setattr(remote, "LARGEST_ARCHIVE", 9_999)
    with pytest.raises(RefusedArchive, match="has 10000 bytes; at most 9999"):
        import_source(f"{there}rubbish.bentomodel", store=store)
    with pytest.raises(TransferFailed, match="is not there"):
        import_source(f"{there}nothing.bentomodel", store=store)


@BOTH
def test_want_of_room_is_not_blamed_on_the_server(there: str, tmp_path: Path) -> None:
    """Where the copy cannot grow, the words are about this machine."""
    (tmp_path / "large").write_bytes(bytes(1 << 22))
    remote.send(tmp_path / "large", f"{there}large.bentomodel")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(TransferFailed, match=r"no room here.*TMPDIR"):
            remote.fetch(f"{there}large.bentomodel", tmp_path / "copy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_size_that_is_not_told_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing, or lies, sends no more than the bound."""
    monkeypatch.setattr(remote, "LARGEST_ARCHIVE", 9_999)
    (tmp_path / "rubbish").write_bytes(b"x" * 10_000)
    for size in (None, 5):
        with (
            (tmp_path / "rubbish").open("rb") as source,
            (tmp_path / "copy").open("wb") as target,
            pytest.raises(RefusedArchive, match="more than 9999"),
        ):
            remote.copy(source, target, size, "there")


ADDRESSES = [
    ("s3://ada:hunter2@models/toy.bentomodel", "holds credentials"),
    ("webdav://ada:hunter2@host/toy.bentomodel", "holds credentials"),
    ("s3://models/toy.bentomodel?X-Amz-Signature=hunter2", "holds credentials or a query"),
    ("https://ada:hunter2@host/toy.bentomodel?token=hunter2", "is neither s3:// nor webdav://"),
    ("file:///etc/passwd", "is neither"),
    ("s3://", "names no file"),
    ("s3://models", "names no file"),
    ("s3://models/../toy.bentomodel", "names no file"),
]


@pytest.mark.parametrize("address, reason", ADDRESSES)
def test_addresses_that_are_refused(
    address: str, reason: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address with a password is refused and the password never repeated, whichever command was asked."""
    assert store.entries()
    assert main([address]) == 1
    assert models_main(["export", "toy", address]) == 1
    told = capsys.readouterr().err
    assert told.count(reason) == 2
    assert "hunter2" not in told


def test_who_may_not_come_in_learns_no_password(
    webdav: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A wrong password, an unknown host and a plain port are told with where to set them, not with what was set."""
    from fsspec.config import conf  # noqa: PLC0415

    monkeypatch.setenv("SSL_CERT_FILE", webdav["SSL_CERT_FILE"])
    address = webdav["FSSPEC_WEBDAV_BASE_URL"].split("@")[1]
    for base in (f"https://ada:hunter2@{address}", f"http://ada:hunter2@{address}", "https://ada:hunter2@127.0.0.1:9"):
        monkeypatch.setitem(conf, "webdav", {"base_url": base})
        with pytest.raises(TransferFailed, match="FSSPEC_WEBDAV_BASE_URL") as refusal:
            remote.fetch("webdav://toy.bentomodel", tmp_path / "toy")
        assert "hunter2" not in str(refusal.value)


def test_s3_that_is_not_there_is_given_up(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a server that refuses nor missing keys keep the command waiting or end in a traceback."""
    for name, value in (s3 | {"AWS_ENDPOINT_URL": "http://ada:hunter2@127.0.0.1:9"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TransferFailed, match="AWS_ENDPOINT_URL") as refusal:
        remote.fetch("s3://models/toy.bentomodel", tmp_path / "toy")
    assert "hunter2" not in str(refusal.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3["AWS_ENDPOINT_URL"])
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(TransferFailed, match="AWS_PROFILE"):
        remote.fetch("s3://models/toy.bentomodel", tmp_path / "toy")


def test_webdav_host_is_asked_over_https(
    webdav: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a base address the host in the address is meant, over HTTPS, with the password of fsspec's own file."""
    from fsspec.config import conf  # noqa: PLC0415

    monkeypatch.setenv("SSL_CERT_FILE", webdav["SSL_CERT_FILE"])
    monkeypatch.setitem(conf, "webdav", {"auth": ["ada", PASSWORD]})
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)
    address = f"webdav://{webdav['FSSPEC_WEBDAV_BASE_URL'].split('@')[1]}/own/file.bentomodel"
    remote.send(tmp_path / "file", address)
    assert Path(webdav["SHARE"], "own", "file.bentomodel").read_bytes() == b"x" * 3_000_000
    assert remote.fetch(address, tmp_path / "copy") == hashlib.sha256(b"x" * 3_000_000).hexdigest()


@pytest.mark.parametrize("scheme, package", [("s3", "s3fs"), ("webdav", "webdav4[fsspec]")])
def test_missing_package_is_named(scheme: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who lacks the package reads what to install."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setitem(sys.modules, "webdav4.fsspec", None)
    with pytest.raises(TransferFailed) as refusal:
        remote.fetch(f"{scheme}://models/toy.bentomodel", tmp_path / "toy")
    assert f"pip install '{package}'" in str(refusal.value)


def test_command_reads_the_environment_and_shows_how_far_it_is(s3: dict[str, str], store: Store) -> None:
    """In a terminal there is a progress bar; elsewhere nothing but the line that counts."""
    environment = os.environ | s3 | {"BENTOML_HOME": str(store.directory.parent), "TERM": "xterm"}
    command = [sys.executable, "-m", "models", "export", "toy", "s3://models/"]
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=theirs, check=True)
    assert b"%|" in os.read(ours, 65_536)
    os.close(theirs)
    os.close(ours)
    assert done.stdout.startswith(b"toy:")
    quiet = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    assert (quiet.stdout, quiet.stderr) == (done.stdout, b"")
