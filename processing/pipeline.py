"""The processing of one request: a load profile to a model's input, a model's output to kW."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processing import features, scaling, windowing
from processing.grid import STEP
from processing.reading import LoadProfile
from processing.written import Instants


@dataclass(frozen=True)
class Preparation:
    """What a model's card says of its input and output.

    `columns` the c names in order, `mean` and `std` (c,) in the columns' units, `target_mean` and
    `target_std` in kW, `window` in quarter-hours.
    """

    columns: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    target_mean: float
    target_std: float
    window: int

    def inputs(self, profile: LoadProfile) -> npt.NDArray[np.float32]:
        """Return every row of `profile` as the model consumes it: (n, c) float32, normalised, row after row."""
        return np.ascontiguousarray(self._normalised(profile), np.float32)

    def model_input(self, profile: LoadProfile) -> npt.NDArray[np.float32]:
        """Return the newest window of `profile`: (1, window, c) float32, normalised."""
        return windowing.last_window(self._normalised(_newest(profile, self.window)), self.window)

    def model_inputs(self, profiles: Sequence[LoadProfile]) -> npt.NDArray[np.float32]:
        """Return the newest window of each of n profiles: (n, window, c) float32, normalised.

        Profiles that share their clock, as the sites of one file do, share their calendar columns.
        """
        inputs = np.empty((len(profiles), self.window, len(self.columns)), np.float32)
        power = list(self.columns).index("power")
        before: LoadProfile | None = None
        for at, profile in enumerate(profiles):
            if before is None or before.clock is not profile.clock:
                inputs[at] = self.model_input(profile)[0]
            else:
                inputs[at] = inputs[at - 1]
                newest = profile.power[-self.window :]
                inputs[at, :, power] = scaling.normalise(newest, self.mean[power], self.std[power])
            before = profile
        return inputs

    def _normalised(self, profile: LoadProfile) -> npt.NDArray[np.float64]:
        return scaling.normalise(features.named(profile, self.columns), self.mean, self.std)

    def power(self, model_output: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return a model's output (b, horizon) in kW, float64."""
        return scaling.denormalise(model_output, self.target_mean, self.target_std)


def forecast_times(profile: LoadProfile, horizon: int) -> Instants:
    """Return the (horizon,) instants that follow the profile's last one: datetime64[s], UTC."""
    times: Instants = profile.time[-1] + STEP * np.arange(1, horizon + 1)
    return times


def _newest(profile: LoadProfile, rows: int) -> LoadProfile:
    """Leave out the rows before the last `rows`: a year's file costs no more features than a week's."""
    return LoadProfile(profile.time[-rows:], profile.clock[-rows:], profile.power[-rows:], profile.time_zone)
