"""Load profiles as text, made for a test."""

from datetime import datetime, timedelta


def csv_rows(start: str, rows: int, minutes: int = 15) -> list[str]:
    """Return rows `2021-06-02 00:00:00,0.0` on a grid, the power being the row's number."""
    first = datetime.fromisoformat(start)
    return [f"{first + timedelta(minutes=minutes * at)},{float(at)}" for at in range(rows)]


def csv_file(rows: list[str], header: str = "Datum,Wert (kW)") -> bytes:
    """Join a header and rows to the bytes of a CSV."""
    return "\n".join([header, *rows, ""]).encode()
