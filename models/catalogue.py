"""The models that serve.

In: a Bento model store. Out: for each name its newest version, loaded and warm. A model that fails its checks
is named in `failures` with the reason and the others serve; where an older version of it already serves, it
keeps serving.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.card import CARD
from models.errors import InvalidCard, ModelError, ModelUnavailable, UnknownModel
from models.weights import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.card import ModelCard
    from models.runner import Runner
    from models.store import Entry, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServedModel:
    """One version of one model, ready to answer."""

    name: str
    version: str
    card: ModelCard
    runner: Runner


class Catalogue:
    """Every model of Lastgang in a store.

    Attributes:
        failures: name → why its newest version does not serve; for the log and the operator.
    """

    def __init__(self, store: Store, *, batch_sizes: Sequence[int] = (1,)) -> None:
        """Know the store; nothing is loaded before `load`.

        Args:
            store: where the models are.
            batch_sizes: the batch sizes to compile for each model.
        """
        self.failures: dict[str, str] = {}
        self._store = store
        self._batch_sizes = tuple(batch_sizes)
        self._served: dict[str, ServedModel] = {}

    @property
    def ready(self) -> bool:
        """Whether there is a model and every one has been loaded and has run once."""
        return bool(self._served) and self.failures.keys() <= self._served.keys()

    def load(self) -> None:
        """Load and warm what is new in the store; may be called again, and from one thread at a time."""
        served: dict[str, ServedModel] = {}
        failures: dict[str, str] = {}
        for name, entry in self._store.newest().items():
            try:
                served[name] = self._serve(entry)
            except ModelError as error:
                failures[name] = str(error)
                log.error("model %s does not serve: %s", entry.tag, error)  # noqa: TRY400  # a traceback adds nothing
                if name in self._served:
                    served[name] = self._served[name]
        self._served, self.failures = served, failures

    def names(self) -> tuple[str, ...]:
        """Name every model that serves, in order."""
        return tuple(sorted(self._served))

    def get(self, name: str) -> ServedModel:
        """Give the model of that name.

        Raises:
            UnknownModel: if nobody imported it.
            ModelUnavailable: if it was imported and does not serve.
        """
        if (model := self._served.get(name)) is not None:
            return model
        if name in self.failures:
            raise ModelUnavailable(name, self.failures[name])
        raise UnknownModel(name, self.names())

    def _serve(self, entry: Entry) -> ServedModel:
        from models.runner import Runner  # noqa: PLC0415  # keeps this module quick to import

        if (old := self._served.get(entry.name)) is not None and old.version == entry.version:
            return old
        card = verify(entry.directory)
        if card.name != entry.name:
            problem = f"name: is {card.name!r} in a model stored as {entry.name!r}; import it again"
            raise InvalidCard(entry.directory / CARD, [problem])
        runner = Runner(entry.directory, card, self._batch_sizes)
        log.info("model %s serves (%s)", entry.tag, "XLA" if runner.compiled else "no XLA")
        return ServedModel(entry.name, entry.version, card, runner)
