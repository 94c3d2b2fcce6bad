"""The columns and the rows that a model consumes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from processing.errors import UnknownColumn
from processing.features import COLUMNS

Floats = npt.NDArray[np.float64]


def select(columns: Floats, names: Sequence[str]) -> Floats:
    """Return the named ones of the eleven columns, in the order of the names.

    Args:
        columns: (n, 11), in the order of `features.COLUMNS`.
        names: the c columns that a model's card names.

    Returns:
        (n, c) float64.

    Raises:
        UnknownColumn: a name is none of the eleven.
    """
    for name in names:
        if name not in COLUMNS:
            raise UnknownColumn(name, COLUMNS)
    return columns[:, [COLUMNS.index(name) for name in names]]


def windows(columns: Floats, window: int) -> Floats:
    """Return every run of `window` consecutive rows: (n, c) to a view of shape (n - window + 1, window, c)."""
    return np.lib.stride_tricks.sliding_window_view(columns, window, axis=0).transpose(0, 2, 1)


def last_window(columns: Floats, window: int) -> npt.NDArray[np.float32]:
    """Return the newest `window` rows as a batch of one: (n, c) to (1, window, c) float32."""
    return columns[None, -window:].astype(np.float32)
