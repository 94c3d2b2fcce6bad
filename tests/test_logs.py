"""What the log's lines look like, and that no text can forge one."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from conftest import PROJECT
from hypothesis import given
from hypothesis import strategies as st

from edge.logs import (
    LONGEST_EXCEPTION,
    LONGEST_MESSAGE,
    JsonFormatter,
    RequestFilter,
    TextFormatter,
    printable,
)
from edge.timing import RECORD, Record

if TYPE_CHECKING:
    from types import TracebackType

EVIL = "a\nb\r\x1b[31mred\x07\x7f\x85\u2028\u202e\ud800 \N{SNOWMAN}"


def line_of(message: Any, *args: Any, error: Exception | None = None, **facts: Any) -> logging.LogRecord:
    """Return what a call of a logger makes."""
    exc: tuple[type[Exception], Exception, TracebackType | None] | None = None
    if error is not None:
        try:
            raise error
        except type(error) as caught:
            exc = (type(caught), caught, caught.__traceback__)
    made = logging.LogRecord("lastgang", logging.INFO, __file__, 1, message, args, exc)
    made.__dict__["facts"] = facts
    RequestFilter().filter(made)
    return made


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    """Return the members of a line, which has to be one line of plain ASCII."""
    line = JsonFormatter().format(made)
    assert line.isascii()
    assert line.isprintable()
    members: dict[str, Any] = json.loads(line)
    return members


def test_a_line_of_json() -> None:
    """Its members, in their order, with the time in UTC; no request, no id."""
    members = as_json(line_of("%d models", 2, route="/", problem=None))
    assert list(members) == ["time", "level", "logger", "message", "process", "route"]
    assert (members["level"], members["logger"], members["message"]) == ("INFO", "lastgang", "2 models")
    moment = datetime.fromisoformat(members["time"])
    assert moment.utcoffset() == timedelta(0)
    assert members["time"].endswith("Z")


def test_lines_bear_the_ids_of_the_request() -> None:
    """In both shapes, and only as long as the request is answered."""
    token = RECORD.set(Record("an-id", trace="0" * 31 + "1"))
    try:
        made = line_of("said")
    finally:
        RECORD.reset(token)
    assert (as_json(made)["request_id"], as_json(made)["trace_id"]) == ("an-id", "0" * 31 + "1")
    assert "[request_id=an-id trace_id=00" in TextFormatter().format(made)
    assert "request_id" not in as_json(line_of("said"))


def test_an_error_is_one_field() -> None:
    """With its traceback; in the text shape its lines are set in, so that none looks like a record."""
    made = line_of("failed", error=ValueError("2026-01-01T00:00:00.000Z INFO     lastgang: forged\nforged"))
    assert as_json(made)["exception"].startswith("Traceback")
    first, *others = TextFormatter().format(made).split("\n")
    assert first.endswith("failed")
    assert all(one.startswith("    ") for one in others)
    assert any("forged" in one for one in others)


def test_long_lines_are_cut() -> None:
    """The beginning of a message is kept, and the end of a traceback, where the cause stands."""
    members = as_json(line_of("x" * 9_999, error=ValueError("y" * 99_999 + "the cause")))
    assert len(members["message"]) == LONGEST_MESSAGE + 3
    assert len(members["exception"]) == LONGEST_EXCEPTION + 3
    assert members["exception"].endswith("the cause")


def test_a_line_that_is_put_together_wrongly_is_told_all_the_same() -> None:
    """A logger's mistake loses no line."""
    assert as_json(line_of("%d models", "two"))["message"] == "%d models ('two',)"


@given(st.text(), st.text(), st.text())
def test_no_text_can_forge_a_line(message: str, argument: str, fact: str) -> None:
    """Whatever is said, a line is one line without a control character, and JSON gives back what was said."""
    made = line_of("%s %s", message, argument, error=ValueError(argument), fact=fact)
    members = as_json(made)
    assert members["fact"] == fact
    assert members["message"] == f"{message} {argument}"
    first, *others = TextFormatter().format(made).split("\n")
    assert first.isprintable()
    assert all(one.isprintable() and one.startswith("    ") for one in others)


def test_what_cannot_be_printed_is_escaped() -> None:
    """Line ends, ANSI, bidi marks and halves of characters; what can be printed stays."""
    assert printable(EVIL) == r"a\nb\r\x1b[31mred\x07\x7f\x85\u2028\u202e\ud800 ☃"


PROCESS = """
import logging, threading, warnings, sys
from bentoml._internal.log import configure_server_logging
from edge import logs

configure_server_logging()  # as BentoML does in each of its processes
logs.configure(sys.argv[1])
logging.getLogger("lastgang").info("ours")
logging.getLogger("models.catalogue").info("a leaf's")
logging.getLogger("bentoml.serve").info("BentoML's")
logging.getLogger("uvicorn.error").error("uvicorn's")
logging.getLogger("uvicorn.error").info("never shown")
logging.getLogger("circus").warning("circus's")
logging.getLogger("sqlalchemy").warning("a library's")
logging.getLogger("httpx").info("never shown")
assert not logging.getLogger("uvicorn.access").hasHandlers()
from pydantic.warnings import UnsupportedFieldAttributeWarning
warnings.warn("never shown", UnsupportedFieldAttributeWarning)
warnings.warn("a warning")
def fail():
    raise ValueError("in a thread")
thread = threading.Thread(target=fail, name="one")
thread.start()
thread.join()
raise ValueError("at the end")
"""
SAID = ["ours", "a leaf's", "BentoML's", "uvicorn's", "circus's", "a library's"]


def said(form: str) -> list[str]:
    """Return the lines of a process that is configured as BentoML's are; nothing goes to standard output."""
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, form], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    return done.stderr.splitlines()


def test_every_logger_of_a_process_has_one_shape() -> None:
    """Ours, BentoML's, uvicorn's, libraries', warnings, and errors that nobody caught: each a line of JSON, once."""
    lines = [json.loads(line) for line in said("json")]
    assert [line["message"] for line in lines[:6]] == SAID
    warning, thread, end = lines[6:]
    assert "a warning" in warning["message"]
    assert (thread["message"], thread["level"]) == ("Thread one ended by an error", "ERROR")
    assert thread["exception"].endswith("ValueError: in a thread")
    assert end["level"] == "CRITICAL"
    assert end["exception"].endswith("ValueError: at the end")


def test_the_shape_for_people() -> None:
    """Time, level, logger and words in columns."""
    lines = [line for line in said("text") if not line.startswith("    ")]
    assert [line.partition(": ")[2] for line in lines[:6]] == SAID
    assert lines[1].split()[1:3] == ["INFO", "models.catalogue:"]
    assert len(lines) == 9


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_facts_value_may_be_anything(form: str) -> None:
    """What JSON has no form for is told by its words."""
    formatter = JsonFormatter() if form == "json" else TextFormatter()
    assert "2026-01-02" in formatter.format(line_of("said", when=datetime(2026, 1, 2)))  # noqa: DTZ001  # a value
