"""The rows of one site: its time stamps and its powers, and what was read of them at first sight.

A file of one site is one table; a file of many gives one for each. Reading at first sight is done for all rows of a
file at once; what is doubtful is looked at again a site at a time, so a bad site costs the others nothing.
"""

from dataclasses import dataclass, replace

import numpy as np

from processing import header, powers, stamps
from processing.cells import Cells, Positions
from processing.errors import InvalidLoadProfile, Problem, Problems
from processing.header import Columns, one_site
from processing.powers import Numbers
from processing.sheet import Sheet, read_sheet
from processing.stamps import Written


@dataclass(frozen=True)
class Table:
    """Two columns of the same length n.

    `rows` (n,) holds each record's row number; `problems` names the rows that have no two such fields (their
    cells are empty), `faulty` (n,) is True for them; `notes` what was assumed and the user should know. `energy`
    is True where the powers are kWh of each interval; `delimiter` is what separates the file's columns.
    """

    time_name: str
    power_name: str
    stamps: Cells
    powers: Cells
    written: Written
    numbers: Numbers
    rows: Positions
    faulty: np.ndarray[tuple[int], np.dtype[np.bool_]]
    problems: Problems
    notes: tuple[str, ...] = ()
    energy: bool = False
    delimiter: str = ","

    def take(self, rows: slice | Positions) -> "Table":
        """Return some rows, as a view where a slice names them; the problems and notes are those of all rows."""
        return replace(
            self,
            stamps=self.stamps.take(rows),
            powers=self.powers.take(rows),
            written=self.written.take(rows),
            numbers=self.numbers.take(rows),
            rows=self.rows[rows],
            faulty=self.faulty[rows],
        )


def read_table(body: bytes) -> Table:
    """Read the two columns of a CSV of one site.

    Raises:
        InvalidLoadProfile: the bytes are no such CSV, so that its cells cannot be told, or hold several sites.
    """
    sheet = read_sheet(body, header.examine)
    columns = one_site(sheet.header, sheet.header_row)
    if columns.site is not None:
        _refuse_many(sheet, columns.site)
    return only_table(sheet, columns)


def only_table(sheet: Sheet, columns: Columns) -> Table:
    """Return the whole sheet as one site's table."""
    times, power = sheet.column(columns.time), sheet.column(columns.powers[0])
    return Table(
        time_name=sheet.header[columns.time],
        power_name=sheet.header[columns.powers[0]],
        stamps=times,
        powers=power,
        written=stamps.read_cells(times),
        numbers=powers.read_cells(power),
        rows=sheet.rows,
        faulty=sheet.faulty,
        problems=sheet.problems,
        notes=columns.notes,
        energy=bool(columns.energy),
        delimiter=sheet.delimiter,
    )


def _refuse_many(sheet: Sheet, site: int) -> None:
    names = sorted(set(sheet.column(site).take(np.flatnonzero(~sheet.faulty)).texts()))
    if len(names) > 1:
        message = f"The column names {len(names)} sites. One is answered here; post many to /forecast/{{model}}."
        raise InvalidLoadProfile([Problem(sheet.header_row, sheet.header[site], "many_sites", message)])
