"""The query string of a request to what the client asks for.

Refused: parameters that are not known, given twice or empty, and values that name nothing. A slip of the pen must
not become a forecast that the client did not ask for.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edge.errors import InvalidQuery
from processing import plausibility, repairs
from processing.reading import Rules

PREDICT = ("version", "tz", "accept")
FORECAST = (*PREDICT, "repair", "level")
BACKTEST = (*FORECAST, "stride")
ANOMALIES = FORECAST
MOST_LEVELS = 5
LONGEST_STRIDE = 96  # quarter-hours: every forecast is made at the same time of day
_CHOICES = {"repair": repairs.CODES, "accept": plausibility.CODES}
_LEVEL = re.compile(r"\d{1,2}(\.\d{1,3})?", re.ASCII)
_NO_MATRIX = {"repair": "what was changed", "level": "how sure it is"}


@dataclass(frozen=True)
class Query:
    """What a client asks for.

    `version` of the model or a label (None for `stable`), `time_zone` of stamps without an offset (None for the
    model's), repairs and acceptances, `levels` of intervals in percent, rising, `stride` from one origin to the next.
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

    def rules(self, known: Sequence[float] | None = None) -> Rules:
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
        levels=tuple(sorted(map(float, values["level"].split(",")))) if "level" in values else (),
        stride=int(values.get("stride", "1")),
    )


def _unknown(name: str, known: tuple[str, ...]) -> str:
    if known == PREDICT and name in _NO_MATRIX:
        return f"A bare matrix cannot tell {_NO_MATRIX[name]}: ask /forecast/{{model}}?{name}=... for it."
    return f"There is no such parameter here; there is {', '.join(known)}."


def _faults(name: str, value: str) -> list[tuple[str, str, str]]:
    if name == "version":
        return []  # the catalogue knows which there are
    if check := {"tz": _zone_faults, "level": _level_faults, "stride": _stride_faults}.get(name):
        return [(name, code, message) for code, message in check(value)]
    choices = _CHOICES[name]
    return [
        (name, f"unknown_{name}", f"{part[:60]!r} is none of {', '.join(choices)}.")
        for part in value.split(",")
        if part not in choices
    ]


def _zone_faults(value: str) -> list[tuple[str, str]]:
    if _is_zone(value):
        return []
    return [("unknown_zone", f"{value[:60]!r} is no IANA time zone such as Europe/Berlin or UTC.")]


def _stride_faults(value: str) -> list[tuple[str, str]]:
    if re.fullmatch("[1-9][0-9]?", value) and int(value) <= LONGEST_STRIDE:
        return []
    return [("bad_stride", f"{value[:60]!r} is no whole number from 1 to {LONGEST_STRIDE}.")]


def _level_faults(value: str) -> list[tuple[str, str]]:
    """Return code and message of each reason why levels cannot be used."""
    parts = value.split(",")
    good = "Give percent from 1 to 99, with at most three decimals; several with commas between, as in level=80,95."
    if bad := [part for part in parts if not (_LEVEL.fullmatch(part) and 1 <= float(part) <= 99)]:  # noqa: PLR2004
        return [("bad_level", f"{part[:60]!r} is no level. {good}") for part in bad[:MOST_LEVELS]]
    if len(parts) > MOST_LEVELS:
        return [("too_many_levels", f"There are {len(parts)} levels. Give at most {MOST_LEVELS}.")]
    if len(set(map(float, parts))) < len(parts):
        return [("repeated_level", "A level is given twice. Give each once.")]
    return []


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
