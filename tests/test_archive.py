"""Archives of models: BentoML's and ours are the same, and nothing in one decides where or how much is written."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import resource
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from toy import QUIET, keras_folder, keras_model, model_folder

from import_models import import_model, import_source, main
from models import archive
from models.__main__ import parse, run
from models.archive import pack, unpack
from models.catalogue import Catalogue
from models.errors import ModelError, RefusedArchive, TransferFailed
from models.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = QUIET


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store where BentoML would look for it: in its home folder's `models`."""
    return Store(tmp_path / "home" / "models")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an archive of a toy model, with its version in its name."""
    folder = tmp_path_factory.mktemp("exported")
    store = Store(folder / "models")
    import_model(model_folder(folder / "mine"), store=store)
    run(parse(["export", "toy", f"{folder}/"]), store, "ada")
    (file,) = folder.glob("*.bentomodel")
    return file


def answers(store: Store, name: str = "toy") -> list[list[float]]:
    catalogue = Catalogue(store)
    catalogue.load()
    answer: list[list[float]] = catalogue.get(name).runner.predict(np.ones((1, 672, 7), np.float32)).tolist()
    return answer


def bentoml(store: Store, *words: str) -> None:
    environment = os.environ | {"BENTOML_HOME": str(store.directory.parent), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "models", *words]
    subprocess.run(command, env=environment, check=True, capture_output=True)


def test_archive_comes_back_as_the_same_version(exported: Path, store: Store) -> None:
    """What was exported has the version that it had, is labelled, answers, and is imported once."""
    done = import_source(str(exported), store=store)
    assert exported.name == f"{done.tag.replace(':', '-')}.bentomodel"
    assert (done.new, done.labels) == (True, ("stable",))
    assert answers(store) == [[1.25] * 8]
    assert not import_source(str(exported), store=store).new


def test_bentoml_reads_what_is_exported_and_writes_what_is_imported(exported: Path, store: Store) -> None:
    """`bentoml models import` takes our archive, and we take the one of `bentoml models export`."""
    bentoml(store, "import", str(exported))
    (entry,) = store.entries()
    theirs = store.directory.parent / "theirs.bentomodel"
    bentoml(store, "export", entry.tag, str(theirs))
    elsewhere = Store(store.directory.parent / "elsewhere")
    assert import_source(str(theirs), store=elsewhere).tag == entry.tag
    assert answers(elsewhere) == [[1.25] * 8]


def test_same_version_gives_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    """A SHA-256 that was noted once stays true."""
    entry = Store(exported.parent / "models").newest()["toy"]
    pack(entry.directory, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == exported.read_bytes()


def test_only_the_archive_that_was_meant_comes_in(
    exported: Path, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --sha256 another file is refused before it is unpacked; a digest that is none is not taken for one."""
    monkeypatch.setattr("import_models.Store", lambda: store)
    assert main([str(exported), "--sha256", "0" * 64]) == 1
    assert "has the SHA-256" in capsys.readouterr().err
    assert main([str(exported), "--sha256", hashlib.sha256(exported.read_bytes()).hexdigest().upper()]) == 0
    with pytest.raises(SystemExit):
        main([str(exported), "--sha256", "abc"])
    with pytest.raises(TransferFailed, match="is no archive"):
        import_source(str(exported.parent / "mine"), sha256="0" * 64, store=store)


@pytest.mark.parametrize("suffix, mode", [("tar", "w"), ("tar.gz", "w:gz"), ("tgz", "w:gz"), ("tar.bz2", "w:bz2")])
def test_every_kind_of_tar_is_read(suffix: str, mode: str, tmp_path: Path, store: Store) -> None:
    """Whatever `bentoml models export` may write but ZIP, and what people pack themselves."""
    folder = model_folder(tmp_path / "mine")
    with tarfile.open(tmp_path / f"toy.{suffix}", mode) as tar:  # type: ignore[call-overload]
        tar.add(folder, ".")
    assert import_source(str(tmp_path / f"toy.{suffix}"), store=store).new


