"""The query string of a request to what the client asks for.

Refused: parameters that are not known, given twice or empty, and values that name nothing. A slip of the pen must
not become a forecast that the client did not ask for.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edge.errors import InvalidQuery
from processing import plausibility, repairs
from processing.reading import Rules

PREDICT = ("version", "tz", "accept")
FORECAST = (*PREDICT, "repair")
BACKTEST = (*FORECAST, "level", "stride")
ANOMALIES = (*FORECAST, "level")
LONGEST_STRIDE = 96  # quarter-hours: every forecast is made at the same time of day
_CHOICES = {"repair": repairs.CODES, "accept": plausibility.CODES}


@dataclass(frozen=True)
class Query:
    """What a client asks for.

    `version` of the model or a label (None for `stable`), `time_zone` of stamps without an offset (None for the
    model's), repairs and acceptances, `levels` of the intervals in percent, `stride` from one origin to the next.
    """

    version: str | None = None
    time_zone: str | None = None
    repair: frozenset[str] = frozenset()
    accept: frozenset[str] = frozenset()
    levels: tuple[float, ...] = ()
    stride: int = 1

    def only_level(self, usual: float) -> float:
        """Return the one level that is asked for, or the usual one.

        Raises:
            InvalidQuery: there are several.
        """
        if len(self.levels) > 1:
            raise InvalidQuery([("level", "several_levels", "One level is needed here, such as level=99.")])
        return self.levels[0] if self.levels else usual

    def rules(self, known: tuple[float, float] | None = None) -> Rules:
        """Return the rules for reading, with the range of mean powers in kW that the model knows."""
        return Rules(self.repair, self.accept, known)


def read_query(given: Iterable[tuple[str, str]], known: tuple[str, ...]) -> Query:
    """Read a query string.

    Args:
        given: names and values in their order.
        known: the parameters that the route takes.

    Raises:
        InvalidQuery: with a problem for each parameter that cannot be used.
    """
    values: dict[str, str] = {}
    problems: list[tuple[str, str, str]] = []
    for name, value in given:
        if name not in known:
            problems.append((name[:60], "unknown_parameter", _unknown(name, known)))
        elif name in values:
            problems.append((name, "repeated_parameter", "The parameter is given twice. Give it once."))
        values[name] = value
    if not problems:
        problems = [problem for name, value in values.items() for problem in _faults(name, value)]
    if problems:
        raise InvalidQuery(problems)
    return Query(
        version=values.get("version"),
        time_zone=values.get("tz"),
        repair=_names(values, "repair"),
        accept=_names(values, "accept"),
        levels=tuple(map(float, values["level"].split(","))) if "level" in values else (),
        stride=int(values.get("stride", "1")),
    )


def _unknown(name: str, known: tuple[str, ...]) -> str:
    if name in FORECAST:
        return f"A bare matrix cannot tell what was changed: ask /forecast/{{model}}?{name}=... for it."
    return f"There is no such parameter here; there is {', '.join(known)}."


def _faults(name: str, value: str) -> list[tuple[str, str, str]]:
    if name in {"version", "level"}:
        return []  # the catalogue knows which there are
    if name == "tz":
        if _is_zone(value):
            return []
        return [(name, "unknown_zone", f"{value[:60]!r} is no IANA time zone such as Europe/Berlin or UTC.")]
    if name == "stride":
        if re.fullmatch("[1-9][0-9]?", value) and int(value) <= LONGEST_STRIDE:
            return []
        return [(name, "bad_stride", f"{value[:60]!r} is no whole number from 1 to {LONGEST_STRIDE}.")]
    choices = _CHOICES[name]
    return [
        (name, f"unknown_{name}", f"{part[:60]!r} is none of {', '.join(choices)}.")
        for part in value.split(",")
        if part not in choices
    ]


def _names(values: Mapping[str, str], name: str) -> frozenset[str]:
    return frozenset(values[name].split(",")) if name in values else frozenset()


def _is_zone(name: str) -> bool:
    """Tell whether a name is one of the IANA database; those that mean something else on each machine are none."""
    if name in {"localtime", "posixrules", "Factory"} or name.startswith(("posix/", "right/")):
        return False
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # not normal, a folder, not there
        return False
    return True


def prefers_csv(accept: str | None) -> bool:
    """Tell whether an Accept header wants `text/csv` more than JSON, which is what everyone else gets."""
    weights = {"text/csv": 0.0, "application/json": 0.0}
    for part in (accept or "*/*").split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name in {"*/*", "application/*"}:
            name = "application/json"
        if name == "text/*":
            name = "text/csv"
        if name in weights:
            weights[name] = max(weights[name], _weight(parameters))
    return weights["text/csv"] > weights["application/json"]


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
