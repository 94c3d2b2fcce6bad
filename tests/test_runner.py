"""The runner: what it answers, what it refuses, and that it never compiles again."""

from __future__ import annotations

import gc
import logging
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import QUIET, card_of, keras_folder, keras_model, model_folder

from models import runner
from models.errors import InvalidCard, ModelUnavailable, NonFiniteForecast, RefusedWeights
from models.runner import Runner, Warm, chunks, ordinary_week

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = QUIET
SIZES = (1, 4)
POWER = {"name": "power", "mean": 50.0, "std": 20.0}


def noise(n: int) -> Any:
    return np.random.default_rng(n).normal(size=(n, 672, 7)).astype(np.float32)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Give a runner of the toy that repeats the last value and adds 0.25."""
    folder = model_folder(tmp_path_factory.mktemp("toy") / "model")
    return Runner(folder, card_of(folder), SIZES)


def timed(seconds: dict[int, float]) -> dict[int, Warm]:
    """Give batch sizes that take so long."""
    return {size: Warm(lambda x: x, each) for size, each in seconds.items()}


def test_a_size_that_is_compiled_behind_requests_is_not_taken_for_slow() -> None:
    """What slows all calls down now counts for nothing: only how a size compares with one that was timed before."""
    shape = (64, 672, 7)

    def busy(x: Any) -> None:  # all takes twenty times as long as when the size 16 was timed
        time.sleep(0.001 * len(x))

    assert runner._seconds(busy, shape, {}) == pytest.approx(0.064, rel=0.2)
    others = {1: Warm(busy, 1.0), 16: Warm(busy, 0.0008)}
    assert runner._seconds(busy, shape, others) == pytest.approx(4 * 0.0008, rel=0.2)


@pytest.mark.parametrize(
    "n, seconds, expected",
    [
        (0, {1: 1.0, 16: 3.0}, []),
        (1, {1: 1.0, 16: 3.0}, [1]),
        (3, {1: 1.0, 16: 3.0}, [1, 1, 1]),
        (4, {1: 1.0, 16: 3.0}, [16]),
        (16, {1: 1.0, 16: 3.0}, [16]),
        (18, {1: 1.0, 16: 3.0}, [16, 1, 1]),
        (20, {1: 1.0, 16: 3.0}, [16, 16]),
        (5, {1: 1.0, 16: 16.0}, [1, 1, 1, 1, 1]),
        (70, {1: 1.0, 8: 2.0, 32: 6.0}, [32, 32, 8]),
        (3, {8: 2.0}, [8]),
        (20, {8: 2.0}, [8, 8, 8]),
    ],
)
def test_rows_are_cut_where_that_takes_the_least_time(n: int, seconds: dict[int, float], expected: list[int]) -> None:
    """A batch is padded where that is quicker for each row than the smaller batches; nothing smaller, no choice."""
    assert [size for _, _, size in chunks(n, timed(seconds))] == expected


@given(n=st.integers(0, 500), seconds=st.dictionaries(st.integers(1, 64), st.floats(1e-6, 10), min_size=1))
def test_every_row_is_computed_once(n: int, seconds: dict[int, float]) -> None:
    """The pieces follow one another from 0 to n and none is longer than its batch, whatever takes how long."""
    pieces = list(chunks(n, timed(seconds)))
    assert [start for start, _, _ in pieces] == [0, *(stop for _, stop, _ in pieces)][: len(pieces)]
    assert (pieces[-1][1] if pieces else 0) == n
    assert all(0 < stop - start <= size and size in seconds for start, stop, size in pieces)


def test_it_is_told_how_long_a_batch_takes(toy: Runner) -> None:
    """The seconds of n windows are those of the batches that they are cut into, as they were measured."""
    assert toy.seconds(0) == 0
    assert 0 < toy.seconds(1) <= toy.seconds(2) <= 2 * toy.seconds(1)


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 11])
def test_any_number_of_windows_is_answered(n: int, toy: Runner) -> None:
    """Every window gets its own answer, whatever it was batched and padded with."""
    x = noise(n)
    answer = toy.predict(x)
    assert answer.shape == (n, 8)
    assert answer.dtype == np.float32
    assert np.array_equal(answer, np.repeat(x[:, -1, :1], 8, axis=1) + np.float32(0.25))


@pytest.mark.parametrize("shape", [(672, 7), (1, 671, 7), (1, 672, 6), (1, 672)])
def test_windows_of_another_shape_are_a_programming_error(shape: tuple[int, ...], toy: Runner) -> None:
    """Nothing is broadcast or cut to fit."""
    with pytest.raises(ValueError, match="takes"):
        toy.predict(np.zeros(shape, np.float32))


@pytest.mark.parametrize("sizes", [(), (0,), (-1, 4)])
def test_batch_sizes_are_positive(sizes: tuple[int, ...], tmp_path: Path) -> None:
    """A runner without a batch size could answer nothing."""
    folder = model_folder(tmp_path / "model")
    with pytest.raises(ValueError, match="at least one"):
        Runner(folder, card_of(folder), sizes)


def test_larger_batches_can_wait(tmp_path: Path) -> None:
    """A runner answers with the smallest batch alone, uncompiled, and with all of them once they are compiled."""
    folder = model_folder(tmp_path / "model")
    runner = Runner(folder, card_of(folder), SIZES, rest_later=True)
    x = noise(2 * SIZES[-1])
    seen, answers = [(runner.batch_sizes, runner.compiled, runner.wait(0))], [runner.predict(x)]
    for _ in range(2):  # the second time there is nothing left
        runner.compile_rest()
        seen.append((runner.batch_sizes, runner.compiled, runner.wait(0)))
        answers.append(runner.predict(x))
    assert seen == [(SIZES[:1], False, False), (SIZES, True, True), (SIZES, True, True)]
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2])


def test_one_more_size_is_compiled_behind(tmp_path: Path) -> None:
    """It is compiled once, however often it is asked for, and then it is used."""
    folder = model_folder(tmp_path / "model")
    runner = Runner(folder, card_of(folder), SIZES)
    x = noise(3 * SIZES[-1])
    before = runner.predict(x)
    threads = [runner.widen(size) for size in (2 * SIZES[-1], SIZES[0], 2 * SIZES[-1])]
    assert threads[0] is not None
    threads[0].join()
    assert threads[1:] == [None, None]
    assert runner.batch_sizes == (*SIZES, 2 * SIZES[-1])
    assert np.array_equal(runner.predict(x), before)


def test_threads_do_not_disturb_one_another(toy: Runner) -> None:
    """Calls at the same time give what each gives alone."""
    inputs = [noise(n) for n in range(1, 9)] * 4
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(toy.predict, inputs))
    assert all(np.array_equal(answer[:, 0], x[:, -1, 0] + 0.25) for answer, x in zip(answers, inputs, strict=True))


def test_no_call_brings_a_shape_that_was_not_warmed(tmp_path: Path) -> None:
    """XLA compiles for every new shape, so only the warmed ones may ever reach it."""
    folder = model_folder(tmp_path / "model")
    runner = Runner(folder, card_of(folder), SIZES)
    seen: list[tuple[int, tuple[int, ...]]] = []

    def recording(size: int, call: Any) -> Any:
        def record(x: Any) -> Any:
            seen.append((size, x.shape))
            return call(x)

        return record

    runner._ready = {size: Warm(recording(size, one.call), 1.0) for size, one in runner._ready.items()}
    for n in range(12):
        runner.predict(noise(n))
    assert set(seen) == {(size, (size, 672, 7)) for size in SIZES}


@pytest.mark.parametrize("later", [False, True])
def test_model_that_xla_cannot_compile_serves_without(
    later: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Such a model answers the same numbers, slower, and the log says so."""
    import tensorflow as tf  # noqa: PLC0415

    def through_text(x: Any) -> Any:
        return tf.strings.to_number(tf.strings.as_string(tf.repeat(x[:, -1, :1], 8, axis=1)))

    folder = model_folder(tmp_path / "model", through_text)
    with caplog.at_level(logging.WARNING, "models.runner"):
        runner = Runner(folder, card_of(folder), SIZES, rest_later=later)
        runner.compile_rest()
    x = noise(3)
    assert not runner.compiled
    assert runner.batch_sizes == SIZES
    assert caplog.text.count("XLA cannot compile") == 1
    np.testing.assert_allclose(runner.predict(x)[:, 0], x[:, -1, 0], rtol=0, atol=1e-5)


