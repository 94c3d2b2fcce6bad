"""The peer: LightGBM trained on a site's own history, as a competent user would.

It gets the same week as the networks: one model for each step, the last six hours and the quarter-hours around the
same time on the seven days before, all relative to the last value, and the calendar. It stops by the validation part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from models.naive import actual
from models.networks import HORIZON, WINDOW

if TYPE_CHECKING:
    from models.fitting import Fleet

SETTINGS = {
    "objective": "l2",
    "metric": "l1",
    "num_threads": 1,  # on a busy machine its threads wait for one another far longer than they work
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 40,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.5,
    "seed": 0,
    "verbose": -1,
}
ROUNDS = 600


def lagged(fleet: Fleet, site: int, part: str) -> Any:
    """Make the rows that LightGBM sees: (m, 115), lags in kW relative to the last value, and the calendar."""
    origins, kw = fleet.parts[part], fleet.kw[site]
    today = np.arange(1, 24)
    around = [96 * day - step for day in range(1, 7) for step in range(-4, HORIZON + 1)]
    week_ago = [WINDOW - step for step in range(1, HORIZON + 1)]
    lags = np.array([*today, *around, *week_ago])
    return np.hstack([kw[origins[:, None] - lags] - kw[origins][:, None], fleet.calendar[origins]])


def lightgbm(fleet: Fleet, site: int) -> Any:
    """Train on a site and forecast its test part: (m, 8) kW."""
    import lightgbm as lgb  # noqa: PLC0415  # a development dependency

    x = {part: lagged(fleet, site, part) for part in fleet.parts}
    last = {part: fleet.kw[site][origins] for part, origins in fleet.parts.items()}
    came = {part: actual(fleet.kw[site], origins, HORIZON) for part, origins in fleet.parts.items()}
    # The columns are cut into bins once, not once a step.
    training = lgb.Dataset(x["train"], params=SETTINGS, free_raw_data=False).construct()
    validation = lgb.Dataset(x["validation"], reference=training, free_raw_data=False).construct()
    steps = []
    for step in range(HORIZON):
        training.set_label(came["train"][:, step] - last["train"])
        validation.set_label(came["validation"][:, step] - last["validation"])
        stop = lgb.early_stopping(50, verbose=False)
        model = lgb.train(SETTINGS, training, ROUNDS, valid_sets=[validation], callbacks=[stop])
        steps.append(last["test"] + np.asarray(model.predict(x["test"], num_threads=1)))
    return np.stack(steps, axis=1)
