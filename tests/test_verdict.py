"""One sentence about a backtest: what it must say, and when it must say what to do."""

import re

import numpy as np
import pytest

from edge.verdict import verdict
from models.scoring import Backtest, Coverage, Errors, Held, Scores

TRAIN = "python -m models.train"


def found(mae: float, naive: float, shares: dict[float, float] | None = None, origins: int = 3000) -> Backtest:
    """Give a backtest with these mean absolute errors in kW and shares by level."""

    def scores(error: float) -> Scores:
        errors = Errors(error, error, 0.0, None)
        return Scores((errors,), errors)

    coverage = tuple(
        Coverage(level, (Held(share, 1.0),), Held(share, 1.0), (None,) * 24) for level, share in (shares or {}).items()
    )
    others = {name: scores(naive + at) for at, name in enumerate(("last_week", "last_value"))}
    return Backtest(np.arange(origins), 1, scores(mae), others, coverage)


GOOD = {80.0: 0.812, 95.0: 0.947}


@pytest.mark.parametrize(
    "result, words, advice",
    [
        (found(1.604, 2.67, GOOD), "1.60 kW on average over 3000 forecasts, 40 % less than the best naive", False),
        (found(1.604, 2.67, GOOD), "intervals hold: 81.2 % of what came lay within those of 80 %, 94.7 % ", False),
        (found(3.0, 2.0, GOOD), "50 % more than the best naive forecast (the same time last week, 2.00 kW)", True),
        (found(2.0, 2.0, GOOD), "as much as the best naive", True),
        (found(1999.0, 2000.0, GOOD), "was off by 1999 kW on average over 3000 forecasts, as much as", False),
        (found(30.0, 2.0, GOOD), "more than 10 times as much as", True),
        (found(0.01234, 0.02), "0.0123 kW", False),
        (found(1.0, 0.0, GOOD), "the same time last week was never wrong: this site needs no model", False),
        (found(0.0, 0.0, GOOD), "was off by 0 kW", False),
        (found(1.0, 2.0, {80.0: 0.80, 95.0: 0.85}), "too narrow: 80.0 % of", True),
        (found(1.0, 2.0, {80.0: 0.90, 95.0: 0.97}), "too wide: 90.0 % of", True),
        (found(1.0, 2.0, {80.0: 0.7501, 95.0: 0.9999}), "intervals hold", False),
        (found(1.0, 2.0), "tells nothing that intervals could be made of", False),
        (found(1.0, 2.0, GOOD, origins=672), "50 % less than the best naive forecast", False),
        (found(1.0, 0.0, {80.0: 1.0}), "this site needs no model", False),
        (found(3.0, 2.0, GOOD, origins=671), "by 2.00 kW; 81.2 % of what came lay within its intervals of 80 %", False),
        (found(1.0, 2.0, {80.0: 0.1}, origins=1), "over 1 forecast, the best naive forecast (the same time", False),
        (found(1.0, 0.0, GOOD, origins=2), "over 2 forecasts, the best naive forecast (the same time", False),
        (found(1.0, 2.0, origins=600), "tells nothing that intervals could be made of", False),
    ],
)
def test_what_is_said(result: Backtest, words: str, advice: bool) -> None:
    """Better or worse than the best naive forecast and by how much, whether intervals hold, what to do if not."""
    said = verdict("gru", result)
    assert words in said
    assert (TRAIN in said) is advice
    assert ("less than a week" in said) is (len(result.origins) < 672)
    assert len(result.origins) >= 672 or not re.search(r"hold|too (narrow|wide)|less than the|more than|needs no", said)
    assert result.skill is not None or len(result.origins) < 672 or "interval" not in said
    assert re.fullmatch(r"gru was off by [^\n]+[^.]\.", said)
