"""A backtest in one sentence, for people: whether the model is any good for their site, and what to do if not."""

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
_FAR = 10  # times an error; beyond, percents tell nobody anything


def verdict(name: str, result: Backtest) -> str:
    """Return the sentence about the model of that name."""
    parts = [_errors(name, result), _intervals(result)]
    if _is_worse(result) or not all(map(_holds, _shares(result))):
        parts.append(_TRAIN)
    if len(result.origins) * result.stride < SEASON:
        parts.append("these forecasts span less than a week, so send more weeks before you rely on this")
    return "; ".join(part for part in parts if part) + "."


def _errors(name: str, result: Backtest) -> str:
    best = result.naive[result.best_naive].mean.mae
    said = f"{name} was off by {_kw(result.model.mean.mae)} on average over {len(result.origins)} forecasts"
    if result.skill is None:
        return f"{said}, and {TITLES[result.best_naive]} was never wrong: this site needs no model"
    ratio = 1 - result.skill
    if ratio > _FAR:
        compared = f"more than {_FAR} times as much as"
    elif round(100 * ratio) == 100:  # noqa: PLR2004
        compared = "as much as"
    else:
        compared = f"{abs(result.skill):.0%} {'less' if ratio < 1 else 'more'} than".replace("%", " %")
    return f"{said}, {compared} the best naive forecast ({TITLES[result.best_naive]}, {_kw(best)})"


def _intervals(result: Backtest) -> str:
    shares = _shares(result)
    if not shares:
        return "its card tells nothing that intervals could be made of"
    figures = ", ".join(f"{100 * share:.1f} % of what came lay within those of {level:g} %" for level, share in shares)
    if all(map(_holds, shares)):
        return f"its intervals hold: {figures}"
    level, share = max(shares, key=lambda one: abs(one[1] - one[0] / 100))
    return f"its intervals are too {'narrow' if share < level / 100 else 'wide'}: {figures}"


def _shares(result: Backtest) -> list[tuple[float, float]]:
    return [(one.level, one.mean.share) for one in result.coverage]


def _holds(one: tuple[float, float]) -> bool:
    level, share = one
    return abs(share - level / 100) <= WITHIN


def _is_worse(result: Backtest) -> bool:
    return result.skill is not None and result.skill <= 0


def _kw(power: float) -> str:
    """Write a power that is not negative with three significant digits, never with an exponent."""
    decimals = 2 - floor(log10(power)) if power > 0 else 0
    return f"{power:.{min(max(decimals, 0), 9)}f} kW"
