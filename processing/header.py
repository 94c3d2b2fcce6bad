"""The header of a CSV to what its columns are: time, powers, site.

A column is known by its words; case, spaces and the kind of brackets do not count. Of a power the unit is read:
kW, or kWh for the energy of each interval. Three layouts are told apart by the header alone:

one site    a time and one column with a known word for power
long        besides these a column that names the site of each row
wide        a time and two or more columns whose names end in the unit kW or kWh: a column for each site
"""

import re
from dataclasses import dataclass
from typing import Literal

from processing.errors import InvalidLoadProfile, Problem, Problems, shown

TIME_NAMES = frozenset(
    {"datum", "date", "datetime", "dateandtime", "timestamp", "time", "zeit", "zeitstempel", "zeitpunkt"}
    | {"uhrzeit", "datumuhrzeit", "datumundzeit", "datumunduhrzeit", "datumzeit"}
)
POWER_NAMES = frozenset(
    {"wert", "value", "power", "powerconsumption", "activepower", "consumption", "load", "demand"}
    | {"leistung", "wirkleistung", "last", "lastgang", "verbrauch"}
)
ENERGY_NAMES = POWER_NAMES | {"energy", "activeenergy", "energie", "arbeit", "wirkarbeit", "energieverbrauch"}
# A bare `id` is not among them: in many exports it numbers the rows.
SITE_NAMES = frozenset(
    {"site", "siteid", "sitename", "standort", "standortid", "location", "locationid", "building", "gebäude"}
    | {"meter", "meterid", "metername", "meternumber", "zähler", "zaehler", "zählernummer", "zaehlernummer"}
    | {"zählpunkt", "zaehlpunkt", "zählpunktbezeichnung", "zaehlpunktbezeichnung", "meteringpoint", "mpan", "nmi"}
    | {"malo", "maloid", "marktlokation", "melo", "meloid", "messlokation"}
)
_BETWEEN = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "_"  # a name and its unit
MOST_NOTES = 20  # on single columns
MOST_SITES = 100_000  # of one file

_TIME_MISSING = "no time column (such as 'Datum', 'Zeitstempel' or 'timestamp')"
_POWER_MISSING = "no power column (such as 'Wert (kW)', 'Leistung [kW]' or 'Power Consumption [kW]')"
_REMEDIES = {
    "time": "Join date and time into one column, such as 2021-06-02 00:15, or keep one of the two.",
    "power": "Keep one of them.",
    "site": "Keep one of them.",
}

Kind = Literal["time", "site", "power", "power?", "energy", "unit", ""]


@dataclass(frozen=True)
class Columns:
    """Where the columns stand.

    `powers` has one place, or one for each site of a wide file; `energy` those of them in kWh; `site` is the
    place of the column with the sites' names, or None.
    """

    time: int
    powers: tuple[int, ...]
    energy: frozenset[int]
    site: int | None
    notes: tuple[str, ...]


def examine(names: list[str]) -> tuple[int, str]:
    """Return how many columns could be powers, and what the names lack to be a header: '' if they are one."""
    kinds = [_kind(name) for name in names]
    known = sum(kind not in {"time", "site", ""} for kind in kinds)
    powers = max(known, len(_in_kw(names, kinds)))
    lacking = [] if "time" in kinds else [_TIME_MISSING]
    lacking += [] if known or powers > 1 else [_POWER_MISSING]
    return powers, " and ".join(lacking)


def one_site(header: list[str], row: int) -> Columns:
    """Return the columns of a file with one site.

    Raises:
        InvalidLoadProfile: there is not exactly one time and one power.
    """
    kinds = [_kind(name) for name in header]
    times = [at for at, kind in enumerate(kinds) if kind == "time"]
    powers = [at for at, kind in enumerate(kinds) if kind in {"power", "power?"}]
    energies = [at for at, kind in enumerate(kinds) if kind == "energy"]
    found = powers or energies
    others = [] if found else [at for at, kind in enumerate(kinds) if kind == "unit"]
    problems = Problems()
    problems.each(others, lambda at: _in_another_unit(header[at], row))
    problems.join(_doubled(header, row, "time", times))
    problems.join(_doubled(header, row, "power", found))
    if not found and not problems:
        message = f"There is {_POWER_MISSING}. Send a file of one site here; many go to /forecast."
        problems.add(Problem(row, None, "bad_header", message))
    if problems:
        raise InvalidLoadProfile(problems.kept, problems.count)
    sites = [at for at, kind in enumerate(kinds) if kind == "site"]
    notes = (f"Column {header[found[0]]!r} names no unit: taken as kW.",) if kinds[found[0]] == "power?" else ()
    energy = frozenset(found) if not powers else frozenset[int]()
    return Columns(times[0], (found[0],), energy, sites[0] if sites else None, notes)


