"""Load profiles to forecasts: what the endpoints share."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge.timing import stage
from models.card import ModelCard
from models.catalogue import ServedModel
from processing.pipeline import Preparation
from processing.reading import LoadProfile


def power(model: ServedModel, profiles: Sequence[LoadProfile]) -> npt.NDArray[np.float64]:
    """Go the way from n load profiles to (n, horizon) kW."""
    prepared = preparation(model.card)
    with stage("features"):
        inputs = prepared.model_inputs(profiles)
    with stage("model"):
        outputs = model.runner.predict(inputs)
    return prepared.power(outputs)


async def power_soon(model: ServedModel, profile: LoadProfile) -> npt.NDArray[np.float64]:
    """Go the same way from one load profile to (1, horizon) kW, in a batch with whoever else is on it now."""
    prepared = preparation(model.card)
    with stage("features"):
        window = prepared.model_input(profile)
    with stage("model"):
        output = await model.batches.forecast(window)
    return prepared.power(output)


def preparation(card: ModelCard) -> Preparation:
    """Return what the card says of a model's input and output."""
    return Preparation(
        columns=card.column_names,
        mean=[column.mean for column in card.columns],
        std=[column.std for column in card.columns],
        target_mean=card.target.mean,
        target_std=card.target.std,
        window=card.window,
    )
