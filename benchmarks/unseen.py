"""How good the networks are at sites that they never saw, later than all that they learnt from, site by site.

In: `samples/fleet.csv.gz`. The 17 sites below, some of each kind, drawn once with a seed, are left out; the networks
are trained on the other 31 by the recipe of the shipped ones, which learn from all 48. Out: `benchmarks/unseen.md` and
`unseen.json`, with the errors on the last 15 % of each left-out site beside the naive forecasts' and those of LightGBM
trained on that very site's first 70 %, and how often the intervals held.

Run it from the project's root: `python -m benchmarks.unseen`, about an hour on two cores, most of it for training. What
was trained, and what LightGBM forecast, is kept in `--work` and found there the next time.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from benchmarks.boosting import lightgbm
from forecasting.power import power
from forecasting.rolling import intervals, rolled
from models.card import CARD, read_card
from models.catalogue import ServedModel
from models.naive import WEEK, actual, naive
from models.networks import HORIZON, NAMES
from models.runner import Runner
from models.train import FLEET, Training, inputs, read_training, train
from models.trial import forecast
from processing.features import hour_of_day
from processing.reading import LoadProfile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
UNSEEN = (
    *("BL-H", "G0-A", "G1-A", "G1-B", "G3-H", "H0-B", "H0-G", "HS1", "HS13", "HS8", "HS9", "L0-A"),
    *("hv_mixed1", "lv_rural3", "lv_semiurb4", "mv_add1", "mv_semiurb"),
)
LEVELS = (80.0, 95.0)
FILES = ("1 week", "5 weeks")  # of the client: the intervals know nothing but the week, or four weeks of errors, too
EVERY = 29  # quarter-hours between the origins of one-week files; prime to the hour, the day and the week
BATCH = 256
HOURS = 24


@dataclass(frozen=True)
class Result:
    """One model at one site: mean absolute errors in kW by step, and how often intervals held.

    `coverage` is file → level → share; `by_hour` the same by local hour of the day.
    """

    site: str
    model: str
    mae: list[float]
    naive: dict[str, list[float]]
    lightgbm: list[float]
    coverage: dict[str, dict[str, float]]
    by_hour: dict[str, dict[str, list[float]]]

    @property
    def to_naive(self) -> float:
        """The error in units of the best naive forecast's."""
        return float(np.mean(self.mae) / min(np.mean(each) for each in self.naive.values()))

    @property
    def to_lightgbm(self) -> float:
        """The error in units of the error of the site's own LightGBM."""
        return float(np.mean(self.mae) / np.mean(self.lightgbm))


def trained(name: str, training: Training, work: Path) -> Path:
    """Train a network on the sites that are not left out, unless that was done before; give its folder."""
    if not (work / name / CARD).exists():
        train(training.without(UNSEEN), work, names=[name])
    return work / name


def boosted(site: str, training: Training, work: Path) -> None:
    """Let LightGBM learn from and forecast a site, unless that was done before."""
    path = work / f"{site}.npy"
    if not path.exists():
        only = Training({site: training.profiles[site]}, {})
        np.save(path, lightgbm(only.fleet(), 0).astype(np.float32))


def judge(model: ServedModel, site: str, training: Training, work: Path) -> Result:
    """Measure one model at one site."""
    profile = training.profiles[site]
    origins = Training({site: profile}, {}).fleet().parts["test"]
    came = actual(profile.power, origins, HORIZON)

    def mae(kw: Any) -> list[float]:
        return [round(float(each), 4) for each in np.abs(came - kw).mean(axis=0)]

    own = forecast(model.runner, inputs(model.card, profile), origins, BATCH)
    held = {"1 week": _one_week(model, profile, origins), "5 weeks": _five_weeks(model, profile, origins)}
    return Result(
        site,
        model.name,
        mae(own),
        {name: mae(kw) for name, kw in naive(profile.power, origins, HORIZON).items()},
        mae(np.load(work / f"{site}.npy")),
        {
            file: {f"{level:g}": round(float(hit.mean()), 4) for level, hit in hits.items()}
            for file, (_, hits) in held.items()
        },
        {
            file: {
                f"{level:g}": [round(float(hit[hours == hour].mean()), 4) for hour in range(HOURS)]
                for level, hit in hits.items()
            }
            for file, (hours, hits) in held.items()
        },
    )


_Held = tuple["NDArray[np.int64]", dict[float, "NDArray[np.bool_]"]]


def _five_weeks(model: ServedModel, profile: LoadProfile, origins: NDArray[np.int64]) -> _Held:
    """Tell the hour of each origin and which of its measured values lay in their intervals: level → (m, 8)."""
    start = int(origins[0]) + 1 - 5 * WEEK
    past = rolled(model, _cut(profile, start, len(profile.power)), LEVELS)
    judged = np.isin(past.origins + start, origins)
    came = past.measured[judged]
    hits = {level: (came >= past.lower[level][judged]) & (came <= past.upper[level][judged]) for level in LEVELS}
    return hour_of_day(profile.clock[origins + 1]), hits


