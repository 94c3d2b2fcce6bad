"""The slim TensorFlow: what a process that serves loads of it, and that the whole is there for who asks.

Each case is a program in a process of its own, because a process has one TensorFlow.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from conftest import PROJECT
from toy import QUIET, keras_folder, keras_model, model_folder

from models.slim_tensorflow import ARENAS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = QUIET
BEGIN = """
import sys
from pathlib import Path
import numpy as np
from models.card import read_card
from models.runner import Runner
from models.slim_tensorflow import complete, core, limit_threads

folder = Path(sys.argv[1])

def serve(folder):
    runner = Runner(folder, read_card(folder / "card.json"))
    answer = runner.predict(np.ones((1, 672, 7), np.float32))
    assert answer.shape == (1, 8), answer
    return runner

def whole():
    return "keras" in sys.modules or "tensorflow._api.v2" in sys.modules
"""


def run(code: str, folder: Path) -> str:
    """Run such a program on a model folder; return its output after checking that it ended well."""
    command = [sys.executable, "-c", BEGIN + code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of the toy that repeats the last value and adds 0.25."""
    return model_folder(tmp_path_factory.mktemp("slim") / "model")


@pytest.fixture(scope="module")
def keras_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a `.keras` model."""
    return keras_folder(tmp_path_factory.mktemp("keras") / "model", keras_model())


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("serve(folder); assert not whole()", id="a SavedModel"),
        pytest.param("import tensorflow; serve(folder); assert whole()", id="whole first"),
        pytest.param("serve(folder); complete(); complete(); assert whole(); serve(folder)", id="completed, twice"),
        pytest.param(
            "serve(folder); import tensorflow as tf; assert not whole(); assert tf.reduce_sum(tf.ones(3)) == 3;"
            "assert whole(); assert type(tf).__name__ == 'module'; serve(folder)",
            id="asked for a name",
        ),
        pytest.param("serve(folder); from tensorflow import Variable; assert whole()", id="a name imported"),
        pytest.param("serve(folder); import tensorflow as tf; assert tf.__version__; assert whole()", id="its version"),
        pytest.param("serve(folder); import keras; keras.layers.Dense(1)(np.ones((1, 2)))", id="Keras by itself"),
        pytest.param(
            "serve(folder); import inspect; inspect.getmodule(sys._getframe()); import tensorflow as tf;"
            "assert not hasattr(tf, '__wrapped__'); assert not whole()",
            id="looked through",
        ),
        pytest.param(
            "complete(); import tensorflow as tf; assert whole(); assert not hasattr(tf, 'nothing')", id="nothing slim"
        ),
        pytest.param("core(); import tensorflow as tf; assert not hasattr(tf, 'nothing')", id="no such name"),
    ],
)
def test_the_whole_is_there_for_who_asks_only(code: str, model: Path) -> None:
    """Serving a SavedModel leaves TensorFlow's own package alone; whoever needs the rest gets it, in any order."""
    assert "cannot be imported in part" not in run(code, model)


def test_keras_files_follow_saved_models(model: Path, keras_toy: Path) -> None:
    """A `.keras` model is served by a process that served without Keras so far, beside the first one."""
    run(f"first = serve(folder); second = serve(Path({str(keras_toy)!r})); first.predict(np.ones((1, 672, 7)))", model)


def test_two_threads_may_complete_at_once(model: Path) -> None:
    """The second waits for the first, so that neither sees half of it."""
    code = """
from concurrent.futures import ThreadPoolExecutor
serve(folder)
import tensorflow as tf
with ThreadPoolExecutor(4) as pool:
    found = list(pool.map(lambda name: getattr(tf, name), ["zeros", "keras", "data", "Variable"]))
assert whole()
"""
    run(code, model)


def test_threads_may_begin_at_once(model: Path) -> None:
    """Who asks while the part is being loaded waits for it and does not load the whole."""
    code = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    first, *others = pool.map(lambda _: core(), range(4))
assert all(other is first for other in others)
assert not whole()
"""
    run(code, model)


def test_another_tensorflow_is_taken_whole(model: Path) -> None:
    """Where an inner module is not where it was, the log says so once and the model serves all the same."""
    code = """
class Moved:
    def find_spec(self, name, *_):
        if name == "tensorflow.python.saved_model.load":
            sys.meta_path.remove(self)
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Moved())
serve(folder)
serve(folder)
assert whole()
"""
    assert run(code, model).count("cannot be imported in part") == 1


def test_number_of_threads_is_what_was_said(model: Path) -> None:
    """It counts before the first call; afterwards TensorFlow goes on as it was, and the log says so."""
    code = """
