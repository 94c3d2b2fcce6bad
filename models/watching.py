"""A thread that looks at the store every so often and lets the catalogue take up what has changed.

In: a catalogue and the seconds between two looks. It ends with the process; nothing that goes wrong in a look
ends it before.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.catalogue import Catalogue

log = logging.getLogger(__name__)


class Watch(threading.Thread):
    """Looks at the store of a catalogue until told to stop."""

    def __init__(self, catalogue: Catalogue, seconds: float) -> None:
        """Prepare to look; `start` begins.

        Args:
            catalogue: what to refresh.
            seconds: between two looks, more than 0.
        """
        super().__init__(name="model-watch", daemon=True)
        self._catalogue = catalogue
        self._seconds = seconds
        self._ended = threading.Event()
        self._told = ""

    def run(self) -> None:
        """Look until told to stop."""
        while not self._ended.wait(self._seconds):
            self.look()

    def look(self) -> None:
        """Take up what has changed; a failure of the store itself is logged once and nothing changes."""
        try:
            self._catalogue.refresh()
            self._told = ""
        except Exception as error:  # noqa: BLE001  # a disk that fails for a moment must not end the watch
            if self._told != (told := f"{type(error).__name__}: {error}"):
                log.error("the model store cannot be looked at: %s", told)  # noqa: TRY400
                self._told = told

    def stop(self) -> None:
        """End the thread after the look in progress."""
        self._ended.set()
