"""Bounds what those who are refused can write: some refusals get a line each, the others are counted for one line.

Without that a stranger could fill the disk with refusals, and who fills the disk stops the service. In a minute, in one
process, strangers get `STRANGERS` lines for log-ins and as many for everything else, `EACH` of them from one address;
who has proved who they are gets `KNOWN`. What is over that is one more line, when the minute ends (`Refusals.summary`).
"""

from __future__ import annotations

import threading
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from audit.lines import Value

MINUTE = 60.0  # seconds
STRANGERS = 30
EACH = 10
KNOWN = 600
TRACKED = 1_000  # addresses, and as many users, that are counted apart; the others together
SHOWN = 10  # of them in the line, the most frequent
OTHERS = "others"


class Refusals:
    """The refusals of one process.

    Args:
        clock: returns seconds; only differences count.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock()
        self._lines: Counter[str] = Counter()
        self._clear()

    def _clear(self) -> None:
        self._problems: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._subjects: Counter[str] = Counter()
        self._targets: Counter[str] = Counter()

    def own_line(self, kind: str, address: str, subject: str | None) -> bool:
        """Tell whether a refusal gets a line of its own, and count that it does.

        Args:
            kind: `token` for a log-in; everything else shares another budget, so that noise hides no log-in.
            address: of the client.
            subject: who proved to be asking; None for a stranger.
        """
        with self._lock:
            self._renew()
            if subject is not None:
                return self._take(f"subject {subject}", KNOWN)
            who = f"{kind} {address}"
            if self._lines[kind] >= STRANGERS or not self._take(who, EACH):
                return False
            return self._take(kind, STRANGERS)

    def count(self, problem: str, address: str, subject: str | None, target: str | None) -> None:
        """Count a refusal that gets no line.

        Args:
            problem: the kind of refusal and where; of these there must be few.
            address: of the client.
            subject: who proved to be asking.
            target: the user whom it was about.
        """
        with self._lock:
            self._problems[problem] += 1
            _add(self._addresses, address)
            for counted, name in ((self._subjects, subject), (self._targets, target)):
                if name is not None:
                    _add(counted, name)

    @property
    def waiting(self) -> bool:
        """Whether some are counted and not told yet."""
        return bool(self._problems)

    def wait(self) -> float:
        """Return the seconds until the minute ends."""
        return max(0.0, self._began + MINUTE - self._clock())

    def summary(self) -> dict[str, Value] | None:
        """Return the facts of the line that tells of those counted; None if there are none. Counting begins anew."""
        with self._lock:
            if not self._problems:
                return None
            told: dict[str, Value] = {
                "count": self._problems.total(),
                "seconds": round(self._clock() - self._began),
                "problems": dict(self._problems.most_common(2 * SHOWN)),
                "addresses": dict(self._addresses.most_common(SHOWN)),
                "subjects": dict(self._subjects.most_common(SHOWN)) or None,
                "targets": dict(self._targets.most_common(SHOWN)) or None,
            }
            self._clear()
            return told

    def put_back(self, told: dict[str, Value]) -> None:
        """Count those anew whose line could not be written."""
        with self._lock:
            counted = (self._problems, self._addresses, self._subjects, self._targets)
            for counter, name in zip(counted, ("problems", "addresses", "subjects", "targets"), strict=True):
                members = told[name]
                if isinstance(members, dict):
                    counter.update(members)

    def _renew(self) -> None:
        if self._clock() - self._began >= MINUTE and not self._problems:
            self._began = self._clock()
            self._lines.clear()

    def _take(self, who: str, most: int) -> bool:
        taken = self._lines[who] < most
        self._lines[who] += taken
        return taken


def _add(counted: Counter[str], name: str) -> None:
    counted[name if name in counted or len(counted) < TRACKED else OTHERS] += 1
