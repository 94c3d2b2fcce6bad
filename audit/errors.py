"""What can go wrong with the audit log.

AuditError
├── TrailUnwritable   a line could not be written; whatever it should have told of must not happen
├── WeakAuditKey      the secret is too short to be a key
└── UnreadableTrail   there is no log where one was looked for, or it cannot be read
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class AuditError(Exception):
    """Any failure of the audit log."""


class TrailUnwritable(AuditError):
    """A line could not be written.

    Attributes:
        folder: of the log.
        problem: the system's words.
    """

    def __init__(self, folder: Path, problem: str) -> None:
        super().__init__(f"The audit log in {folder} cannot be written: {problem}; make room, or mend its permissions")
        self.folder = folder
        self.problem = problem


class WeakAuditKey(AuditError):
    """The secret for the chain's key is too easy to guess."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"The audit key {problem}; use at least 32 random bytes, `openssl rand -hex 32`")
        self.problem = problem


class UnreadableTrail(AuditError):
    """The log, or a file of it, cannot be read."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} cannot be read: {problem}")
        self.path = path
        self.problem = problem
