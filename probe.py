"""Ask the service on this machine whether it is ready: exit status 0 if it is, 1 if not. The image's health check.

It runs every few seconds beside the service, so it imports nothing but the standard library and takes the address
from where `config.py` takes it, without its checks: the service has made them.
"""

import os
import ssl
import sys
import urllib.request
from http import HTTPStatus

EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nosec B104  # compared, not listened on


def ready(url: str) -> bool:
    """Tell whether the service at this address is ready."""
    # It is on this very machine; its certificate may be for another name.
    context = ssl._create_unverified_context()  # noqa: S323, SLF001  # nosec B323
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(f"{url}/readyz", timeout=5) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:  # URLError is one
        return False


def address(host: str, port: str) -> str:
    """Return where a service that listens on this host and port can be asked from this machine."""
    host = EVERY_INTERFACE.get(host, host)
    return f"https://{f'[{host}]' if ':' in host else host}:{port}"


if __name__ == "__main__":
    host, port = os.environ.get("LASTGANG_HOST") or "127.0.0.1", os.environ.get("LASTGANG_PORT") or "8443"
    sys.exit(not ready(address(host, port)))
