"""Forecasts from origins within load profiles, many at a time: what a model would have said then.

In: load profiles and the rows to forecast from, each with a whole window before it. Out: (m, horizon) kW for each
profile; NaN where the model has no finite answer. A profile is normalised once, its windows are cut from it as views
and copied batch by batch, across profiles, so that neither the memory nor the number of calls grows with their overlap.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.turns import still_wanted
from forecasting.power import await_compiled, outputs, preparation
from models.catalogue import ServedModel
from processing.reading import LoadProfile

Floats = npt.NDArray[np.float64]
Inputs = npt.NDArray[np.float32]

AT_ONCE = 256  # windows in one call; 5 MB of input
MANY, WIDE = 4_096, 64  # windows of one request that are worth a batch size of their own from then on, and that size
_THREADS = min(2, os.cpu_count() or 1)  # a compiled model lets go of the interpreter while it runs


@dataclass(frozen=True)
class History:
    """A load profile and the rows in it to forecast from, rising."""

    profile: LoadProfile
    origins: range


def replay(model: ServedModel, histories: Sequence[History]) -> list[Floats]:
    """Forecast from every origin of every history.

    Args:
        model: the model that answers.
        histories: origins are rows of at least window - 1.

    Returns:
        For each history (m, horizon) kW; a row is NaN where the model has no finite answer.

    Raises:
        StillCompiling: as `await_compiled` does.
        GivenUp: nobody waits for the answer any more.
    """
    ends = np.cumsum([len(history.origins) for history in histories], dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    await_compiled(model, total)
    prepared = preparation(model.card)
    inputs = [prepared.inputs(history.profile) for history in histories]
    shape = (model.card.window, len(model.card.columns))
    answers = np.empty((total, model.card.horizon), np.float32)

    check = still_wanted()

    def run(start: int) -> None:
        check()
        stop = min(start + AT_ONCE, total)
        windows = np.empty((stop - start, *shape), np.float32)
        for at in range(int(np.searchsorted(ends, start, "right")), int(np.searchsorted(ends, stop, "left")) + 1):
            before = int(ends[at]) - len(histories[at].origins)
            part = histories[at].origins[max(start - before, 0) : stop - before]
            first = max(before - start, 0)
            _cut(inputs[at], part, windows[first : first + len(part)])
        answers[start:stop] = outputs(model, windows)

    if total >= MANY:
        model.runner.widen(WIDE)
    if total <= AT_ONCE:
        for start in range(0, total, AT_ONCE):
            run(start)
    else:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(run, range(0, total, AT_ONCE)))
    powers = prepared.power(answers)
    return [powers[end - len(history.origins) : end] for history, end in zip(histories, ends, strict=True)]


def _cut(rows: Inputs, origins: range, windows: Inputs) -> None:
    """Copy the window that ends at each origin: (n, c) and m of them → (m, window, c)."""
    length = windows.shape[1]
    views = np.lib.stride_tricks.sliding_window_view(rows, length, axis=0).transpose(0, 2, 1)
    first = origins.start - length + 1
    windows[:] = views[first : first + len(origins) * origins.step : origins.step]