def test_answers_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    """NaN and infinity never leave a runner, and the error names the windows."""
    import tensorflow as tf  # noqa: PLC0415

    folder = model_folder(tmp_path / "model", lambda x: tf.math.log(tf.repeat(x[:, -1, :1] + 2, 8, axis=1)))
    x = np.ones((3, 672, 7), np.float32)
    x[1], x[2] = -2, -3
    with pytest.raises(NonFiniteForecast) as refusal:
        Runner(folder, card_of(folder)).predict(x)
    assert refusal.value.rows == (1, 2)


def broken_weights(value: float, *, everywhere: bool) -> Callable[[Path], Path]:
    """Make a folder with a `.keras` file whose first kernel holds such a weight."""

    def make(folder: Path) -> Path:
        model = keras_model()
        first, *others = model.get_weights()
        first[... if everywhere else (0, 0)] = value
        model.set_weights([first, *others])
        return keras_folder(folder, model)

    return make


def graph(body: Callable[[Any, Any], Any]) -> Callable[[Path], Path]:
    """Make a folder with a SavedModel that repeats what `body(tf, x)` makes of each window: (n, 1)."""

    def make(folder: Path) -> Path:
        import tensorflow as tf  # noqa: PLC0415

        return model_folder(folder, lambda x: tf.repeat(body(tf, x), 8, axis=1))

    return make


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(broken_weights(np.nan, everywhere=True), id="NaN weights"),
        pytest.param(broken_weights(np.nan, everywhere=False), id="one NaN weight"),
        pytest.param(graph(lambda _, x: x[:, -1, :1] / 0.0), id="infinite"),
    ],
)
def test_model_that_can_answer_nobody_is_not_loaded(
    make: Callable[[Path], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused as a model, instead of blaming each client's load profile; XLA is not blamed either."""
    folder = make(tmp_path / "model")
    with pytest.raises(RefusedWeights, match=r"not finite .* for an ordinary week"):
        Runner(folder, card_of(folder))
    assert "XLA" not in caplog.text


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(graph(lambda tf, x: x[:, -1, :1] / tf.math.reduce_std(x[:, :, :1], axis=1)), id="by its spread"),
        pytest.param(graph(lambda tf, x: tf.math.sqrt(x[:, -1, :1] + 2)), id="root of the power in kW"),
    ],
)
def test_model_that_fails_on_odd_weeks_only_serves(make: Callable[[Path], Path], tmp_path: Path) -> None:
    """What such a model cannot answer is a matter of the week that it gets."""
    folder = make(tmp_path / "model")
    assert Runner(folder, card_of(folder)).predict(ordinary_week(672, 7)).shape == (1, 8)


