"""What is known of the request that is being answered: its id, where its time went, why it was refused.

`edge.telemetry` opens a `Record` for each request; below it, whoever does a stage of the work says so with `stage`.
Without a record, in a command or a test, a stage costs the look at one variable. The stages of a request add up to less
than the whole: what is left is BentoML, the event loop and waiting. TLS lies below ASGI and in none of them.
"""

from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter, time_ns
from types import TracebackType

STAGES = ("token", "body", "read", "past", "features", "model", "answer")  # in the order of a request


@dataclass(eq=False, slots=True)
class Record:
    """What is known of one request; its threads share it.

    Attributes:
        id: of the request, safe to write anywhere.
        stages: seconds by stage, in the order of their ends.
        problem: the last part of the type of the problem document that was answered, if one was.
        trace: W3C trace id, 32 hexadecimal digits, where the request is traced.
        spans: stage, start and end in nanoseconds since 1970 of each stage of a request that is traced.
    """

    id: str
    stages: dict[str, float] = field(default_factory=dict)
    problem: str = ""
    trace: str = ""
    spans: list[tuple[str, int, int]] | None = None


RECORD: ContextVar[Record | None] = ContextVar("record", default=None)


class stage:  # noqa: N801  # reads as the function that it would be, and costs a third of a generator
    """Counts the time within as a stage of the request that is being answered; stages of one name are added up.

    What a stage within takes is counted for that one alone.
    """

    __slots__ = ("_began", "_name", "_record", "_start")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._record = record = RECORD.get()
        if record is not None:
            self._began = 0 if record.spans is None else time_ns()
            self._start = perf_counter() - sum(record.stages.values())

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        record = self._record
        if record is not None:
            stages = record.stages
            taken = perf_counter() - sum(stages.values()) - self._start
            stages[self._name] = stages.get(self._name, 0.0) + taken
            if record.spans is not None:
                record.spans.append((self._name, self._began, time_ns()))
