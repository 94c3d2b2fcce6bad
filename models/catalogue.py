"""The models that serve.

In: a Bento model store and its labels. Out: for each name the version that is `stable` and the one that is
`canary`, loaded and warm; other versions are known and not loaded. `refresh` takes up what has changed in the
store: a new version is loaded and warmed beside the old one, then takes its place at once. A version that fails
its checks stands in `failures` with the reason, and what served under its label keeps serving.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import InitVar, dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from models.batching import Batches
from models.card import CARD
from models.errors import InvalidCard, ModelError, ModelUnavailable, UnknownModel, UnknownVersion, VersionNotLoaded
from models.labels import FILE, LABELS, STABLE, Labels, current, told
from models.weights import verify, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from models.card import ModelCard
    from models.labels import Label
    from models.runner import Runner
    from models.store import Entry, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServedModel:
    """One version of one model, ready to answer.

    `batches` is the way to the runner for requests of one window; it is made of the runner by `gather`.
    """

    name: str
    version: str
    card: ModelCard
    runner: Runner
    gather: InitVar[Callable[[Runner], Batches]] = Batches
    batches: Batches = field(init=False)

    def __post_init__(self, gather: Callable[[Runner], Batches]) -> None:
        object.__setattr__(self, "batches", gather(self.runner))


@dataclass(frozen=True)
class Known:
    """One name, as a worker sees it; never changed, only replaced as a whole.

    Attributes:
        name: the model.
        entries: its versions in the store, the newest first.
        labels: which version should bear which label.
        served: what answers under each label.
        failures: why something else than `labels` says answers, or nothing.
    """

    name: str
    entries: tuple[Entry, ...] = ()
    labels: Labels = field(default_factory=Labels)
    served: Mapping[Label, ServedModel] = field(default_factory=dict)
    failures: Mapping[Label, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether a stable version answers, or none should."""
        return STABLE in self.served or STABLE not in self.failures

    def loaded(self, version: str) -> ServedModel | None:
        """Give a version by its name, if it is in memory."""
        return next((model for model in self.served.values() if model.version == version), None)


