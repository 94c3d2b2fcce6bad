"""The command ``python -m audit``: verifies the audit log, shows it to people, and tells where it ends.

Comes in: a verb; the log of the service, or files. Goes out: lines on standard output and the exit status: 0; 1 where
the chain is broken or cannot be read; 2 where the command was not understood.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.checking import Anchor, Extent, extent_of, verify
from audit.errors import AuditError, UnreadableTrail
from audit.files import listed
from audit.lines import GENESIS, LONGEST, PLAIN, Key, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from audit.checking import Report

EXAMPLES = """\
examples:
  python -m audit verify                          the log of the service: every line, link and number
  python -m audit verify --head 4711:9f2c...      ... and that line 4711 is the one that was remembered
  python -m audit verify copy/*.jsonl             some files, by themselves
  python -m audit verify --start 5000             from line 5000 on, after a break that is known
  python -m audit head                            SEQ:HASH of the last line, to be kept elsewhere
  python -m audit show                            the last 50 lines
  python -m audit show --subject ada --since 2h   what ada did in the last two hours
  python -m audit show --event token --outcome refused --since 2026-11-24
  python -m audit show --input "$(sha256sum < week.csv | cut -d' ' -f1)"   who asked about that file
  python -m audit show --json --last 0 | jq .     every line, for programs

exit status: 0 whole, 1 broken (the first broken line is named) or unreadable, 2 not understood.
The log is in LASTGANG_HOME/audit. If the service has LASTGANG_AUDIT_KEY, so must `verify`; --key-file names files
with earlier keys. `show` verifies nothing. What the chain proves, and what not, stands in docs/audit.md.
"""
_AGO = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_ANCHOR = re.compile(r"(\d{1,15}):([0-9a-f]{64})", re.ASCII)
_FILTERS = ("subject", "event", "outcome", "model", "address", "request", "input", "target")


def anchor(text: str) -> Anchor:
    """Read ``SEQ:HASH``.

    Raises:
        ValueError: it is none.
    """
    found = _ANCHOR.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return Anchor(int(found[1]), found[2])


def count(text: str) -> int:
    """Read a number of lines.

    Raises:
        ValueError: it is none, or less than 0.
    """
    if (number := int(text)) < 0:
        raise ValueError(text)
    return number


def moment(text: str) -> str:
    """Read ``2h``, ``3d``, a date or a time (UTC, if it has no offset); return it as the log writes it.

    Raises:
        ValueError: it is none of these.
    """
    try:
        if ago := _AGO.fullmatch(text):
            at = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(text) from error
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the verb and its arguments; print help or how to call the command, and exit, where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m audit",
        description="The audit log of Lastgang.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verifying = verbs.add_parser("verify", help="verify the chain and name the first broken line")
    showing = verbs.add_parser("show", help="show lines as a table")
    heading = verbs.add_parser("head", help="print SEQ:HASH of the last line, to be kept elsewhere")
    verifying.add_argument("files", nargs="*", type=Path, metavar="FILE", help="default: the log of the service")
    verifying.add_argument(
        "--head", type=anchor, action="append", default=[], metavar="SEQ:HASH", help="remembered line"
    )
    verifying.add_argument("--key-file", type=Path, action="append", default=[], help="an earlier key; may be repeated")
    verifying.add_argument("--start", type=int, default=1, metavar="SEQ", help="begin at this line")
    showing.add_argument("files", nargs="*", type=Path, metavar="FILE", help="default: the log of the service")
    for name in _FILTERS:
        showing.add_argument(f"--{name}", help=f"only lines with this {name}")
    showing.add_argument("--since", type=moment, metavar="TIME", help="2h, 3d, 2026-11-24, 2026-11-24T08:00 (UTC)")
    showing.add_argument("--until", type=moment, metavar="TIME", help="as --since")
    showing.add_argument(
        "--last", type=count, default=50, metavar="N", help="the last N of these lines; 0: all; default 50"
    )
    showing.add_argument("--json", action="store_true", help="the lines as they are")
    for one in (verifying, showing, heading):
        one.add_argument("--folder", type=Path, help="of the log; default: audit in LASTGANG_HOME")
    return parser.parse_args(arguments)


def _verify(asked: argparse.Namespace, folder: Callable[[], Path], key: Callable[[], Key | None]) -> int:
    now = key()
    keys = [*([now] if now else []), *(Key.of(_secret(path)) for path in asked.key_file)]
    given = tuple((path, _size(path)) for path in asked.files)
    extent = Extent(given, None) if given else extent_of(folder())
    if not extent.files:
        raise UnreadableTrail(folder(), "there is no audit log in it")
    report = verify(extent, keys, remembered=asked.head, whole=not asked.files, start=asked.start)
    for notice in report.notices:
        print(f"note: {notice}")
    if report.broken is not None:
        print(f"broken: {report.broken}")
        return 1
    print(f"whole: {_told(report)}")
    if extent.head is None and not asked.head:
        print("note: nothing remembers the end, so lines that are missing there cannot be noticed; see --head")
    return 0


def _told(report: Report) -> str:
    if report.first is None or report.last is None:
        return "no line"
    sealed = {PLAIN: "without a key"}
    chain = ", ".join(sealed.get(key, f"key {key}") for key in sorted(report.keys))
    lines = f"{report.lines} lines, {report.first.seq} to {report.last.seq}"
    return f"{lines}, {report.first.time} to {report.last.time}; {chain}; head {report.last.seq}:{report.last.hash}"


def _secret(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise UnreadableTrail(path, error.strerror or str(error)) from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise UnreadableTrail(path, error.strerror or str(error)) from None


def _show(asked: argparse.Namespace, folder: Callable[[], Path]) -> int:
    wanted = {name: value for name in _FILTERS if (value := getattr(asked, name)) is not None}
    found: deque[tuple[bytes, dict[str, Any]]] = deque(maxlen=asked.last or None)
    for raw in _raws(asked.files or listed(folder())):
        line = parse(raw)
        if line is None:
            continue
        content = dict(line.content)
        fits = all(content.get(name) == value for name, value in wanted.items())
        if fits and (asked.since or "") <= line.time and (asked.until is None or line.time < asked.until):
            found.append((raw, content))
    for raw, content in found:
        print(raw.decode().rstrip("\n") if asked.json else _row(content))
    if not found:
        print("no such line", file=sys.stderr)
    return 0


def _raws(paths: Sequence[Path]) -> Iterator[bytes]:
    for path in paths:
        try:
            with path.open("rb") as file:
                while raw := file.readline(LONGEST + 1):
                    yield raw
        except OSError as error:
            raise UnreadableTrail(path, error.strerror or str(error)) from None


def _row(content: dict[str, Any]) -> str:
    """Return a line for people: when, number, what, by whom, from where, and the rest."""
    time = content["time"].replace("T", " ")[:23]
    status = content.get("status")
    outcome = f"{content.get('outcome', '')}{f' {status}' if status else ''}"
    who, where = content.get("subject", "-"), content.get("address", "-")
    model = ":".join(content[name] for name in ("model", "version") if name in content)
    rest = [model] if model else []
    shown = {
        "seq",
        "time",
        "event",
        "outcome",
        "prev",
        "status",
        "subject",
        "address",
        "model",
        "version",
        "method",
        "route",
    }
    for name, value in content.items():
        if name not in shown:
            rest.append(f"{name}={json.dumps(value) if isinstance(value, dict) else value}")
    return f"{time}  {content['seq']:>8}  {content['event']:<16} {outcome:<12} {who:<20} {where:<15}  {' '.join(rest)}"


def _head(folder: Path) -> int:
    head = extent_of(folder).head
    if head is None or head.hash == GENESIS:
        raise UnreadableTrail(folder, "there is no audit log in it")
    print(f"{head.seq}:{head.hash}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    asked = parse_arguments(arguments)
    from config import SettingsError, load_settings  # noqa: PLC0415 - help must come without settings

    def folder() -> Path:
        given: Path | None = asked.folder
        return given if given is not None else load_settings().audit_folder

    def key() -> Key | None:
        secret = load_settings().audit_key
        return None if secret is None else Key.of(secret.get_secret_value().encode())

    try:
        if asked.verb == "verify":
            return _verify(asked, folder, key)
        return _show(asked, folder) if asked.verb == "show" else _head(folder())
    except BrokenPipeError:
        sys.stderr.close()  # `show | head` has had enough
        return 0
    except (AuditError, SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
