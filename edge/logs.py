"""What the service's processes log: every line of theirs, and of the libraries in them, in one shape, on stderr.

`json`, for machines: one object a line with `time` (UTC, RFC 3339), `level`, `logger`, `message`, `process`; while a
request is answered `request_id` (and `trace_id`, if it is traced); what a line tells besides; `exception`.
`text`, for people: the same in columns. In both, what a client could have sent can neither begin a line nor move the
cursor: whatever cannot be printed is escaped.
"""

import json
import logging
import logging.config
import sys
import threading
import warnings
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

from pydantic.warnings import UnsupportedFieldAttributeWarning

from edge.timing import RECORD

Format = Literal["json", "text"]

LONGEST_MESSAGE = 4_000  # characters
LONGEST_EXCEPTION = 16_000  # characters; of a longer traceback the end is kept, where the cause stands
OURS = ("lastgang", "audit", "auth", "edge", "forecasting", "models", "processing")
_uncaught = logging.getLogger("lastgang.uncaught")


def configure(form: Format) -> None:
    """Let every logger of this process write in one shape, and tell of errors that nobody caught in it, too.

    BentoML configures its own loggers, uvicorn's and circus's before it loads a service; this comes after it.
    """
    formatter = JsonFormatter if form == "json" else TextFormatter
    loggers = {
        **{name: {"level": "INFO", "handlers": [], "propagate": True} for name in (*OURS, "bentoml")},
        **{name: {"level": "WARNING", "handlers": [], "propagate": True} for name in ("uvicorn.error", "circus")},
        # It prints decoded paths. Without a handler uvicorn does not even put its lines together.
        "uvicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"request": {"()": RequestFilter}},
            "formatters": {"shape": {"()": formatter}},
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "stream": "ext://sys.stderr",
                    "formatter": "shape",
                    "filters": ["request"],
                }
            },
            "root": {"level": "WARNING", "handlers": ["stderr"]},
            "loggers": loggers,
        }
    )
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False  # BentoML's configuration disables every logger that was made before it
    logging.captureWarnings(capture=True)
    # FastAPI keeps it back while it makes a form's fields; what another thread does to the filters then undoes that.
    warnings.filterwarnings("ignore", category=UnsupportedFieldAttributeWarning)
    sys.excepthook = _tell_uncaught
    threading.excepthook = _tell_uncaught_in_thread


class RequestFilter(logging.Filter):
    """Puts the id of the request that is being answered on each record, and its trace's; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mark a record, in the context that logs it."""
        asked = RECORD.get()
        record.request_id, record.trace_id = (asked.id, asked.trace) if asked is not None else ("", "")
        return True


class _Formatter(logging.Formatter):
    """What both shapes share: the parts of a line, bounded."""

    @staticmethod
    def time(record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"

    @staticmethod
    def message(record: logging.LogRecord) -> str:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  # a line that is put together wrongly is told all the same
            message = f"{record.msg} {record.args}"
        return message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}..."

    def exception(self, record: logging.LogRecord) -> str:
        told = self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""
        if record.stack_info:
            told = f"{told}\n{record.stack_info}".lstrip()
        return told if len(told) <= LONGEST_EXCEPTION else f"...{told[-LONGEST_EXCEPTION:]}"

    @staticmethod
    def ids(record: logging.LogRecord) -> dict[str, str]:
        return {name: value for name in ("request_id", "trace_id") if (value := getattr(record, name, ""))}


class JsonFormatter(_Formatter):
    """Writes a record as one JSON object, ASCII, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        told: dict[str, Any] = {
            "time": self.time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": self.message(record),
            "process": record.process,
            **self.ids(record),
            **{name: value for name, value in getattr(record, "facts", {}).items() if value is not None},
        }
        if exception := self.exception(record):
            told["exception"] = exception
        return json.dumps(told, default=str).replace("\x7f", "\\u007f")


class TextFormatter(_Formatter):
    """Writes a record in columns; a traceback follows on lines that are set in, so that none looks like a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or lines, without the last end."""
        facts = {**self.ids(record), **getattr(record, "facts", {})}
        shown = " ".join(f"{name}={value}" for name, value in facts.items() if value is not None)
        line = f"{self.time(record)} {record.levelname:<8} {record.name}: {self.message(record)}"
        lines = [printable(f"{line} [{shown}]" if shown else line)]
        lines += [f"    {printable(one)}" for one in self.exception(record).splitlines()]
        return "\n".join(lines)


def printable(text: str) -> str:
    """Return a text in which everything is escaped that is no plain character: ends of lines, ANSI, bidi marks."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def _tell_uncaught(cls: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    if issubclass(cls, KeyboardInterrupt):
        sys.__excepthook__(cls, error, where)
    else:
        _uncaught.critical("The process ends by an error", exc_info=(cls, error, where))


def _tell_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and args.exc_type is not SystemExit:
        name = args.thread.name if args.thread else "?"
        _uncaught.error(
            "Thread %s ended by an error", name, exc_info=(args.exc_type, args.exc_value, args.exc_traceback)
        )
