"""A renewed certificate is taken up by a running worker: new connections get it, those that there are go on.

In: the files of the certificate and its key, and the context that the server makes its connections with. They are
looked at once a second by stat, which follows links: Kubernetes renews a secret by turning one. A pair that does not
fit, such as a new certificate beside the old key while both are written, is told once; what served goes on serving.
"""

import logging
import ssl
from asyncio import AbstractEventLoop
from pathlib import Path

logger = logging.getLogger("lastgang")

EVERY = 1.0  # seconds between two looks

Looks = tuple[tuple[int, int, int], ...]


class Renewal:
    """Watches over one pair of files.

    Args:
        certificate: PEM file with the certificate and its chain.
        private_key: PEM file with its key.
    """

    def __init__(self, certificate: Path, private_key: Path) -> None:
        self._files = (certificate, private_key)
        self._seen: Looks | None = None

    def watch(self, loop: AbstractEventLoop, context: ssl.SSLContext) -> None:
        """Look now and from now on, on the event loop: no handshake begins while a pair is half exchanged."""
        self.look(context)
        loop.call_later(EVERY, self.watch, loop, context)

    def look(self, context: ssl.SSLContext) -> None:
        """Give the context the pair of files if they have changed since the last look.

        The first look always does: seconds have passed since the server loaded them, and a pair may have been renewed.
        """
        try:
            looks = tuple((it.st_ino, it.st_size, it.st_mtime_ns) for it in map(Path.stat, self._files))
        except OSError:  # being exchanged, or taken away: what was loaded goes on
            return
        if looks == self._seen:
            return
        first, self._seen = self._seen is None, looks
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files, password=_no_password)
            context.load_cert_chain(*self._files, password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            logger.error(  # noqa: TRY400  where it failed helps nobody
                "The renewed certificate cannot be used (%s); the one before serves on. Look at %s and %s.",
                getattr(error, "reason", None) or type(error).__name__,
                *self._files,
            )
        else:
            if not first:
                logger.info("A renewed certificate is used from now on")


def _no_password() -> str:
    """Refuse to ask for one on the terminal, as OpenSSL would."""
    raise ValueError