@pytest.mark.parametrize("window, columns", [(672, 7), (672, 1), (96, 11)])
def test_ordinary_week_is_what_a_normalised_week_is(window: int, columns: int) -> None:
    """Mean 0, standard deviation 1, no constant column and nothing far out."""
    week = ordinary_week(window, columns)
    assert week.shape == (1, window, columns)
    assert week.dtype == np.float32
    np.testing.assert_allclose(week.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(week.std(axis=1), 1, atol=1e-6)
    assert np.abs(week).max() < 1.5


def test_failure_inside_tensorflow_makes_the_model_unavailable(tmp_path: Path) -> None:
    """What TensorFlow raises while it computes reaches nobody as such."""
    import tensorflow as tf  # noqa: PLC0415

    def picky(x: Any) -> Any:
        text = tf.strings.as_string(x[:, -1, :1])  # keeps XLA out, which would drop the check
        with tf.control_dependencies([tf.debugging.assert_less(x, 5.0)]):
            return tf.repeat(tf.strings.to_number(text), 8, axis=1)

    folder = model_folder(tmp_path / "model", picky)
    runner = Runner(folder, card_of(folder))
    with pytest.raises(ModelUnavailable) as refusal:
        runner.predict(np.full((1, 672, 7), 6.0, np.float32))
    assert refusal.value.name == "toy"
    assert runner.predict(np.ones((1, 672, 7), np.float32)).tolist() == [[1.0] * 8]


@pytest.mark.parametrize(
    "changes, told",
    [
        pytest.param({"window": 96}, "window", id="window"),
        pytest.param({"horizon": 4}, "horizon", id="horizon"),
        pytest.param({"columns": [POWER]}, "columns", id="columns"),
        pytest.param({"window": 96, "horizon": 4}, "horizon", id="both are told"),
    ],
)
def test_card_that_contradicts_the_model_is_refused(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    """The shapes in the card are those of the model itself."""
    folder = model_folder(tmp_path / "model", **changes)
    with pytest.raises(InvalidCard, match=told):
        Runner(folder, card_of(folder))


def test_real_answer_counts_where_the_model_leaves_its_shape_open(tmp_path: Path) -> None:
    """A model that declares (None, None) but answers five steps is refused with a card of eight."""
    import tensorflow as tf  # noqa: PLC0415

    def five(x: Any) -> Any:
        return tf.raw_ops.PlaceholderWithDefault(input=x[:, -5:, 0], shape=[None, None])

    folder = model_folder(tmp_path / "model", five)
    with pytest.raises(InvalidCard, match=r"1 windows gave \(1, 5\)"):
        Runner(folder, card_of(folder))


def test_keras_file_answers_as_keras_does(tmp_path: Path) -> None:
    """Loading, compiling and padding change no number beyond float32."""
    model = keras_model()
    folder = keras_folder(tmp_path / "model", model)
    x = noise(5)
    answer = Runner(folder, card_of(folder), SIZES).predict(x)
    np.testing.assert_allclose(answer, np.asarray(model(x)), rtol=0, atol=1e-5)


def test_runner_can_be_unloaded(tmp_path: Path) -> None:
    """Nothing but its owner keeps a runner alive."""
    folder = model_folder(tmp_path / "model")
    runner = Runner(folder, card_of(folder))
    gone = weakref.ref(runner)
    del runner
    gc.collect()
    assert gone() is None
