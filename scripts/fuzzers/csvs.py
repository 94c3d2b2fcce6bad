"""Throws changed CSVs at the reading: each is read, or refused with problems; nothing else, and nothing silently.

Good files of every layout are changed a few times at random (bytes, cells, rows, numbers) and read with and without
repairs. What is read must hold an unbroken grid of finite powers; without repairs, just the numbers that Python's
own csv module finds in the file.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from processing.errors import InvalidLoadProfile, Problem
from processing.plausibility import CODES as DOUBTS
from processing.reading import LoadProfile, Reader, Rules, read_load_profile
from processing.repairs import CODES as REPAIRS
from processing.sites import Sites, read_sites
from scripts.fuzzers.rounds import require

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

EVERYTHING = Rules(repair=frozenset(REPAIRS), accept=frozenset(DOUBTS))
ZONES = ("Europe/Berlin", "Europe/Lisbon", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")
PIECES = [
    *(b",", b";", b"\t", b"\n", b"\r\n", b"\r", b'"', b" ", b"\xc2\xa0", b"\xe2\x80\xa8", b"\0", b"\xff", b"sep=;\n"),
    *(b"nan", b"inf", b"-", b"+", b"1e999", b"1e5", b"0.1234567890123456789", b"1.234,5", b".", b"9" * 30, b"\x1c"),
    *(b"2016-10-30 02:15:00", b"2016-03-27 02:30:00", b"30.10.2016 02:15", b"+02:00", b"Z", b"24:00", b"2016-02-29"),
    *(b"Datum", b"site", b"Wert (kW)", b"Verbrauch (kWh)", b"a [kW]", b"b kWh", b" " * 70, b"x" * 100, "ü".encode()),
    # What takes the square of its length would take half a minute and more.
    *(b"9" * 20_000 + b"x", b"_" * 20_000 + b"x", b"(" * 20_000, b"," * 5_000, b" " * 20_000),
]


def seeds() -> list[bytes]:
    """Return good files: one site, long, wide, German, with offsets, of minutes, over clock changes."""
    start = np.datetime64("2016-10-28T00:00:00")
    times = [str(start + np.timedelta64(15 * at, "m")).replace("T", " ") for at in range(24)]
    german = [f"{time[8:10]}.{time[5:7]}.{time[:4]} {time[11:16]}" for time in times]
    minutes = [str(start + np.timedelta64(at, "m")).replace("T", " ") for at in range(45)]
    files = [
        ("Datum,Wert (kW)", [f"{time},{at}.5" for at, time in enumerate(times)]),
        ("Datum;Verbrauch (kWh)", [f"{time};{at},25" for at, time in enumerate(german)]),
        ("time\tpower", [f"{time}+01:00\t{at}" for at, time in enumerate(times)]),
        ("site,Datum,Wert (kW)", [f"{site},{time},{at}" for site in "ab" for at, time in enumerate(times)]),
        ("Datum,a (kW),b [kWh]", [f"{time},{at},-{at}" for at, time in enumerate(times)]),
        ("Datum,Wert (kW)", [f"{time},{at}" for at, time in enumerate(minutes)]),
        ("Datum,Wert (kW)", [f'"{time}","{at},5"' for at, time in enumerate(times)]),
    ]
    return ["\n".join([header, *rows, ""]).encode() for header, rows in files]


def changed(body: bytes, chance: random.Random) -> bytes:
    """Change a file in one to four places."""
    for _ in range(chance.randint(1, 4)):
        at, until = sorted(chance.randint(0, len(body)) for _ in range(2))
        lines = body.split(b"\n")
        first, second = chance.randrange(len(lines)), chance.randrange(len(lines))
        match chance.randrange(7):
            case 0:
                body = body[:at] + chance.choice(PIECES) + body[at:]
            case 1:
                body = body[:at] + body[min(until, at + chance.randint(1, 30)) :]
            case 2:
                body = body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
            case 3:
                lines[first], lines[second] = lines[second], lines[first]
                body = b"\n".join(lines)
            case 4:
                body = b"\n".join([*lines[:first], lines[second], *lines[first:]])
            case 5:
                body = b"\n".join(lines[:first] + lines[first + chance.randint(1, 6) :])
            case _:
                cells = lines[first].split(b",")
                cells[chance.randrange(len(cells))] = chance.choice(PIECES)
                body = b"\n".join([*lines[:first], b",".join(cells), *lines[first + 1 :]])
    return body


def check(body: bytes, zone: str) -> int:
    """Read a file in every way; return how many of them gave a load profile."""
    good = 0
    ways: tuple[Callable[[], LoadProfile | Sites], ...] = (
        lambda: read_load_profile(body, time_zone=zone, at_least=1),
        lambda: read_load_profile(body, time_zone=zone, at_least=1, rules=EVERYTHING),
        lambda: read_sites(body, Reader(zone, 1, Rules())),
        lambda: read_sites(body, Reader(zone, 1, EVERYTHING)),
    )
    for number, way in enumerate(ways):
        try:
            read = way()
        except InvalidLoadProfile as refused:
            _check_problems(refused.problems, refused.count)
            continue
        for site in read.sites if isinstance(read, Sites) else ():
            _check_problems(site.problems, site.problem_count, good=site.profile is not None)
        profiles = [site.profile for site in read.sites] if isinstance(read, Sites) else [read]
        for profile in filter(None, profiles):
            good += 1
            _check_profile(profile, untouched=number % 2 == 0)
        if number == 0 and isinstance(read, LoadProfile):
            _check_numbers(read, body)
    return good


def _check_problems(problems: tuple[Problem, ...], count: int, *, good: bool = False) -> None:
    require(bool(problems) != good, "a file is read, or refused with problems")
    require(count >= len(problems), "every problem counts")
    json.dumps([asdict(problem) for problem in problems], allow_nan=False)  # it has to get into an answer
    require(all(problem.message and problem.code for problem in problems), "a problem has words")


def _check_profile(profile: LoadProfile, *, untouched: bool) -> None:
    require(len(profile.time) == len(profile.power) == len(profile.clock) > 0, "there are rows")
    require(bool((np.diff(profile.time) == np.timedelta64(900, "s")).all()), "the grid is unbroken")
    require(bool((profile.time.astype(np.int64) % 900 == 0).all()), "the grid is that of quarter-hours")
    require(bool(np.isfinite(profile.power).all()), "powers are finite")
    require(not (untouched and profile.repairs), "nothing is repaired that was not asked for")
    json.dumps([asdict(repair) for repair in profile.repairs], allow_nan=False)


def _check_numbers(profile: LoadProfile, body: bytes) -> None:
    """Compare with what Python's csv module finds: for some column, the very numbers, row for row."""
    text = body.decode("utf-8-sig")
    found = []
    for delimiter in ";\t,":
        rows = [
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(map(str.strip, row))
        ]
        rows = rows[-len(profile.power) :]
        found += [[_number(row[at]) for row in rows] for at in range(min(map(len, rows), default=0))]
    require(profile.power.tolist() in found, "the powers are those of the file")


def _number(cell: str) -> float | None:
    try:
        return float(cell.strip().replace(",", "."))
    except ValueError:
        return None


def attempt(chance: random.Random) -> tuple[bytes, Callable[[], bool]]:
    """Change a good file; return it, and what checks it and tells whether it was read in some way."""
    body, zone = changed(chance.choice(SEEDS), chance), chance.choice(ZONES)
    return body, lambda: check(body, zone) > 0


SEEDS = seeds()
