"""The address that `scripts/serve` asks and prints is one at which the service listens."""

import pytest

from config import load_settings
from scripts.launch import _url

ADDRESSES = [
    ("127.0.0.1", "https://localhost:8443"),
    ("127.0.0.2", "https://127.0.0.2:8443"),
    ("0.0.0.0", "https://localhost:8443"),
    ("::1", "https://[::1]:8443"),
    ("192.0.2.7", "https://192.0.2.7:8443"),
]


@pytest.mark.parametrize("host, url", ADDRESSES)
def test_the_address_is_the_hosts(host: str, url: str) -> None:
    """Only the usual loopback address and `every interface` are called localhost."""
    assert _url(load_settings({"LASTGANG_HOST": host})) == url
