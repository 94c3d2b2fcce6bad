"""The part of TensorFlow that serving needs, without the rest: the only module that knows how to load it so.

In: nothing. Out: `core`, with what loads, compiles and calls a SavedModel; `complete`, for who needs the whole, as
Keras does. Nothing is refused: where the part cannot be had alone, it is taken from the whole.

`import tensorflow` runs tensorflow/__init__.py, which brings in two generations of its API, Keras, and whatever Keras
finds installed: 3.0 s of computing and 245 MB that no other process shares (TensorFlow 2.21, 2 busy cores). The modules
below it can be imported one by one as soon as `sys.modules` holds a package of that name, so a bare one is put there:
1.4 s and 121 MB, and the models give the same numbers to the last bit. Whoever imports TensorFlow later gets the bare
package, and the first thing they ask it for that is not there yet makes it whole. Plugins for other devices (a folder
tensorflow-plugins) come with the whole only.
"""

from __future__ import annotations

import ctypes
import logging
import re
import sys
import threading
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "tensorflow"
# Whoever looks through all of sys.modules asks each module for names such as __wrapped__: only these it really has.
UNDERSCORED = frozenset({"__version__", "__internal__", "__operators__", "__compiler_version__", "__git_version__"})
ARENA_MAX, ARENAS = -8, 4  # the name of the limit in glibc's malloc.h, and the limit
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # likewise
LARGE = 16 << 20  # bytes of a block, or of what is free at the top
DONT_NEED = 4  # in Linux's madvise: the pages may go, and are read anew when they are touched
_OF_TENSORFLOW = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r-[-x]p .*/tensorflow/.*\.so")
log = logging.getLogger(__name__)
_loading = threading.RLock()


class Core(NamedTuple):
    """What serving needs, each by TensorFlow's own name for it."""

    load: Callable[[str], Any]
    function: Callable[..., Any]
    cast: Callable[..., Any]
    constant: Callable[..., Any]
    TensorSpec: Callable[..., Any]
    float32: Any
    OpError: type[Exception]
    SavedModel: Callable[[], Any]
    op_definition: Callable[[str], Any]


def core() -> Core:
    """Give the part of TensorFlow that serving needs; it is loaded the first time."""
    with _loading:
        return _core()


@cache
def _core() -> Core:
    if NAME not in sys.modules:
        try:
            return _part()
        except (ImportError, AttributeError) as error:  # its inner modules may move in any version
            log.warning("TensorFlow cannot be imported in part (%s); the whole takes longer and more memory", error)
    complete()
    return _whole()


def limit_threads(count: int) -> None:
    """Let TensorFlow use so many threads for one call, instead of one for each core.

    Args:
        count: at least 1. TensorFlow takes it only before its first call; later nothing changes, and the log says so.
    """
    core()
    from tensorflow.python.eager import context  # noqa: PLC0415

    try:
        context.context().intra_op_parallelism_threads = count
    except RuntimeError:
        log.warning("TensorFlow computes already, so %d as the number of its threads comes too late", count)


def give_back_memory() -> None:
    """Return to the system what is no longer used, where it lets itself be told; to be called after each compiling.

    That is what has been freed, some 100 MB each time, which glibc would keep; and some 300 MB of TensorFlow's library
    files that loading and compiling have read and answering does not: they leave this process, and come back from the
    files should they be read again.
    """
    if (trim := _of_c("malloc_trim")) is not None:
        trim(0)
    if sys.platform == "linux" and (madvise := _of_c("madvise")) is not None:
        for start, size in _untouched():
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), DONT_NEED)


def _untouched() -> Iterator[tuple[int, int]]:
    """Find the parts of TensorFlow's libraries that are as they stand in the file: (start, size) in memory.

    What the loader has changed for this process, the kernel calls anonymous: it would be lost.
    """
    part: re.Match[str] | None = None
    try:
        told = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in told.splitlines():
        if line.endswith(" kB"):
            if part and line.startswith("Anonymous:") and int(line.split()[1]) == 0:
                start, end = int(part[1], 16), int(part[2], 16)
                yield start, end - start
        elif not line.startswith(("VmFlags:", "THPeligible:", "ProtectionKey:")):
            part = _OF_TENSORFLOW.match(line)


def limit_retained_memory() -> None:
    """Let the C library keep less of what was freed; where it knows no such call nothing happens.

    Each arena keeps what was freed in it, and TensorFlow's and the requests' threads come and go: all threads but the
    first share three arenas, instead of some eight times the cores: two of a backtest and two of TensorFlow's allocate
    side by side, and on one arena they took a tenth longer. And the C library gives large blocks back at once, but
    takes the largest one that was ever freed, up to 32 MB, for small from then on: after one log-in, whose hash takes
    19 MB, that is everything. So what is large is said. To be called before there are threads.
    """
    if (mallopt := _of_c("mallopt")) is not None:
        mallopt(ARENA_MAX, ARENAS)
        mallopt(MMAP_THRESHOLD, LARGE)
        mallopt(TRIM_THRESHOLD, LARGE)


@cache
def _of_c(name: str) -> Callable[..., int] | None:
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
    return found


def complete() -> None:
    """Make TensorFlow whole, as `import tensorflow` does where `core` was not called before."""
    with _loading:
        package = import_module(NAME)
        if isinstance(package, _Bare) and not _Bare.completing:
            bare: Any = package
            _Bare.completing = True
            try:
                bare.__spec__.loader.exec_module(bare)
                bare.__class__ = ModuleType
            finally:
                _Bare.completing = False


class _Bare(ModuleType):
    """The package `tensorflow` as long as its own code has not run."""

    completing = False  # its own modules then get what a half-imported package gives; other threads wait

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") or name in UNDERSCORED:
            complete()
        return ModuleType.__getattribute__(self, name)  # by now it may be a plain module


def _part() -> Core:
    if (spec := find_spec(NAME)) is None:
        raise ModuleNotFoundError(f"No module named {NAME!r}", name=NAME)
    package = module_from_spec(spec)
    package.__class__ = _Bare
    sys.modules[NAME] = package
    from tensorflow.python import pywrap_tensorflow, tf2  # noqa: F401, PLC0415  # the library itself comes first
    from tensorflow.python.compat import v2_compat  # noqa: PLC0415

    tf2.enable()
    v2_compat.enable_v2_behavior()
    from tensorflow.core.protobuf import saved_model_pb2  # noqa: PLC0415
    from tensorflow.python.eager import def_function  # noqa: PLC0415
    from tensorflow.python.framework import (  # noqa: PLC0415
        constant_op,
        dtypes,
        errors,
        op_def_registry,
        tensor,
    )
    from tensorflow.python.ops import math_ops  # noqa: PLC0415
    from tensorflow.python.saved_model import load  # noqa: PLC0415

    return Core(
        load.load,
        def_function.function,
        math_ops.cast,
        constant_op.constant,
        tensor.TensorSpec,
        dtypes.float32,
        errors.OpError,
        saved_model_pb2.SavedModel,
        op_def_registry.get,
    )


def _whole() -> Core:
    import tensorflow as tf  # noqa: PLC0415
    from tensorflow.core.protobuf import saved_model_pb2  # noqa: PLC0415
    from tensorflow.python.framework import op_def_registry  # noqa: PLC0415

    return Core(
        tf.saved_model.load,
        tf.function,
        tf.cast,
        tf.constant,
        tf.TensorSpec,
        tf.float32,
        tf.errors.OpError,
        saved_model_pb2.SavedModel,
        op_def_registry.get,
    )
