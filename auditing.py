"""What is recorded of the service itself and of who works on it by commands: users, keys, models.

Joins the settings and `audit`. Who acts by a command is known by the name of the operating system's user, as `os:ada`,
which no user of the service can have. A change by a command has two lines: one before, so that nothing is changed of
which nothing is known, and one that tells what became of it.
"""

from __future__ import annotations

import os
import pwd
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from audit.errors import AuditError
from audit.lines import Key
from audit.trail import Trail
from config import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from audit.lines import Value

BEGUN, OK, REFUSED, FAILED = "begun", "ok", "refused", "failed"


def actor() -> str:
    """Return who runs this process."""
    try:
        return f"os:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # a container may run as a user that has no name
        return f"os:{os.getuid()}"


def open_trail(settings: Settings) -> Trail:
    """Return the audit log of the service; nothing is opened yet.

    Raises:
        SettingsError: its key is weak.
    """
    secret = settings.audit_key
    try:
        key = None if secret is None else Key.of(secret.get_secret_value().encode())
    except AuditError as error:
        raise SettingsError(f"LASTGANG_AUDIT_KEY: {error}.") from None
    return Trail(
        settings.audit_folder,
        key=key,
        sync=settings.audit_sync,
        max_bytes=settings.audit_max_bytes,
        keep_days=settings.audit_days,
    )


class Recorder:
    """Records what one command, or one start, does; says nothing where the audit log is switched off.

    Args:
        trail: where to; None if nothing is recorded.
        command: which command it is, without what was typed behind it.
    """

    def __init__(self, trail: Trail | None, command: str) -> None:
        self._trail, self._command = trail, command
        # Ties the lines of one run together.
        self._request = secrets.token_hex(16)

    def tell(self, event: str, outcome: str = OK, **facts: Value) -> None:
        """Record one thing.

        Raises:
            TrailUnwritable: it cannot be recorded.
        """
        if self._trail is not None:
            told = {"subject": actor(), "command": self._command, "request": self._request, **facts}
            self._trail.record(event, outcome=outcome, **told)

    @contextmanager
    def deed(self, event: str, **facts: Value) -> Iterator[dict[str, Value]]:
        """Record a change with a line before and one after; give what may be filled with facts of the second.

        Its member `outcome` says what became of the change, where that is not `ok`; an exception is `failed`.

        Raises:
            TrailUnwritable: it cannot be recorded; before the change, so that it is not made, or after it.
        """
        self.tell(event, BEGUN, **facts)
        told: dict[str, Value] = {"outcome": FAILED}
        done: dict[str, Value] = {}
        try:
            yield done
            told = {"outcome": OK, **done}
        finally:
            self.tell(event, str(told.pop("outcome")), **(facts | told))


@contextmanager
def recorder(settings: Settings, command: str) -> Iterator[Recorder]:
    """Give what records for a command, after a look whether the log can be written.

    Raises:
        SettingsError: its key is weak, or it cannot be written, now or later.
    """
    if not settings.audit:
        yield Recorder(None, command)
        return
    try:
        with open_trail(settings) as trail:
            trail.check()
            yield Recorder(trail, command)
    except AuditError as error:
        raise SettingsError(f"{error}.") from None


def recorded(
    settings: Settings, command: str, event: str, work: Callable[[dict[str, Value]], int], **facts: Value
) -> int:
    """Do what a command is to do, recorded as a deed; return its exit status.

    Args:
        settings: of the service.
        command: such as ``python -m auth disable``.
        event: such as ``user.disable``.
        work: does it and returns the exit status, which is 0 if and only if it was done; may add facts to what it gets.
        facts: what is known of it before; no secret.

    Raises:
        SettingsError: as `recorder` does; before the work, so that nothing was done, or after it.
    """
    with recorder(settings, command) as record, record.deed(event, **facts) as told:
        status = work(told)
        if status:
            told["outcome"] = REFUSED
    return status
