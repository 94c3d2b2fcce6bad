"""A backtest in one sentence, for people: whether the model is any good for their site, and what to do if not.

Forecasts that span less than a week are not judged: their figures are given and more weeks asked for.
"""

from math import floor, log10

from models.scoring import SEASON, Backtest

WITHIN = 0.05  # how far the share of intervals that held may lie from the level
TITLES = {
    "last_value": "the last value",
    "yesterday": "the same time yesterday",
    "last_week": "the same time last week",
    "last_week_change": "the last value and last week's change",
}
_TRAIN = "train a model for this site (`python -m models.train`) and backtest that one"
_NO_INTERVALS = "its card tells nothing that intervals could be made of"
_FAR = 10  # times an error; beyond, percents tell nobody anything


def verdict(name: str, result: Backtest) -> str:
    """Return the sentence about the model of that name."""
    count = len(result.origins)
    said = f"{name} was off by {_kw(result.model.mean.mae)} on average over {count} forecast{'s' * (count != 1)}"
    return f"{said}, {'; '.join(_figures(result) if count * result.stride < SEASON else _judged(result))}."


def _figures(result: Backtest) -> list[str]:
    """Say what there is to say of forecasts that are too few to judge by."""
    best = result.naive[result.best_naive].mean.mae
    return [
        f"the best naive forecast ({TITLES[result.best_naive]}) by {_kw(best)}",
        _shares_told(result) or _NO_INTERVALS,
        "this spans less than a week, too little to judge by, so send more weeks",
    ]


def _judged(result: Backtest) -> list[str]:
    if result.skill is None:
        return [f"and {TITLES[result.best_naive]} was never wrong: this site needs no model"]
    good = result.skill > 0 and all(map(_holds, _shares(result)))
    return [_compared(result, 1 - result.skill), _intervals(result), *(() if good else (_TRAIN,))]


def _compared(result: Backtest, ratio: float) -> str:
    best = result.naive[result.best_naive].mean.mae
    if ratio > _FAR:
        compared = f"more than {_FAR} times as much as"
    elif round(100 * ratio) == 100:  # noqa: PLR2004
        compared = "as much as"
    else:
        compared = f"{abs(1 - ratio):.0%} {'less' if ratio < 1 else 'more'} than".replace("%", " %")
    return f"{compared} the best naive forecast ({TITLES[result.best_naive]}, {_kw(best)})"


def _intervals(result: Backtest) -> str:
    shares = _shares(result)
    if not shares:
        return _NO_INTERVALS
    figures = _shares_told(result, "those")
    if all(map(_holds, shares)):
        return f"its intervals hold: {figures}"
    level, share = max(shares, key=lambda one: abs(one[1] - one[0] / 100))
    return f"its intervals are too {'narrow' if share < level / 100 else 'wide'}: {figures}"


def _shares_told(result: Backtest, what: str = "its intervals") -> str:
    told = (f"{100 * share:.1f} % of what came lay within {what} of {level:g} %" for level, share in _shares(result))
    return ", ".join(told)


def _shares(result: Backtest) -> list[tuple[float, float]]:
    return [(one.level, one.mean.share) for one in result.coverage]


def _holds(one: tuple[float, float]) -> bool:
    level, share = one
    return abs(share - level / 100) <= WITHIN


def _kw(power: float) -> str:
    """Write a power that is not negative with three significant digits, never with an exponent."""
    decimals = 2 - floor(log10(power)) if power > 0 else 0
    return f"{power:.{min(max(decimals, 0), 9)}f} kW"
