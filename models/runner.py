"""A model in memory, compiled and warm.

In: (n, window, c) float32, normalised columns in the card's order. Out: (n, horizon) float32, normalised.
Compiling takes some seconds for each batch size, so every size is compiled and run once before it is used, in the
constructor, by `compile_rest` or by `widen`, and a call of any other size is cut and padded to these. Where compiling
is left for later the smallest size answers at once without XLA: 2.5 ms for a week of the shipped networks instead of
0.5, and the same numbers to a millionth. Refused: a model whose real shapes contradict its card, one without a finite
answer even to an ordinary week, and later answers that are not finite.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from models import keras_file, saved_model
from models.behind import behind
from models.card import CARD, ModelCard
from models.errors import InvalidCard, ModelUnavailable, NonFiniteForecast, RefusedWeights
from models.slim_tensorflow import core, give_back_memory
from models.weights import weight_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from threading import Thread

    from numpy.typing import NDArray

    from models.keras_file import Loaded

log = logging.getLogger(__name__)
_Call = Callable[[Any], Any]
TIMED = 5  # calls of each batch size, of which the quickest counts
_one_by_one = Lock()  # two sizes compiled side by side take no less time and twice the memory


@dataclass(frozen=True)
class Warm:
    """A model for batches of one size, warm: what to call, and how many seconds a call took."""

    call: _Call
    seconds: float


class Runner:
    """One loaded model. Any number of threads may call `predict` at once.

    Attributes:
        card: the model's card.
        compiled: whether XLA has compiled the model; without it a call is slower and the numbers are the same.
    """

    def __init__(
        self, directory: Path, card: ModelCard, batch_sizes: Sequence[int] = (1,), *, rest_later: bool = False
    ) -> None:
        """Check, load, compile and warm the model.

        Args:
            directory: the model folder; its files were compared with the card before.
            card: its card.
            batch_sizes: the sizes to compile, each at least 1.
            rest_later: whether compiling waits for `compile_rest`, so that a forecast can be answered seconds earlier.

        Raises:
            RefusedWeights: if the model may not be loaded, cannot be, or has no finite answer to an ordinary week.
            InvalidCard: if its inputs or outputs are not what the card says.
        """
        if not batch_sizes or min(batch_sizes) < 1:
            raise ValueError(f"batch sizes {batch_sizes!r}: give at least one, each 1 or more")
        self.card = card
        self._directory = directory
        self._call = _load(directory, card)
        sizes = sorted(set(batch_sizes))
        self._known = set(sizes)
        self._later = list(sizes) if rest_later else []
        self._whole = Event()  # set when these sizes are compiled, or one of them cannot be
        if not rest_later:
            self._whole.set()
        self._xla, self.compiled, self._ready = True, False, dict[int, Warm]()
        self._ready = self._warm(sizes[:1], xla=False) if rest_later else self._compiled(sizes)
        self._try(directory)

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """The sizes that calls are cut into by now, rising."""
        return tuple(self._ready)

    def wait(self, seconds: float) -> bool:
        """Wait until `compile_rest` is done with the sizes that the constructor was given; tell whether it is."""
        return self._whole.wait(seconds)

    def compile_rest(self) -> None:
        """Compile what was left for later, one size after the other; `predict` goes on meanwhile and then uses them.

        Raises:
            RefusedWeights, InvalidCard: as the constructor does; the sizes that there are stay.
        """
        try:
            while True:
                with _one_by_one:
                    if not self._later:
                        return
                    size = self._later.pop(0)
                    self._ready = {**self._ready, **self._compiled([size])}
        finally:
            self._whole.set()

    def widen(self, size: int) -> Thread | None:
        """Compile one more size behind the requests; the others answer meanwhile.

        Returns:
            The thread that compiles it; None if it was asked for before.
        """
        if size in self._known:
            return None
        self._known.add(size)
        self._later.append(size)
        return behind(self._compile_wide)

    def _compile_wide(self) -> None:
        try:
            self.compile_rest()
        except (RefusedWeights, InvalidCard) as error:
            log.warning("model %s goes on without larger batches (%s)", self.card.name, error)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Forecast.

        Args:
            x: (n, window, c) float32, normalised, any n.

        Returns:
            (n, horizon) float32, normalised.

        Raises:
            ValueError, ModelUnavailable: as `outputs` does.
            NonFiniteForecast: if an answer holds NaN or infinity.
        """
        y = self.outputs(x)
        if not (finite := np.isfinite(y).all(axis=1)).all():
            raise NonFiniteForecast(self.card.name, np.flatnonzero(~finite).tolist())
        return y

    def outputs(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Forecast as `predict` does, whether the answers are finite or not.

        Raises:
            ValueError: for any other shape; callers make it from the card.
            ModelUnavailable: if TensorFlow fails.
        """
        x = np.ascontiguousarray(x, dtype=np.float32)
        shape = (self.card.window, len(self.card.columns))
        if x.shape[1:] != shape:
            raise ValueError(f"model {self.card.name!r} takes (n, {shape[0]}, {shape[1]}), got {x.shape}")
        y = np.empty((len(x), self.card.horizon), np.float32)
        ready = self._ready
        try:
            for start, stop, size in chunks(len(x), ready):
                y[start:stop] = ready[size].call(_padded(x[start:stop], size))[: stop - start]
        except core().OpError as error:
            raise ModelUnavailable(self.card.name, _first_line(error)) from error
        return y

    def seconds(self, n: int) -> float:
        """Tell about how long `outputs` takes for n windows where nothing else goes on."""
        ready = self._ready
        return sum(ready[size].seconds for _, _, size in chunks(n, ready))

    def _try(self, directory: Path) -> None:
        """Refuse a model that could answer nobody, before its clients are told that their load profiles are odd."""
        try:
            self.predict(ordinary_week(self.card.window, len(self.card.columns)))
        except NonFiniteForecast:
            reason = (
                "gives numbers that are not finite (NaN or infinity) for an ordinary week, a daily wave around the "
                "mean of each column; look for NaN among its weights and train it anew"
            )
            raise RefusedWeights(directory, reason) from None

    def _compiled(self, sizes: Sequence[int]) -> dict[int, Warm]:
        """Let XLA compile these sizes; a model that it cannot compile serves as it is."""
        if self._xla:
            try:
                ready = self._warm(sizes, xla=True)
            except RefusedWeights as error:
                log.warning("model %s: XLA cannot compile it, trying without (%s)", self.card.name, error.reason)
                self._xla = False
            else:
                self.compiled = True
                return ready
        return self._warm(sizes, xla=False)

    def _warm(self, sizes: Sequence[int], *, xla: bool) -> dict[int, Warm]:
        directory = self._directory
        ready: dict[int, Warm] = {}
        for size in sizes:
            shape = (size, self.card.window, len(self.card.columns))
            try:
                call = _compile(self._call, shape, xla=xla)
                answer = call(np.zeros(shape, np.float32))
            except (ValueError, TypeError, core().OpError) as error:
                reason = f"cannot be run with an input of shape {shape} ({_first_line(error)})"
                raise RefusedWeights(directory, reason) from error
            finally:
                give_back_memory()
            if answer.shape != (size, self.card.horizon):
                told = f"(None, {self.card.horizon})"
                raise InvalidCard(directory / CARD, [f"horizon: says {told}, but {size} windows gave {answer.shape}"])
            ready[size] = Warm(call, _seconds(call, shape, self._ready | ready))
        return ready


def chunks(n: int, ready: Mapping[int, Warm]) -> Iterator[tuple[int, int, int]]:
    """Cut n rows into pieces (start, stop, size) with stop - start <= size, one of the sizes that are warm.

    Each piece is of the size that takes the least time for each row that is left, padding counted in.
    """
    start = 0
    while (rest := n - start) > 0:
        per_row = {size: one.seconds / min(size, rest) for size, one in ready.items()}
        size = min(per_row, key=per_row.__getitem__)
        stop = min(n, start + size)
        yield start, stop, size
        start = stop


def ordinary_week(window: int, columns: int) -> NDArray[np.float32]:
    """Make up an input that every model can answer: (1, window, columns) float32, in whole days mean 0 and deviation 1.

    Each column is a daily wave with a phase of its own. It is neither constant, which a model may divide by, nor
    further from the mean than the calendar's own columns are.
    """
    quarters, phases = np.arange(window)[:, None] / 96, np.arange(columns) / columns
    wave: NDArray[np.float64] = np.sqrt(2) * np.sin(2 * np.pi * (quarters + phases))
    return wave[None].astype(np.float32)


def _padded(x: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    if len(x) == size:
        return x
    padded = np.zeros((size, *x.shape[1:]), np.float32)
    padded[: len(x)] = x
    return padded


def _seconds(call: _Call, shape: tuple[int, ...], others: Mapping[int, Warm]) -> float:
    """Tell how long a call takes where nothing else goes on, though something may do so now.

    So the largest of the other sizes is timed once more in turn with it, and how they compare counts: a size that
    was compiled behind requests would seem slower than it is, and never be used.
    """
    beside = max(others, default=None)
    calls = [(call, np.zeros(shape, np.float32))]
    if beside is not None:
        calls.append((others[beside].call, np.zeros((beside, *shape[1:]), np.float32)))
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(TIMED):
        for (one, x), seconds in zip(calls, times, strict=True):
            start = perf_counter()
            one(x)
            seconds.append(perf_counter() - start)
    own, *other = map(min, times)
    return own if beside is None else own * others[beside].seconds / other[0]


def _compile(call: _Call, shape: tuple[int, ...], *, xla: bool) -> _Call:
    tf = core()
    spec = tf.TensorSpec(shape, tf.float32)
    # No model that may be loaded brings Python of its own; to rewrite this line alone took a tenth of a second.
    function = tf.function(
        lambda x: tf.cast(call(x), tf.float32), input_signature=[spec], jit_compile=xla, autograph=False
    )
    concrete = function.get_concrete_function()
    captured = concrete.captured_inputs
    # `concrete(...)` would bind and check its arguments first, a fifth of a call for one window.
    return lambda x: concrete._call_flat([tf.constant(x)], captured).numpy()  # noqa: SLF001


def load(root: Path) -> Loaded:
    """Look through a SavedModel folder or a `.keras` file, then load it; it is not compiled.

    Raises:
        RefusedWeights: if it may not be loaded, or cannot be.
    """
    kind = keras_file if root.is_file() else saved_model
    kind.inspect(root)
    try:
        loaded: Loaded = kind.load(root)
    except RefusedWeights:
        raise
    except Exception as error:  # what a broken model makes TensorFlow and Keras raise is not listed anywhere
        raise RefusedWeights(root, f"cannot be loaded ({_first_line(error)}); export it anew") from error
    return loaded


def _load(directory: Path, card: ModelCard) -> _Call:
    loaded = load(directory / weight_root(directory, card.files))
    takes, gives = (None, card.window, len(card.columns)), (None, card.horizon)
    problems = []
    if loaded.takes != takes:
        problems.append(f"window, columns: the card means the input {takes}, the model takes {loaded.takes}")
    if loaded.gives not in {gives, (None, None)}:
        problems.append(f"horizon: the card means the output {gives}, the model gives {loaded.gives}")
    if problems:
        raise InvalidCard(directory / CARD, problems)
    return loaded.call


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
