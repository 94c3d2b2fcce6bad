"""What to tell of a break in local time that lies at a change of the zone's clock.

In: instants around the break and the zone's IANA name. Out: a sentence with what to do, to be put behind the
problem's own words, or '' where the clock did not change there.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

AROUND = timedelta(hours=1)  # by so much a clock is changed at most: so far from it lies what it doubles
LONGEST = timedelta(hours=2)  # a longer hole is more than a clock change


def at(first: np.datetime64, last: np.datetime64, zone: str | None) -> str:
    """Return the sentence on a hole between two instants in UTC, or on one instant that was given twice.

    Args:
        first: datetime64[s], UTC.
        last: the same, not earlier.
        zone: the zone in whose local time the stamps are written, None where they name their offset.
    """
    if zone is None:
        return ""
    before, after = (moment.astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC) for moment in (first, last))
    if after - before > LONGEST:
        return ""
    if before == after:
        before, after = before - AROUND, after + AROUND
    place = ZoneInfo(zone)
    return _sentence(before.astimezone(place).utcoffset(), after.astimezone(place).utcoffset(), zone)


def over(clock: np.datetime64, zone: str) -> str:
    """Return the sentence on a local time that the zone's clock leaves out."""
    local = clock.astype("datetime64[s]").astype(datetime).replace(tzinfo=ZoneInfo(zone))
    return _sentence(local.utcoffset(), local.replace(fold=1).utcoffset(), zone)


def _sentence(before: timedelta | None, after: timedelta | None, zone: str) -> str:
    if before is None or after is None or before == after:
        return ""
    hours = min(before, after) / AROUND
    sign = "-" if hours >= 0 else "%2B"  # Etc counts the other way; a bare plus is a space in an address
    fixed = f" (a meter on fixed winter time: tz=Etc/GMT{sign}{abs(hours):.0f})" if hours.is_integer() else ""
    return (
        f" The clock in {zone} went {'forward' if after > before else 'back'} there: write stamps with offsets such as "
        f"+01:00, or name the meter's own zone with ?tz={fixed}."
    )
