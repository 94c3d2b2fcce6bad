"""Normalisation with learnt means and standard deviations, and its inverse.

The numbers travel with a model (its card holds them); nothing here knows any.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def normalise(values: npt.ArrayLike, mean: npt.ArrayLike, std: npt.ArrayLike) -> Floats:
    """Return `(values - mean) / std`, broadcast over the last axis: (n, c) with (c,), or (n,) with scalars."""
    return np.asarray((np.asarray(values, np.float64) - np.asarray(mean)) / np.asarray(std))


def denormalise(values: npt.ArrayLike, mean: npt.ArrayLike, std: npt.ArrayLike) -> Floats:
    """Return `values * std + mean`: the inverse of `normalise`, in the unit of mean and std."""
    return np.asarray(np.asarray(values, np.float64) * np.asarray(std) + np.asarray(mean))
