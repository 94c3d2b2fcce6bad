"""The rounds of a fuzzer: so many attempts, or for so long, each from one stream of random numbers."""

from __future__ import annotations

import random
import sys
import time
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable

    Attempt = Callable[[random.Random], tuple[object, Callable[[], bool]]]


def rounds(name: str, attempt: Attempt, seed: int, count: int | None, seconds: float) -> tuple[int, int]:
    """Make attempts; an exception of one ends them, after its input was printed.

    Args:
        name: of what is thrown, in the plural, for the progress bar.
        attempt: makes an input and what checks it, which returns whether the input was taken and raises what it finds.
        seed: of the random numbers.
        count: how many attempts; None for `seconds`.
        seconds: for how long, if no count is given.

    Returns:
        How many there were, and how many of them were taken.
    """
    chance = random.Random(seed)  # noqa: S311  no secret
    number = taken = 0
    end = time.monotonic() + seconds
    with tqdm(total=count, desc=name, unit="", leave=False, disable=None) as bar:
        while number < count if count is not None else time.monotonic() < end:
            thrown, check = attempt(chance)
            try:
                taken += check()
            except Exception:
                print(f"Number {number} of the {name} of seed {seed}: {thrown!r}", file=sys.stderr)
                raise
            number += 1
            bar.update()
    return number, taken


def require(holds: bool, rule: str) -> None:  # noqa: FBT001  reads as a sentence
    """Raise an AssertionError where a rule does not hold."""
    if not holds:
        raise AssertionError(rule)
