"""A short run of the fuzzer: any bytes are read or refused, with the words that go into an answer."""

import pytest

from scripts.fuzz import ZONES, check, run, seeds


@pytest.mark.parametrize("zone", ZONES)
def test_the_seeds_are_good_files(zone: str) -> None:
    """The fuzzer starts from files that are read: otherwise it would test refusals only."""
    assert all(check(body, zone) for body in seeds())


def test_a_thousand_changed_files() -> None:
    """No change of a good file gives anything but a profile or problems."""
    number, good = run(seed=20, count=1_000, seconds=0)
    assert number == 1_000
    assert 100 < good < 1_000