def many_sites(header: list[str], row: int) -> Columns | None:
    """Return the columns of a long or wide file, or None where the header is that of one site.

    Raises:
        InvalidLoadProfile: the header allows more than one reading.
    """
    kinds = [_kind(name) for name in header]
    sites = [at for at, kind in enumerate(kinds) if kind == "site"]
    if sites:
        if doubled := _doubled(header, row, "site", sites):
            raise InvalidLoadProfile(doubled.kept, doubled.count)
        return one_site(header, row)
    powers = _in_kw(header, kinds)
    if len(powers) < 2:  # noqa: PLR2004
        return None
    times = [at for at, kind in enumerate(kinds) if kind == "time"]
    problems = _doubled(header, row, "time", times)
    seen: set[str] = set()
    again: list[int] = []
    for at in powers:
        name = site_name(header[at])
        if name in seen or not name:
            again.append(at)
        seen.add(name)
    problems.each(again, lambda at: _nameless(header[at], row))
    if problems:
        raise InvalidLoadProfile(problems.kept, problems.count)
    check_number_of_sites(len(powers))
    energy = frozenset(at for at in powers if _unit(header[at])[1] == "kwh")
    read = {*powers, *times}
    others = [name for at, name in enumerate(header) if at not in read]
    notes = [f"Column {shown(name)} is not read: it does not end in the unit kW." for name in others[:MOST_NOTES]]
    if len(others) > MOST_NOTES:
        notes.append(f"{len(others) - MOST_NOTES} more columns are not read, for the same reason.")
    return Columns(times[0], tuple(powers), energy, None, tuple(notes))


def site_name(name: str) -> str:
    """Return the site that a column of a wide file is named for: its name without the unit."""
    return _unit(name)[0]


def _in_kw(header: list[str], kinds: list[Kind]) -> list[int]:
    """Return the columns whose names end in kW or kWh."""
    each = enumerate(zip(header, kinds, strict=True))
    return [at for at, (name, kind) in each if kind != "time" and _unit(name)[1] in {"kw", "kwh"}]


def _unit(name: str) -> tuple[str, str]:
    """Split a column's name into words and unit, which is '' where none is named.

    In steps that take a time in proportion to the name, which a client may make as long as a file: the regular
    expressions that say the same take its square.
    """
    if name.endswith((")", "]")):
        before = max(name.rfind("("), name.rfind("["))
        unit = name[before + 1 : -1]
        closed = ")" in unit or "]" in unit
        return (name, "") if before < 0 or closed else (name[:before].strip(), unit.strip().casefold())
    unit = next((unit for unit in ("kwh", "kw") if name[-len(unit) :].lower() == unit), "")
    if not unit:
        return name, ""
    words = name[: -len(unit)].rstrip(_BETWEEN)
    shorter = words[:-2].rstrip(_BETWEEN)
    if words[-2:].lower() == "in" and shorter != words[:-2]:  # "Leistung in kW"; but not "Main kW"
        return shorter, unit
    return words, unit


def _kind(name: str) -> Kind:
    """Say what a header names: 'power' is in kW, 'power?' has no unit, 'unit' has another one."""
    words, unit = _unit(name)
    base = re.sub(r"[\s_\-/\"]+", "", words).casefold()
    if unit and (shorter := base.removesuffix("in")) in ENERGY_NAMES:  # "LeistungInKW"
        base = shorter
    if not unit:
        if base in TIME_NAMES:
            return "time"
        if base in SITE_NAMES:
            return "site"
        return "power?" if base in POWER_NAMES else ""
    if unit == "kwh":
        return "energy" if base in ENERGY_NAMES else ""
    if base not in POWER_NAMES:
        return ""
    return "power" if unit == "kw" else "unit"


def check_number_of_sites(count: int) -> None:
    """Refuse more sites than one file may have.

    Raises:
        InvalidLoadProfile: there are more than MOST_SITES.
    """
    if count > MOST_SITES:
        message = f"The file has more than {MOST_SITES} sites. Send them in several files."
        raise InvalidLoadProfile([Problem(None, None, "too_many_sites", message)])


def _in_another_unit(name: str, row: int) -> Problem:
    return Problem(row, name, "bad_unit", f"The column {shown(name)} is not in kW. Convert it to kW.")


def _nameless(name: str, row: int) -> Problem:
    message = f"The column {shown(name)} names no site, or one that another column names, too."
    return Problem(row, name, "doubled_column", message)


def _doubled(header: list[str], row: int, what: str, found: list[int]) -> Problems:
    words = f"is a second {what} column. {_REMEDIES[what]}"
    problems = Problems()
    problems.each(
        found[1:], lambda at: Problem(row, header[at], "doubled_column", f"The column {shown(header[at])} {words}")
    )
    return problems
