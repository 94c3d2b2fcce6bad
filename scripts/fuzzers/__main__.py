"""The command `scripts/fuzz`: throws changed input at what strangers can reach, and prints how much.

Each input must be taken or refused in words; anything else ends the run with the input, its number and the seed.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from scripts.fuzzers import csvs, forms, tokens
from scripts.fuzzers.rounds import rounds

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGETS = {"csvs": csvs.attempt, "tokens": tokens.attempt, "forms": forms.attempt}


def main(argv: Sequence[str] | None = None) -> None:
    """Fuzz and print how much."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)}; default: all, in turn")
    parser.add_argument("--seconds", type=float, default=60, help="how long for each target (60)")
    parser.add_argument("--count", type=int, help="how many inputs for each target, instead of how long")
    parser.add_argument("--seed", type=int, default=0, help="start of the random numbers (0)")
    given = parser.parse_args(argv)
    if unknown := set(given.targets) - TARGETS.keys():
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    for name in given.targets or TARGETS:
        fuzz = partial(rounds, name, TARGETS[name])
        number, taken = fuzz(given.seed, given.count, given.seconds)
        print(f"{name}: {number}, {taken} of them taken, the others refused; no failure.")


if __name__ == "__main__":
    main()
