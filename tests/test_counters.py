"""Counters are shared by threads, processes and stores, and grant no more than there is."""

import multiprocessing
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import SQLAlchemyError

from auth.counters import Counters, beside, key_of

END = 1_000.0


def opened(folder: Path) -> Counters:
    """Open the counters of a folder, as a process of its own would."""
    return Counters(sa.create_engine(f"sqlite:///{folder}/counters.db", connect_args={"timeout": 30}))


@pytest.fixture
def counters(tmp_path: Path) -> Iterator[Counters]:
    """Give new counters."""
    counters = opened(tmp_path)
    yield counters
    counters.close()


def test_a_limit_is_used_up(counters: Counters) -> None:
    """What is left is granted, to the last, and then nothing; another key and the next window have their own."""
    assert counters.take("a", 4, 10, END, 60) == (4, 4)
    assert counters.take("a", 4, 10, END, 60) == (4, 8)
    assert counters.take("a", 4, 10, END, 60) == (2, 10)
    assert counters.take("a", 4, 10, END, 60) == (0, 10)
    assert counters.take("b", 4, 10, END, 60) == (4, 4)
    assert counters.take("a", 4, 10, END + 60, 60) == (4, 4)


def test_all_or_nothing(counters: Counters) -> None:
    """Where less is of no use nothing is taken, so that a smaller amount still finds it."""
    assert counters.take("a", 8, 10, END, 60, whole=True) == (8, 8)
    assert counters.take("a", 3, 10, END, 60, whole=True) == (0, 8)
    assert counters.take("a", 2, 10, END, 60, whole=True) == (2, 10)


def test_a_late_clock_begins_no_window_anew(counters: Counters) -> None:
    """A replica whose clock still shows the last window counts in the new one."""
    counters.take("a", 10, 10, END + 60, 60)
    assert counters.take("a", 1, 10, END, 60) == (0, 10)
    assert counters.take("a", 1, 10, END + 60, 60) == (0, 10)


def test_a_clock_that_was_ahead_locks_nobody_out(counters: Counters) -> None:
    """What was counted while it was a day ahead is nothing once it is right: neither for a window nor for log-ins."""
    counters.take("a", 10, 10, END + 86_400, 60)
    assert counters.take("a", 4, 10, END, 60) == (4, 4)
    assert counters.take("a", 10, 10, END, 60) == (6, 10)
    for _ in range(3):
        assert counters.count(["b"], END + 86_400, 3_600, lambda _: 0) == 0
    assert counters.look(["b"], END) == {}
    assert counters.count(["b"], END, 3_600, len) == 0
    assert counters.look(["b"], END)["b"].used == 1


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=30), st.integers(1, 40))
def test_never_more_than_the_limit(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[int, bool]], limit: int
) -> None:
    """Whatever is asked for in whatever order, the sum of what is granted is what is used, and at most the limit."""
    counters = opened(tmp_path_factory.mktemp("counters"))
    total = 0
    for amount, whole in asked:
        granted, used = counters.take("a", amount, limit, END, 60, whole=whole)
        total += granted
        assert total == used <= limit
        assert granted in ({0, amount} if whole else range(amount + 1))
    counters.close()


def _takes(folder: Path, times: int) -> int:
    counters = opened(folder)
    granted = sum(counters.take("a", 3, 500, END, 60)[0] for _ in range(times))
    counters.close()
    return granted


def test_processes_share_a_limit(tmp_path: Path) -> None:
    """Four processes that ask for 1,200 in all, from the first moment on, get the 500 that there are."""
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        granted = pool.starmap(_takes, [(tmp_path, 100)] * 4)
    assert sum(granted) == 500


def test_threads_count_one_after_the_other(counters: Counters) -> None:
    """A counter that refuses at three is never four, however many ask at once."""

    def count(_: int) -> float:
        return counters.count(
            ["a", "b"], 10.0, 60.0, lambda counts: 7 if "a" in counts and counts["a"].used >= 3 else 0
        )

    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(count, range(20)))
    assert sorted(waits) == [0.0] * 3 + [7.0] * 17
    assert counters.look(["a"], 10.0)["a"].used == 3


def test_what_is_over_is_nothing(counters: Counters) -> None:
    """A counter whose time is over begins anew, and is thrown away sooner or later."""
    for _ in range(3):
        counters.count(["a"], 10.0, 60.0, lambda _: 0)
    assert counters.look(["a"], 69.0)["a"].used == 3
    assert counters.look(["a"], 70.0) == {}
    counters.count(["b"], 5_000.0, 60.0, lambda _: 0)
    with counters._engine.connect() as connection:
        assert [key for (key,) in connection.execute(sa.text("SELECT key FROM counters"))] == ["b"]


def test_take_back_and_forget(counters: Counters) -> None:
    """What was counted for nothing is taken back, not below zero."""
    counters.count(["a", "b"], 10.0, 60.0, lambda _: 0)
    counters.take_back(["a", "b", "c"])
    counters.take_back(["a"])
    assert counters.look(["a"], 10.0)["a"].used == 0
    counters.forget("a")
    assert "a" not in counters.look(["a"], 10.0)


def test_keys_tell_nothing() -> None:
    """A key is another one for another secret and for parts that are joined otherwise."""
    assert len({key_of("a", "b"), key_of("ab"), key_of("a", "b", secret=b"s"), key_of("a", "b", secret=b"t")}) == 4
    assert len(key_of("x" * 100_000)) == 32
    assert key_of("\ud800")


def test_where_they_lie(tmp_path: Path) -> None:
    """SQLite gets a file of its own, a server the same database."""
    assert beside(f"sqlite:///{tmp_path}/users.db") == f"sqlite:///{tmp_path}/users.db-counters"
    assert beside("postgresql+psycopg://u:p@db/lastgang") == "postgresql+psycopg://u:p@db/lastgang"


def test_a_database_that_is_gone(counters: Counters, tmp_path: Path) -> None:
    """What cannot be counted is not granted."""
    counters.take("a", 1, 10, END, 60)
    with sqlite3.connect(tmp_path / "counters.db") as direct:
        direct.execute("DROP TABLE counters")
    with pytest.raises(SQLAlchemyError):
        counters.take("a", 1, 10, END, 60)
