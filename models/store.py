"""The Bento model store, as far as Lastgang uses it: the only module here that knows BentoML.

In: the folder of a store (BentoML's own by default). Out: the entries that carry Lastgang's label, whatever
else lies there. An entry appears complete or not at all.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from models.weights import BENTO_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

log = logging.getLogger(__name__)
LABEL, VALUE = "lastgang", "model"


@dataclass(frozen=True)
class Entry:
    """One version of one model in the store.

    Attributes:
        name: the model's name, as in `/predict/{name}`.
        version: the first sixteen digits of the SHA-256 of its card, and so of everything in it.
        directory: the model folder.
        created: when it was imported, UTC.
    """

    name: str
    version: str
    directory: Path
    created: datetime

    @property
    def tag(self) -> str:
        """`name:version`, as BentoML writes it."""
        return f"{self.name}:{self.version}"


class Store:
    """A Bento model store in one folder."""

    def __init__(self, directory: Path | None = None) -> None:
        """Open the store in `directory`, or the one that BentoML uses: `BENTOML_HOME`, or a Bento's own."""
        self.directory = bento_store() if directory is None else directory

    def entries(self) -> list[Entry]:
        """List every model of Lastgang, by name and then from the newest to the oldest."""
        found = [self._entry(file.parent) for file in sorted(self.directory.glob("*/*/model.yaml"))]
        newest_first = sorted(filter(None, found), key=lambda e: (e.created, e.version), reverse=True)
        return sorted(newest_first, key=lambda entry: entry.name)

    def newest(self) -> dict[str, Entry]:
        """Give the newest version of every name."""
        return {entry.name: entry for entry in reversed(self.entries())}

    def folder(self, name: str) -> Path:
        """Give the folder that holds the versions of a name, and its labels."""
        return self.directory / name

    def fingerprint(self, beside: str, closely: Iterable[Path] = ()) -> frozenset[tuple[str, int, int, int]]:
        """Give something cheap to compare that changes when an entry comes, goes or is replaced.

        Args:
            beside: the name of a file that lies beside the versions of a name and counts, too.
            closely: folders of which every file counts.
        """
        files = [*self.directory.glob(f"*/*/{BENTO_FILE}"), *self.directory.glob(f"*/{beside}")]
        files += [file for folder in closely for file in folder.rglob("*")]
        return frozenset(filter(None, map(_look, files)))

    @contextmanager
    def creating(self, name: str, version: str, digest: str) -> Iterator[Path]:
        """Give an empty folder to fill; on leaving it becomes `name:version`, on an error nothing stays.

        Whatever lies under this tag already is replaced.
        """
        import bentoml  # noqa: PLC0415  # half a second that reading a card need not pay
        from bentoml._internal.models import ModelStore  # noqa: PLC0415  # the only way to name another store

        # BentoML would report the import over the network, and wait a second where there is none.
        os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
        labels = {LABEL: VALUE, "digest": digest}
        with TemporaryDirectory() as staging:
            store = ModelStore(Path(staging))
            with bentoml.models.create(f"{name}:{version}", labels=labels, _model_store=store) as model:
                yield Path(model.path)
            self._publish(Path(staging, name, version), self.directory / name / version)

    def remove(self, entry: Entry) -> None:
        """Remove one version; a reader sees it whole or not at all."""
        (entry.directory / BENTO_FILE).unlink(missing_ok=True)
        shutil.rmtree(entry.directory, ignore_errors=True)

    def point_latest(self, name: str, version: str) -> None:
        """Let BentoML's `name:latest` be this version, so that `bentoml build` packs what serves."""
        partial = self.folder(name) / f"latest.{os.getpid()}.partial"
        partial.write_text(version, encoding="utf-8")
        partial.replace(self.folder(name) / "latest")

    def _publish(self, source: Path, target: Path) -> None:
        """Copy an entry into the store: BentoML would do it in any order, in sight of a running service.

        An entry is there when its `model.yaml` is, so that file goes first and comes last.
        """
        (target / BENTO_FILE).unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        try:
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(BENTO_FILE))
            partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
            shutil.copyfile(source / BENTO_FILE, partial)
            partial.replace(target / BENTO_FILE)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise

    def _entry(self, folder: Path) -> Entry | None:
        from bentoml._internal.models import Model  # noqa: PLC0415

        try:
            model = Model.from_path(folder)
            labels, created = model.info.labels, model.creation_time
        except Exception as error:  # noqa: BLE001  # a foreign entry may be broken in any way, it is not ours
            log.warning("model store: %s cannot be read and is ignored (%s)", folder, error)
            return None
        if labels.get(LABEL) != VALUE:
            return None
        return Entry(folder.parent.name, folder.name, folder, created)


def _look(file: Path) -> tuple[str, int, int, int] | None:
    try:
        seen = file.stat()
    except OSError:  # removed since it was listed
        return None
    return str(file), seen.st_ino, seen.st_size, seen.st_mtime_ns


def bento_store() -> Path:
    """Give the folder of the model store that BentoML uses in this process."""
    from bentoml._internal.configuration.containers import BentoMLContainer  # noqa: PLC0415

    return Path(BentoMLContainer.model_store.get()._path)  # noqa: SLF001  # BentoML offers no public name for it
