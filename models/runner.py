"""A model in memory, compiled and warm.

In: (n, window, c) float32, normalised columns in the card's order. Out: (n, horizon) float32, normalised.
Compiling takes some seconds for each batch size, so every size is compiled and run once before it is used, in the
constructor or by `compile_rest`, and a call of any other size is cut and padded to these. Refused: a model whose real
shapes contradict its card, one without a finite answer even to an ordinary week, and later answers that are not finite.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from models import keras_file, saved_model
from models.card import CARD, ModelCard
from models.errors import InvalidCard, ModelUnavailable, NonFiniteForecast, RefusedWeights
from models.weights import weight_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.keras_file import Loaded

log = logging.getLogger(__name__)
_Call = Callable[[Any], Any]
TIMED = 3  # calls of each batch size, of which the quickest counts


@dataclass(frozen=True)
class Compiled:
    """A model for batches of one size, warm: what to call, and how many seconds a call took."""

    call: _Call
    seconds: float


class Runner:
    """One loaded model. Any number of threads may call `predict` at once.

    Attributes:
        card: the model's card.
        compiled: whether XLA compiled the model; without it a call is slower and the numbers are the same.
    """

    def __init__(
        self, directory: Path, card: ModelCard, batch_sizes: Sequence[int] = (1,), *, rest_later: bool = False
    ) -> None:
        """Check, load, compile and warm the model.

        Args:
            directory: the model folder; its files were compared with the card before.
            card: its card.
            batch_sizes: the sizes to compile, each at least 1.
            rest_later: whether all but the smallest wait for `compile_rest`, so that a lone forecast can be answered.

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
        now, self._later = (sizes[:1], sizes[1:]) if rest_later else (sizes, [])
        self.compiled = True
        try:
            self._compiled = self._warm(now)
        except RefusedWeights as error:
            log.warning("model %s: XLA cannot compile it, trying without (%s)", card.name, error.reason)
            self.compiled = False
            self._compiled = self._warm(now)
        self._try(directory)

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """The sizes that are compiled by now, rising."""
        return tuple(self._compiled)

    def compile_rest(self) -> None:
        """Compile the sizes that were left for later; `predict` goes on meanwhile and then uses them.

        Raises:
            RefusedWeights, InvalidCard: as the constructor does; the sizes that there are stay.
        """
        later, self._later = self._later, []
        self._compiled = {**self._compiled, **self._warm(later)}

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
        compiled = self._compiled
        try:
            for start, stop, size in chunks(len(x), compiled):
                y[start:stop] = compiled[size].call(_padded(x[start:stop], size))[: stop - start]
        except _tensorflow().errors.OpError as error:
            raise ModelUnavailable(self.card.name, _first_line(error)) from error
        return y

    def seconds(self, n: int) -> float:
        """Tell about how long `outputs` takes for n windows where nothing else goes on."""
        compiled = self._compiled
        return sum(compiled[size].seconds for _, _, size in chunks(n, compiled))

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

    def _warm(self, sizes: Sequence[int]) -> dict[int, Compiled]:
        directory, compiled = self._directory, {}
        for size in sizes:
            shape = (size, self.card.window, len(self.card.columns))
            try:
                call = _compile(self._call, shape, xla=self.compiled)
                answer = call(np.zeros(shape, np.float32))
            except (ValueError, TypeError, _tensorflow().errors.OpError) as error:
                reason = f"cannot be run with an input of shape {shape} ({_first_line(error)})"
                raise RefusedWeights(directory, reason) from error
            if answer.shape != (size, self.card.horizon):
                told = f"(None, {self.card.horizon})"
                raise InvalidCard(directory / CARD, [f"horizon: says {told}, but {size} windows gave {answer.shape}"])
            compiled[size] = Compiled(call, _quickest(call, shape))
        return compiled


def chunks(n: int, compiled: Mapping[int, Compiled]) -> Iterator[tuple[int, int, int]]:
    """Cut n rows into pieces (start, stop, size) with stop - start <= size, one of the compiled sizes.

    Each piece is of the size that takes the least time for each row that is left, padding counted in.
    """
    start = 0
    while (rest := n - start) > 0:
        per_row = {size: one.seconds / min(size, rest) for size, one in compiled.items()}
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


def _quickest(call: _Call, shape: tuple[int, ...]) -> float:
    x, seconds = np.zeros(shape, np.float32), []
    for _ in range(TIMED):
        start = perf_counter()
        call(x)
        seconds.append(perf_counter() - start)
    return min(seconds)


def _compile(call: _Call, shape: tuple[int, ...], *, xla: bool) -> _Call:
    tf = _tensorflow()
    spec = tf.TensorSpec(shape, tf.float32)
    function = tf.function(lambda x: tf.cast(call(x), tf.float32), input_signature=[spec], jit_compile=xla)
    concrete = function.get_concrete_function()
    return lambda x: concrete(tf.constant(x)).numpy()


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


def _tensorflow() -> Any:
    import tensorflow  # noqa: ICN001, PLC0415  # only a process that loads a model pays for it

    return tensorflow