def _one_week(model: ServedModel, profile: LoadProfile, origins: NDArray[np.int64]) -> _Held:
    """Tell the same of files that hold the week before an origin and nothing else."""
    some = origins[::EVERY]
    weeks = [_cut(profile, end + 1 - WEEK, end + 1) for end in some.tolist()]
    given = intervals(model, weeks, power(model, weeks), LEVELS)
    came = actual(profile.power, some, HORIZON)
    hits = {
        level: np.array(
            [(kw >= one.lower[level]) & (kw <= one.upper[level]) for one, kw in zip(given, came, strict=True)]
        )
        for level in LEVELS
    }
    return hour_of_day(profile.clock[some + 1]), hits


def _cut(profile: LoadProfile, start: int, end: int) -> LoadProfile:
    rows = slice(start, end)
    return LoadProfile(profile.time[rows], profile.clock[rows], profile.power[rows], profile.time_zone)


def report(results: Sequence[Result]) -> str:
    """Lay the results out as Markdown: each site, what they come to, and the coverage."""
    by_site: dict[str, dict[str, Result]] = {}
    for one in results:
        by_site.setdefault(one.site, {})[one.model] = one
    models = list(dict.fromkeys(one.model for one in results))
    head = ["site", "last value", "yesterday", "last week", "last week's change", "LightGBM", *models]
    head += [f"{name} / {peer}" for name in models for peer in ("best naive", "LightGBM")]
    lines = ["MAE in kW over the eight steps.", "", _row(head), _row(["---", *["---:"] * (len(head) - 1)])]
    for site, each in by_site.items():
        first = each[models[0]]
        kw = [*(np.mean(mae) for mae in first.naive.values()), np.mean(first.lightgbm)]
        kw += [np.mean(each[name].mae) for name in models]
        ratios = [ratio for name in models for ratio in (each[name].to_naive, each[name].to_lightgbm)]
        lines.append(_row([site, *(f"{mae:.3g}" for mae in kw), *(f"{ratio:.3f}" for ratio in ratios)]))
    lines += ["", *_summary(results, models), "", *_coverage(results, models)]
    return "\n".join(lines) + "\n"


def _summary(results: Sequence[Result], models: Sequence[str]) -> list[str]:
    lines = [_row(["model", "beside", "median", "worst", "better at"]), _row(["---", "---", "---:", "---:", "---:"])]
    for name in models:
        mine = [one for one in results if one.model == name]
        for peer in ("best naive forecast", "the site's own LightGBM"):
            ratios = np.array([one.to_naive if "naive" in peer else one.to_lightgbm for one in mine])
            told = f"{(ratios < 1).sum()} of {len(ratios)} sites"
            lines.append(_row([name, peer, f"{np.median(ratios):.3f}", f"{ratios.max():.3f}", told]))
    return lines


def _coverage(results: Sequence[Result], models: Sequence[str]) -> list[str]:
    head = ["model", "file", "nominal", "median", "10th percentile", "worst site", "hours of the day, all sites"]
    lines = [_row(head), _row(["---", "---", *["---:"] * 5])]
    for name in models:
        mine = [one for one in results if one.model == name]
        for file in FILES:
            for level in (f"{level:g}" for level in LEVELS):
                share = np.array([one.coverage[file][level] for one in mine])
                hours = np.mean([one.by_hour[file][level] for one in mine], axis=0)
                worst = f"{share.min():.1%} ({mine[share.argmin()].site})"
                span = f"{hours.min():.1%} to {hours.max():.1%}"
                kept = [f"{np.median(share):.1%}", f"{np.quantile(share, 0.1):.1%}", worst, span]
                lines.append(_row([name, file, f"{level} %", *kept]))
    return lines


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Train, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unseen", description="Accuracy at unseen sites.")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks", help="folder of unseen.md and unseen.json")
    parser.add_argument("--work", type=Path, default=ROOT / ".unseen", help="folder for what takes long")
    given = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    training = read_training(FLEET)
    given.work.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        list(tqdm(pool.map(partial(boosted, training=training, work=given.work), UNSEEN), "LightGBM", len(UNSEEN)))
    results = []
    for name in NAMES:
        folder = trained(name, training, given.work)
        card = read_card(folder / CARD)
        model = ServedModel(name, "unseen", card, Runner(folder, card, (BATCH,)))
        results += [judge(model, site, training, given.work) for site in tqdm(UNSEEN, name, unit="site")]
    text = report(results)
    (given.out / "unseen.md").write_text(text, encoding="utf-8")
    (given.out / "unseen.json").write_text(json.dumps([asdict(one) for one in results]) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
