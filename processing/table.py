"""The rows of one site: its time stamps and its powers, and what was read of them at first sight.

A file of one site is one table; a file of many gives one for each. Reading at first sight is done for all rows of a
file at once; what is doubtful is looked at again a site at a time, so a bad site costs the others nothing.
"""

from dataclasses import dataclass, replace

import numpy as np

from processing import header, powers
from processing.cells import Body, Cells, Positions
from processing.errors import InvalidLoadProfile, Problem, Problems
from processing.header import Columns, one_site
from processing.powers import Numbers
from processing.sheet import EVERY, Sheet, read_sheet
from processing.written import Written, read_stamps

# Of one site: nearly two years of minutes. A row of four bytes costs forty times as much while it is read.
MOST_ROWS = 1_000_000


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

    def take(self, rows: slice | Positions, written: Written | None = None) -> "Table":
        """Return some rows, as a view where a slice names them; the problems and notes are those of all rows.

        `written` is what their stamps say, where it was not read for this table.
        """
        return replace(
            self,
            stamps=self.stamps.take(rows),
            powers=self.powers.take(rows),
            written=written or self.written.take(rows),
            numbers=self.numbers.take(rows),
            rows=self.rows[rows],
            faulty=self.faulty[rows],
        )


def read_table(body: Body) -> Table:
    """Read the two columns of a CSV of one site.

    Raises:
        InvalidLoadProfile: the bytes are no such CSV, so that its cells cannot be told, or hold several sites.
    """
    sheet = read_sheet(body, header.examine)
    columns = one_site(sheet.header, sheet.header_row)
    if columns.site is not None:
        _refuse_many(sheet, columns.site)
    check_length(len(sheet))
    return table_of(sheet, columns)


def check_length(rows: int) -> None:
    """Refuse a site of so many rows that to read them would take too much; before they are.

    Raises:
        InvalidLoadProfile: there are more than MOST_ROWS.
    """
    if rows > MOST_ROWS:
        message = f"A site has more than {MOST_ROWS} rows. Send at most so many of one site; the newest ones count."
        raise InvalidLoadProfile([Problem(None, None, "too_long", message)])


def table_of(sheet: Sheet, columns: Columns, rows: slice | Positions = EVERY, written: Written | None = None) -> Table:
    """Return some rows of a sheet as a table; their stamps are read where it is not given what they say."""
    times, cells = sheet.column(columns.time, rows), sheet.column(columns.powers[0], rows)
    return Table(
        time_name=sheet.header[columns.time],
        power_name=sheet.header[columns.powers[0]],
        stamps=times,
        powers=cells,
        written=written or read_stamps(times),
        numbers=powers.read_cells(cells),
        rows=sheet.rows(rows),
        faulty=sheet.faulty[rows],
        problems=sheet.problems,
        notes=columns.notes,
        energy=bool(columns.energy),
        delimiter=sheet.delimiter,
    )


def _refuse_many(sheet: Sheet, site: int) -> None:
    names = sorted(set(sheet.column(site, np.flatnonzero(~sheet.faulty)).texts()))
    if len(names) > 1:
        message = f"The column names {len(names)} sites. One is answered here; post many to /forecast/{{model}}."
        raise InvalidLoadProfile([Problem(sheet.header_row, sheet.header[site], "many_sites", message)])