def tar_of(*members: tuple[str, bytes, bytes], link: str = "") -> bytes:
    """Make a tar archive of (name, type, content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(content), link
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def file(name: str, content: bytes = b"x") -> tuple[str, bytes, bytes]:
    return name, tarfile.REGTYPE, content


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as found:
        found.writestr("card.json", "{}")
    return buffer.getvalue()


def says_it_is_large(kind: bytes, size: int) -> bytes:
    """Make the header of a member that says it has `size` bytes, and nothing behind it."""
    member = tarfile.TarInfo("card.json")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


def sparse() -> bytes:
    """Make a file of a terabyte that is a hole."""
    headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 40)}
    member = tarfile.TarInfo("card.json")
    member.pax_headers, member.size = headers, 512
    return member.tobuf(tarfile.PAX_FORMAT) + b"0\n".ljust(512, b"\0") + bytes(1024)


def chain() -> bytes:
    """Make a thousand global headers on end, which tarfile reads by calling itself."""
    header = tarfile.TarInfo.create_pax_global_header({"comment": "x"})
    return header * 1_000 + tar_of(file("card.json"))


def xz_that_wants_memory() -> bytes:
    """Make an xz whose header asks for a dictionary of 1.5 GiB."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    made = bytearray(lzma.compress(tar_of(file("card.json")), filters=filters))
    assert made[16] == 16  # the block header's dictionary size, 2^20
    made[16] = 37
    header = bytes(made[12:20])
    return bytes(made[:20]) + struct.pack("<I", zlib.crc32(header)) + bytes(made[24:])


REFUSED = [
    pytest.param(tar_of(file("../card.json")), "may lead out", id="parent"),
    pytest.param(tar_of(file("a/../../card.json")), "may lead out", id="parent inside"),
    pytest.param(tar_of(file("/etc/cron.d/x")), "may lead out", id="absolute"),
    pytest.param(tar_of(file("a\\..\\card.json")), "may lead out", id="backslash"),
    pytest.param(tar_of(file("a\x1b[2Jb")), "may lead out", id="control characters"),
    pytest.param(tar_of(file("a" * 201)), "201 characters", id="long path"),
    pytest.param(tar_of(("a", tarfile.SYMTYPE, b""), link="/etc/passwd"), "is a link", id="symbolic link"),
    pytest.param(tar_of(("a", tarfile.LNKTYPE, b""), link="/etc/passwd"), "is a link", id="hard link"),
    pytest.param(tar_of(("a", tarfile.FIFOTYPE, b"")), "no plain file", id="pipe"),
    pytest.param(tar_of(("a", tarfile.CHRTYPE, b"")), "no plain file", id="device"),
    pytest.param(tar_of(file("card.json"), file("./card.json")), "twice", id="twice"),
    pytest.param(tar_of(file("a"), file("a/b")), "damaged", id="file as folder"),
    pytest.param(tar_of(*(file(str(n)) for n in range(1_001))), "more than 1000 members", id="many members"),
    pytest.param(tar_of(), "holds nothing", id="empty"),
    pytest.param(b"", "damaged", id="no bytes"),
    pytest.param(b"not an archive" * 100, "damaged", id="no archive"),
    pytest.param(tar_of(file("card.json", b"x" * 5_000))[:3_000], "damaged", id="cut tar"),
    pytest.param(lzma.compress(tar_of(file("card.json", os.urandom(5_000))))[:2_000], "ends too early", id="cut xz"),
    pytest.param(gzip.compress(tar_of(file("card.json")))[:60], "damaged", id="cut gzip"),
    pytest.param(b"BZh9" + b"x" * 100, "damaged", id="broken bzip2"),
    pytest.param(zipped(), "is a ZIP archive", id="ZIP"),
    pytest.param(says_it_is_large(tarfile.REGTYPE, 1 << 40), "unpacks to more", id="terabyte"),
    pytest.param(says_it_is_large(tarfile.GNUTYPE_LONGNAME, 1 << 33), "header of more", id="endless name"),
    pytest.param(says_it_is_large(tarfile.XHDTYPE, 1 << 33), "header of more", id="endless header"),
    pytest.param(chain(), "damaged", id="chain of headers"),
    pytest.param(sparse(), "no plain file|unpacks to more", id="hole"),
    pytest.param(xz_that_wants_memory(), "[Mm]emory", id="xz that wants memory"),
]


