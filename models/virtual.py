"""Made-up meters, so that the networks see more kinds of load than the fleet has.

In: the powers of real sites over the same year, each in units of its own naive error. Out: as many made-up
ones: sums of sites, sites with a solar roof, feed-in, sites that switch off, coarse meters, spikes. Only the
training part goes in; the chosen numbers below are breadth, not fit: none was tuned on a site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Powers = NDArray[np.float64]

DAY, WEEK = 96, 672
TURNED = 0.1  # of the meters measure what is fed in
BARE = 0.3  # of the solar roofs have no load under them


def meter(powers: Powers, rng: np.random.Generator) -> Powers:
    """Make up one meter from real ones: (s, n) → (n,)."""
    makers: dict[Callable[[Powers, np.random.Generator], Powers], float] = {
        _mixed: 0.25,
        _with_solar: 0.15,
        _with_cycle: 0.15,
        _out_of_step: 0.1,
        _process: 0.1,
        _bent: 0.05,
        _cut_off: 0.1,
        _coarse: 0.05,
        _spiky: 0.05,
    }
    maker = list(makers)[rng.choice(len(makers), p=list(makers.values()))]
    made = maker(powers, rng)
    return -made if rng.random() < TURNED else made


def _one(powers: Powers, rng: np.random.Generator) -> Powers:
    one: Powers = powers[rng.integers(len(powers))]
    return one


def _remembered(values: Powers, memory: float) -> Powers:
    """Let each value fade by `memory` a step instead of at once: (n,) → (n,), as a ring."""
    fading = np.fft.rfft(memory ** np.arange(len(values)))
    kept: Powers = np.fft.irfft(np.fft.rfft(values) * fading, len(values))
    return kept


def _mixed(powers: Powers, rng: np.random.Generator) -> Powers:
    """Add up to four sites, each from other weeks of the year."""
    n = rng.integers(2, 5)
    weeks = powers.shape[1] // WEEK
    parts: list[Powers] = [
        np.roll(_one(powers, rng), WEEK * rng.integers(weeks)) * rng.lognormal(0, 0.7) for _ in range(n)
    ]
    mixed: Powers = np.sum(parts, axis=0)
    return mixed


def _with_solar(powers: Powers, rng: np.random.Generator) -> Powers:
    sun = solar(powers.shape[1], rng)
    sun *= 5 * rng.lognormal(0, 0.7) / np.abs(sun[4:] - sun[:-4]).mean()
    return -sun if rng.random() < BARE else _one(powers, rng) - sun


def _with_cycle(powers: Powers, rng: np.random.Generator) -> Powers:
    """Add a machine with a cycle of its own, whose length wanders a little."""
    length = 2 ** rng.uniform(1.5, 6)
    phase = np.cumsum(rng.normal(1, rng.uniform(0, 0.15), powers.shape[1])) / length
    shape = np.repeat(rng.normal(size=rng.integers(2, 7)), 3)
    cycle = np.interp(phase % 1 * len(shape), np.arange(len(shape) + 1), np.append(shape, shape[0]))
    whole: Powers = _one(powers, rng) + cycle * rng.lognormal(0.5, 0.8)
    return whole


def _out_of_step(powers: Powers, rng: np.random.Generator) -> Powers:
    """Play a site faster or slower, so that its days and weeks are not the calendar's."""
    n = powers.shape[1]
    played: Powers = np.interp(np.arange(n) * rng.uniform(0.5, 1.3) % (n - 1), np.arange(n), _one(powers, rng))
    return played


def _process(powers: Powers, rng: np.random.Generator) -> Powers:
    """Make up a plant without days: switched at random times, drifting between, with noise."""
    n = int(powers.shape[1])
    switches = rng.random(n) < 1 / rng.uniform(8, 200)
    switched = rng.exponential(size=n)[np.maximum.accumulate(np.where(switches, np.arange(n), 0))]
    drift = _remembered(rng.normal(size=n), rng.uniform(0.9, 0.999)) * rng.uniform(0, 0.2)
    process: Powers = 10 * switched + 3 * drift + rng.normal(size=n) * rng.uniform(0, 1)
    return process


def _bent(powers: Powers, rng: np.random.Generator) -> Powers:
    """Sharpen peaks or flatten them."""
    one = _one(powers, rng)
    bent: Powers = (one - one.min() + 1e-3 * np.ptp(one)) ** rng.uniform(0.4, 2.0)
    return bent


def _cut_off(powers: Powers, rng: np.random.Generator) -> Powers:
    """Leave only what lies above some quantile: long flat runs, as where a plant stands still."""
    one = _one(powers, rng)
    rest: Powers = np.maximum(one - np.quantile(one, rng.uniform(0.1, 0.8)), 0)
    return rest


def _coarse(powers: Powers, rng: np.random.Generator) -> Powers:
    """Count whole pulses only."""
    pulse = rng.lognormal(0, 0.7)
    counted: Powers = np.round(_one(powers, rng) / pulse) * pulse
    return counted


def _spiky(powers: Powers, rng: np.random.Generator) -> Powers:
    one = _one(powers, rng)
    spikes = (rng.random(len(one)) < rng.uniform(0.002, 0.05)) * rng.exponential(rng.uniform(3, 30), len(one))
    return one + _remembered(spikes, rng.uniform(0, 0.7))


def solar(n: int, rng: np.random.Generator) -> Powers:
    """Make up a solar plant's year of quarter-hours: (n,), clear noon in summer about 1.

    Elevation by Cooper's declination; clouds are noise with a memory of hours and of days.
    """
    at = np.arange(n) / DAY
    latitude = np.radians(rng.uniform(30, 60))
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + at) / 365)
    angle = 2 * np.pi * (at - 0.5 - rng.uniform(-1, 2) / 24)
    height: Powers = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(angle)
    noise: Powers = np.zeros(n)
    for memory in (0.8, 0.97, 0.995):
        noise += _remembered(rng.normal(size=n), memory) * np.sqrt(1 - memory**2) * rng.uniform(0.2, 1.5)
    clear: Powers = np.maximum(height, 0) ** 1.15 / (1 + np.exp(noise - rng.uniform(0, 2)))
    return clear