limit_threads(3)
serve(folder)
limit_threads(2)
import tensorflow as tf
assert tf.config.threading.get_intra_op_parallelism_threads() == 3
"""
    assert "comes too late" in run(code, model)


def test_worker_needs_the_part_only(model: Path, tmp_path: Path) -> None:
    """From the import into the store to the forecasts of two models loaded side by side, the rest stays away."""
    code = f"""
from import_models import import_model
from models.catalogue import Catalogue
from models.store import Store

store = Store(Path({str(tmp_path)!r}))
for name in ("first", "second"):
    import_model(folder, name=name, store=store)
catalogue = Catalogue(store, batch_sizes=(1, 2))
catalogue.load()
catalogue.compile_rest()
assert catalogue.ready
assert catalogue.names() == ("first", "second")
assert [catalogue.get(name).runner.batch_sizes for name in catalogue.names()] == [(1, 2)] * 2
assert not whole()
"""
    run(code, model)


def test_freed_memory_is_given_back(model: Path) -> None:
    """What lies free between things in use is the system's again, where the C library can do that."""
    code = """
import psutil
from models.slim_tensorflow import _of_c, give_back_memory

def resident():
    return psutil.Process().memory_info().rss

pieces = [bytes(1000) for _ in range(100_000)]
pieces[:-1] = []
before = resident()
give_back_memory()
print("gave back" if before - resident() > 50_000_000 else "kept", _of_c("malloc_trim"))
"""
    if (told := run(code, model)).endswith("None\n"):
        pytest.skip("this C library has no malloc_trim")
    assert told.startswith("gave back")


def test_read_parts_of_the_libraries_are_let_go(model: Path) -> None:
    """What loading and compiling read of TensorFlow leaves the process, and the model answers as before."""
    code = """
import psutil
from models.slim_tensorflow import give_back_memory

def shared():
    return psutil.Process().memory_info().shared

x = np.ones((1, 672, 7), np.float32)
runner = serve(folder)
core().function(lambda x: x + 1, jit_compile=True)(x)
before, answer = shared(), runner.predict(x)
give_back_memory()
freed = before - shared()
assert np.array_equal(runner.predict(x), answer)
assert np.array_equal(serve(folder).predict(x), answer)
print("let go" if freed > 50_000_000 else f"kept all but {freed} bytes")
"""
    if sys.platform != "linux":
        pytest.skip("only Linux tells which parts are as they stand in the file")
    assert run(code, model).startswith("let go")


def test_a_large_block_makes_no_later_one_small(model: Path) -> None:
    """What a log-in frees, 19 MB, is given back, the second time as well."""
    code = """
import ctypes
from models.slim_tensorflow import _of_c, limit_retained_memory

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

limit_retained_memory()
library, grown = ctypes.CDLL(None), []
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
for _ in range(3):
    blocks = [library.malloc(19 << 20) for _ in range(2)]
    for block in blocks:
        ctypes.memset(block, 1, 19 << 20)
    before, above = held(), library.malloc(100)
    for block in blocks:
        library.free(block)
    grown.append(before - held())
if _of_c("mallopt"):
    print("let go" if min(grown) > 35_000_000 else grown)
"""
    if sys.platform != "linux":
        pytest.skip("only Linux tells in /proc")
    if not (told := run(code, model)):
        pytest.skip("this C library has no mallopt")
    assert told.strip() == "let go"


def test_threads_share_an_arena(model: Path) -> None:
    """However many threads allocate side by side, the C library keeps few arenas, where it can be told."""
    code = """
import ctypes
from threading import Barrier, Thread
from models.slim_tensorflow import _of_c, limit_retained_memory

limit_retained_memory()
library, all_there = ctypes.CDLL(None), Barrier(20)

def allocate():
    library.free(library.malloc(100_000))
    all_there.wait()
    library.free(library.malloc(100_000))

threads = [Thread(target=allocate) for _ in range(20)]
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
for step in (Thread.start, Thread.join):
    for thread in threads:
        step(thread)
told = Path(sys.argv[1]) / "arenas.xml"
if _of_c("mallopt") and _of_c("malloc_info"):
    library.fopen.restype, library.fopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p] * 2
    library.malloc_info.argtypes, library.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
    file = library.fopen(str(told).encode(), b"w")
    library.malloc_info(0, file)
    library.fclose(file)
    print(told.read_text().count("<heap nr="), "arenas")
"""
    if not (told := run(code, model)):
        pytest.skip("this C library has no mallopt")
    assert 1 <= int(told.split()[0]) <= ARENAS
