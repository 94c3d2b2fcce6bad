"""SECURITY.md names tests and scripts that are there."""

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PAGE = (PROJECT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`((?:tests|scripts|auth|edge|models)/[\w/.]+?)(?:::(\w+))?`")


def test_what_proves_something_exists() -> None:
    named = NAMED.findall(PAGE)
    missing = {
        f"{path}::{name}" if name else path
        for path, name in named
        if not (PROJECT / path).exists() or (name and f"def {name}(" not in (PROJECT / path).read_text())
    }
    assert len(named) > 50
    assert not missing


def test_each_row_of_a_map_names_what_proves_it() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| (?:\d+\.\d|API\d)", line)]
    assert len(rows) > 40
    assert not [row for row in rows if not NAMED.search(row.rpartition("|")[0].rpartition("|")[2])]
