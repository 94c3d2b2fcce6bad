"""What the documentation lists is what the code knows."""

import re

import pytest
from conftest import PROJECT

from audit.lines import FACTS
from processing import header

NAMES = {
    "time": header.TIME_NAMES,
    "power": header.POWER_NAMES,
    "energy": header.ENERGY_NAMES - header.POWER_NAMES,
    "site": header.SITE_NAMES,
}


@pytest.mark.parametrize("kind", NAMES)
def test_every_name_of_a_column_is_listed(kind: str) -> None:
    """The table of names has each that is accepted, and no other."""
    rows = (PROJECT / "docs" / "csv.md").read_text().splitlines()
    (row,) = [line for line in rows if line.startswith(f"| {kind}")]
    assert set(re.findall(r"`(\w+)`", row.split("|")[2])) == NAMES[kind]


@pytest.mark.parametrize("table", ["accuracy"])
def test_figures_in_the_readme_are_the_measured_ones(table: str) -> None:
    """The README shows the table that the benchmark wrote."""
    assert (PROJECT / "benchmarks" / f"{table}.md").read_text().split("\n\n")[0] in (PROJECT / "README.md").read_text()


def test_every_member_of_an_audit_line_is_documented() -> None:
    """The table of members has each that there can be, and no other."""
    text = (PROJECT / "docs" / "audit.md").read_text()
    table = text[text.index("| member | what |") : text.index("No other member is possible")]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("|")]
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert names == FACTS | {"seq", "prev", "hash", "time", "event", "outcome"}