class Catalogue:
    """Every model of Lastgang in a store. Any number of threads may call `get` at once."""

    def __init__(
        self,
        store: Store,
        *,
        batch_sizes: Sequence[int] = (1,),
        gather: Callable[[Runner], Batches] = Batches,
        took: Callable[[str, Label, str], None] | None = None,
    ) -> None:
        """Know the store; nothing is loaded before `load`.

        Args:
            store: where the models are.
            batch_sizes: the batch sizes to compile for each model.
            gather: makes the batches of a model.
            took: is told each name, label and version that answers from now on.
        """
        self._store, self._gather, self._took = store, gather, took
        self._batch_sizes = tuple(batch_sizes)
        self._known: dict[str, Known] = {}
        self._loading = threading.Lock()
        self._seen: object = None

    @property
    def ready(self) -> bool:
        """Whether a stable model answers, and for every name the stable one that should, or one before it."""
        known = self._known.values()
        return self._seen is not None and all(one.ready for one in known) and any(STABLE in one.served for one in known)

    @property
    def failures(self) -> dict[tuple[str, Label], str]:
        """Name and label → why the version that should does not answer; for the log and the operator."""
        return {(one.name, label): why for one in self.known() for label, why in one.failures.items()}

    def known(self) -> tuple[Known, ...]:
        """Give every name with its versions and labels, in order."""
        return tuple(known for _, known in sorted(self._known.items()))

    def names(self) -> tuple[str, ...]:
        """Name every model that serves, in order."""
        return tuple(one.name for one in self.known() if one.served)

    def get(self, name: str, version: str | None = None) -> ServedModel:
        """Give a model.

        Args:
            name: the model.
            version: a version or a label; `stable` if None.

        Raises:
            UnknownModel: if nobody imported it.
            UnknownVersion: if it has no such version, or nothing bears that label.
            VersionNotLoaded: if the version is there and no label names it.
            ModelUnavailable: if it was imported and does not serve.
        """
        if (known := self._known.get(name)) is None:
            raise UnknownModel(name, self.names())
        asked = STABLE if version is None else version
        for label in LABELS:
            if asked == label:
                return _labelled(known, label)
        if (model := known.loaded(asked)) is not None:
            return model
        if labels := known.labels.of(asked):
            raise ModelUnavailable(name, known.failures.get(labels[0], ""))
        if asked in {entry.version for entry in known.entries}:
            raise VersionNotLoaded(name, asked, told(known.labels, known.entries))
        raise UnknownVersion(name, asked, told(known.labels, known.entries))

    def load(self) -> None:
        """Load and warm what the labels name and is not in memory yet.

        May be called again and from any thread; calls wait for one another, `get` never does.
        """
        with self._loading:
            seen = self._fingerprint()  # before looking, so that what changes meanwhile is seen the next time
            versions = {name: tuple(of) for name, of in groupby(self._store.entries(), key=lambda entry: entry.name)}
            for name in sorted(versions.keys() | self._known.keys()):
                old = self._known.get(name) or Known(name)
                known = self._renewed(old, versions.get(name, ()))
                self._known = {**self._known, name: known}
                self._tell_taken(old, known)
            gone = {name for name, one in self._known.items() if not (one.entries or one.served or one.failures)}
            self._known = {name: one for name, one in self._known.items() if name not in gone}
            self._seen = seen

    def compile_rest(self) -> None:
        """Compile what the first load has left for later, so that no request has to wait for it.

        What is compiled is logged, and what cannot be; that model then goes on as it is.
        """
        for model in {id(model): model for one in self.known() for model in one.served.values()}.values():
            try:
                model.runner.compile_rest()
            except ModelError as error:
                log.error("model %s: %s", model.name, error)  # noqa: TRY400  # a sentence, for an operator
            else:
                if model.runner.compiled:
                    log.info("model %s:%s is compiled", model.name, model.version)

    def refresh(self) -> bool:
        """Load if anything has changed in the store since the last time; tell whether it had."""
        if changed := self._seen != self._fingerprint():
            self.load()
        return changed

    def _fingerprint(self) -> object:
        # A version that failed may be mended file by file, so that all of its files are looked at.
        failed = {(one.name, one.labels.labels.get(label)) for one in self._known.values() for label in one.failures}
        closely = [self._store.folder(name) / version for name, version in sorted(failed, key=str) if version]
        return tuple(closely), self._store.fingerprint(FILE, closely)

    def _renewed(self, old: Known, entries: tuple[Entry, ...]) -> Known:
        """Give one name anew; whatever goes wrong, what served before is in it."""
        folder = self._store.folder(old.name)
        try:
            labels = current(folder, entries)
            if old.served and not (entries or (folder / FILE).exists()):
                raise ModelUnavailable(old.name, f"{folder} has vanished")
        except ModelError as error:
            _tell(old, STABLE, str(error))
            return Known(old.name, entries, old.labels, old.served, {STABLE: str(error)})
        served: dict[Label, ServedModel] = {}
        failures: dict[Label, str] = {}
        for label, version in labels.labels.items():
            try:
                served[label] = self._serve(old, served, version, entries)
            except Exception as error:  # noqa: BLE001  # whatever a version breaks, the one before it must go on
                failures[label] = str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {error}"
                _tell(old, label, failures[label])
                if label in old.served:
                    served[label] = old.served[label]
        return Known(old.name, entries, labels, served, failures)

    def _tell_taken(self, old: Known, new: Known) -> None:
        if self._took is not None:
            for label, model in new.served.items():
                before = old.served.get(label)
                if before is None or before.version != model.version:
                    self._took(new.name, label, model.version)

    def _serve(
        self, old: Known, fresh: Mapping[Label, ServedModel], version: str, entries: Sequence[Entry]
    ) -> ServedModel:
        from models.runner import Runner  # noqa: PLC0415  # keeps this module quick to import

        entry = next((entry for entry in entries if entry.version == version), None)
        if entry is None:
            raise ModelUnavailable(old.name, f"its label names version {version}, which is not in the store")
        for model in (*fresh.values(), *old.served.values()):
            if model.version == version:
                return model
        card = verify(entry.directory)
        if card.name != entry.name:
            problem = f"name: is {card.name!r} in a model stored as {entry.name!r}; import it again"
            raise InvalidCard(entry.directory / CARD, [problem])
        if entry.version != (fitting := version_of(entry.directory)):
            problem = f"is that of version {fitting}, in the place of {entry.version}; import the right one again"
            raise InvalidCard(entry.directory / CARD, [problem])
        # Before the first load is done nobody can be answered; afterwards the old version answers meanwhile.
        runner = Runner(entry.directory, card, self._batch_sizes, rest_later=self._seen is None)
        log.info("model %s is loaded", entry.tag)
        return ServedModel(entry.name, entry.version, card, runner, self._gather)


def _labelled(known: Known, label: Label) -> ServedModel:
    if (model := known.served.get(label)) is not None:
        return model
    if label in known.failures:
        raise ModelUnavailable(known.name, known.failures[label])
    raise UnknownVersion(known.name, label, told(known.labels, known.entries))


def _tell(old: Known, label: Label, reason: str) -> None:
    """Log a failure, once and not each time that the store is looked at."""
    if old.failures.get(label) != reason:
        kept = f"; {old.served[label].version} keeps serving" if label in old.served else ""
        log.error("model %s, %s: %s%s", old.name, label, reason, kept)
