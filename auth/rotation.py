"""The signing key that development made for itself: replaced by a new one, while tokens of the old one stay good.

In: the files of both, what the new key is for, and how long tokens live. Out: the two files, readable by their owner
only. The file of old keys holds above each the time when it was replaced, so that a later exchange drops it.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import TYPE_CHECKING

from auth.keys import new_key

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

_ENTRY = re.compile(r"# replaced (\S+)\n(.*?)(?=\n# replaced |\Z)", re.DOTALL)


def rotate(signing: Path, old: Path, algorithm: str, lifetime: timedelta, now: datetime) -> int:
    """Make a new signing key; keep the one before it, and those whose tokens may still be good.

    Args:
        signing: file of the key that signs; it need not be there.
        old: file of the keys that only verify.
        algorithm: of the new key.
        lifetime: of a token.
        now: aware time.

    Returns:
        How many old keys are kept.

    Raises:
        OSError: a file cannot be read or written. The old keys are written first, so that no token is lost.
    """
    entries = _ENTRY.findall(old.read_text()) if old.exists() else []
    kept = [(when, key.strip()) for when, key in entries if datetime.fromisoformat(when) + lifetime > now]
    if signing.exists():
        kept.append((now.isoformat(timespec="seconds"), signing.read_text().strip()))
    write_secret(old, "".join(f"# replaced {when}\n{key}\n" for when, key in kept).encode())
    write_secret(signing, new_key(algorithm).encode())
    return len(kept)


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, at once or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    partial.replace(path)
