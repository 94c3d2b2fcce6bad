"""The kinds of value that stand in a card: what each may look like, and the sentence for what may not."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints

WINDOW = 672
COLUMNS = (
    "power",
    *(f"{cycle}_{wave}" for cycle in ("hour", "day", "week", "month", "year") for wave in ("sin", "cos")),
)
"""The columns that processing makes; a model consumes some of them, always the power."""


def known_column(name: str) -> str:
    """Pass the name of one of the eleven columns."""
    if name not in COLUMNS:
        raise ValueError(f"{name!r} is no column; choose from {', '.join(COLUMNS)}")
    return name


def time_zone(name: str) -> str:
    """Pass the IANA name of a time zone."""
    try:
        ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        raise ValueError(f"{name!r} is no IANA time zone; write one like 'Europe/Berlin'") from None
    return name


def relative_path(path: str) -> str:
    """Pass a path that stays below its folder on every system."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or str(pure) != path or path == "." or set(path) & set("\\:"):
        raise ValueError(f"{path!r} must be a plain path below the card's folder, with forward slashes")
    return path


Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$")]
ColumnName = Annotated[str, AfterValidator(known_column)]
TimeZone = Annotated[str, AfterValidator(time_zone)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
RelativePath = Annotated[str, AfterValidator(relative_path)]
Steps = Annotated[int, Field(ge=1, le=WINDOW)]
Count = Annotated[int, Field(gt=0)]
Deviation = Annotated[float, Field(gt=0)]
Level = Annotated[float, Field(gt=0, lt=1)]
Levels = Annotated[list[Level], Field(min_length=1)]
Range = Annotated[list[float], Field(min_length=2, max_length=2)]
PerStep = Annotated[list[float], Field(min_length=1)]
PerSize = Annotated[list[float], Field(min_length=6, max_length=6)]
PerHour = Annotated[list[PerStep], Field(min_length=24, max_length=24)]
