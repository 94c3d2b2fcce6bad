"""Models without TensorFlow that answer at once, and load profiles for them; both in plain kW."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from toy import members

from models.card import ModelCard
from models.catalogue import ServedModel
from processing.reading import LoadProfile
from processing.stamps import on_the_clock

if TYPE_CHECKING:
    from models.runner import Runner

DAY, H = 96, 8
PLAIN = {"levels": [0.05, 0.5, 0.95], "kw": [[-3.0] * H, [0.0] * H, [3.0] * H]}


class Quick:
    """What a runner has besides its answers."""

    def widen(self, size: int) -> None:
        """Do as `Runner.widen` where there is nothing to compile."""

    def wait(self, seconds: float) -> bool:  # noqa: ARG002
        """Do as `Runner.wait` where there is nothing to compile."""
        return True


class Yesterday(Quick):
    """A runner that repeats the last day's values; from a window that ends with more than 1e6 it has no answer."""

    def outputs(self, x: Any) -> Any:
        """Answer as `Runner.outputs` does."""
        answers = x[:, -DAY : -DAY + H, 0].copy()
        answers[x[:, -1, 0] > 1e6, 3] = np.inf
        return answers


class LastValue(Quick):
    """A runner that repeats the last value."""

    def outputs(self, x: Any) -> Any:
        """Answer as `Runner.outputs` does."""
        return np.repeat(x[:, -1], H, axis=1)


def served(runner: Any = None, **changes: Any) -> ServedModel:
    """Make a model around a runner, with a card that scales nothing."""
    column = {"name": "power", "mean": 0.0, "std": 1.0}
    changes = {"columns": [column], "target": column | {"unit": "kW"}} | changes
    card = ModelCard.model_validate(members(**changes))
    return ServedModel("toy", "1", card, cast("Runner", runner or Yesterday()))


def profile(kw: Any, *, start: str = "2016-01-04T00:00", zone: str = "Europe/Berlin") -> LoadProfile:
    """Make a load profile of (n,) kW."""
    time = np.datetime64(start, "s") + np.arange(len(kw)) * np.timedelta64(900, "s")
    return LoadProfile(time, on_the_clock(time, zone), np.asarray(kw, np.float64), zone)
