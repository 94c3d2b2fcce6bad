"""Load profiles to forecasts: what the endpoints share."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from edge.errors import StillCompiling
from edge.timing import stage
from models.card import ModelCard
from models.catalogue import ServedModel
from processing.pipeline import Preparation
from processing.reading import LoadProfile

LONGEST = 5.0  # seconds that a model which is still being compiled may need for one request
PATIENCE = 15.0  # seconds for which a request that would take longer waits until it is compiled
SHARED = 32  # windows that two threads share: a compiled model lets go of the interpreter while it runs
_BESIDE = ThreadPoolExecutor(1, "beside")


def await_compiled(model: ServedModel, windows: int) -> None:
    """Wait until a model is compiled, where so many windows would take a multiple of what they take in a moment.

    Raises:
        StillCompiling: it has waited, and the model is still being compiled.
    """
    runner = model.runner
    if not runner.wait(0) and (seconds := runner.seconds(windows)) > LONGEST and not runner.wait(PATIENCE):
        raise StillCompiling(model.name, seconds)


def power(model: ServedModel, profiles: Sequence[LoadProfile]) -> npt.NDArray[np.float64]:
    """Go the way from n load profiles to (n, horizon) kW; a row is NaN where the model has no finite answer."""
    prepared = preparation(model.card)
    with stage("features"):
        inputs = prepared.model_inputs(profiles)
    with stage("model"):
        return prepared.power(_shared(model, inputs) if len(inputs) >= SHARED else outputs(model, inputs))


def outputs(model: ServedModel, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Forecast n windows as `Runner.outputs` does; where one number of a row is not finite, the row is NaN."""
    answers = model.runner.outputs(inputs)
    answers[~np.isfinite(answers).all(axis=1)] = np.nan
    return answers


def _shared(model: ServedModel, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    half = len(inputs) // 2
    first = _BESIDE.submit(outputs, model, inputs[:half])
    second = outputs(model, inputs[half:])
    return np.concatenate([first.result(), second])


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