@pytest.mark.parametrize("content, reason", REFUSED)
def test_archives_that_are_refused(content: bytes, reason: str, tmp_path: Path, store: Store) -> None:
    """Whatever is wrong with an archive is said with its name; nothing is stored and nothing lies elsewhere."""
    path = tmp_path / "toy.bentomodel"
    path.write_bytes(content)
    with pytest.raises(RefusedArchive, match=reason) as refusal:
        import_source(str(path), store=store)
    assert refusal.value.source == str(path)
    assert not store.entries()
    assert [found.name for found in tmp_path.iterdir()] == ["toy.bentomodel"]


def padded(count: int) -> bytes:
    """Make files that hold nothing, each behind a header of 60 kB."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in range(count):
            member = tarfile.TarInfo(f"{number}")
            member.pax_headers = {"comment": "x" * 60_000}
            tar.addfile(member)
    return buffer.getvalue()


BOMBS = {"files": tar_of(file("a", bytes(700_000)), file("b", bytes(700_000))), "headers": padded(30)}


@pytest.mark.parametrize("compress", [lzma.compress, gzip.compress], ids=["xz", "gzip"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_bomb_is_stopped_at_the_bound(
    bomb: str, compress: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes out is counted, whether it is files or the headers between them."""
    (tmp_path / "bomb").write_bytes(compress(BOMBS[bomb]))
    unpack(tmp_path / "bomb", tmp_path / "within", "bomb")
    monkeypatch.setattr(archive, "LARGEST_UNPACKED", 1 << 20)
    with pytest.raises(RefusedArchive, match="unpacks to more than 1048576 bytes"):
        unpack(tmp_path / "bomb", tmp_path / "beyond", "bomb")


def test_want_of_room_is_not_blamed_on_the_archive(tmp_path: Path) -> None:
    """Where a file cannot grow, the words are about this machine."""
    (tmp_path / "large").write_bytes(lzma.compress(tar_of(file("card.json", bytes(1 << 22)))))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(TransferFailed, match=r"no room here.*TMPDIR"):
            unpack(tmp_path / "large", tmp_path / "out", "large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def lambda_layer(folder: Path) -> Path:
    import keras  # noqa: PLC0415

    return keras_folder(folder, keras_model([keras.layers.Lambda(lambda x: x), keras.layers.Flatten()]))


def changed(folder: Path) -> Path:
    with (model_folder(folder) / "saved_model" / "saved_model.pb").open("ab") as weights:
        weights.write(b"\0")
    return folder


def pickled(folder: Path) -> Path:
    (model_folder(folder) / "saved_model" / "scaler.pkl").touch()
    return folder


def bare(folder: Path) -> Path:
    (model_folder(folder) / "card.json").unlink()
    return folder


CHECKS = [
    (lambda_layer, "Lambda layer"),
    (changed, "differs from its SHA-256"),
    (pickled, "scaler.pkl: .pkl files are never loaded"),
    (bare, "there is no card"),
]


@pytest.mark.parametrize("make, reason", CHECKS)
def test_an_archive_passes_the_same_checks(
    make: Callable[[Path], Path], reason: str, tmp_path: Path, store: Store
) -> None:
    """Card, digests, pickles and layers are judged as in a folder, and told without the path of a private copy."""
    pack(make(tmp_path / "mine"), tmp_path / "toy.bentomodel")
    with pytest.raises(RefusedArchive, match=reason) as refusal:
        import_source(str(tmp_path / "toy.bentomodel"), store=store)
    assert "lastgang-import-" not in str(refusal.value)
    assert not store.entries()


def test_damaged_version_is_not_exported(tmp_path: Path, store: Store) -> None:
    """An export is checked first, and writes nothing if a digest is wrong."""
    import_model(model_folder(tmp_path / "mine"), store=store)
    (store.newest()["toy"].directory / "saved_model" / "fingerprint.pb").write_bytes(b"x")
    with pytest.raises(ModelError, match="differs from its SHA-256"):
        run(parse(["export", "toy", "stable", str(tmp_path / "out")]), store, "ada")
    assert not list(tmp_path.glob("*.bentomodel"))


def test_archive_that_is_not_there(tmp_path: Path, store: Store) -> None:
    """A path that cannot be read is told with why."""
    with pytest.raises(TransferFailed, match="No such file"):
        import_source(str(tmp_path / "toy.bentomodel"), store=store)
    (tmp_path / "folder.bentomodel").mkdir()
    with pytest.raises(TransferFailed, match="Is a directory"):
        import_source(str(tmp_path / "folder.bentomodel"), store=store)
