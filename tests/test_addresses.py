"""The address of a client is the socket's, unless a proxy that is trusted says another one."""

from ipaddress import ip_network

import pytest

from auth.addresses import block, client_of, is_trusted

PROXIES = [ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/64")]
CASES = {
    "no proxy": ("192.0.2.1", [b"1.1.1.1"], "192.0.2.1"),
    "a proxy that says nothing": ("10.0.0.1", [], "10.0.0.1"),
    "a proxy": ("10.0.0.1", [b"192.0.2.1"], "192.0.2.1"),
    "what the client wrote itself": ("10.0.0.1", [b"1.1.1.1, 192.0.2.1"], "192.0.2.1"),
    "two proxies": ("10.0.0.1", [b"1.1.1.1, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
    "two fields": ("10.0.0.1", [b"1.1.1.1", b"192.0.2.1", b"10.0.0.2"], "192.0.2.1"),
    "proxies alone": ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    "a port": ("10.0.0.1", [b"192.0.2.1:4711"], "192.0.2.1"),
    "IPv6": ("2001:db8:1::1", [b"2001:db8:2::9"], "2001:db8:2::9"),
    "IPv6 and a port": ("10.0.0.1", [b"[2001:db8:2::9]:4711"], "2001:db8:2::9"),
    "rubbish": ("10.0.0.1", [b"192.0.2.1, unknown"], "10.0.0.1"),
    "rubbish before": ("10.0.0.1", [b"\xff\xfe, 192.0.2.1"], "192.0.2.1"),
    "an empty field": ("10.0.0.1", [b""], "10.0.0.1"),
    "a mapped proxy": ("::ffff:10.0.0.1", [b"192.0.2.1"], "192.0.2.1"),
}


@pytest.mark.parametrize("peer, forwarded, expected", CASES.values(), ids=CASES)
def test_client(peer: str, forwarded: list[bytes], expected: str) -> None:
    """Read from the right, the first address that is no trusted proxy's."""
    assert client_of(peer, forwarded, PROXIES) == expected


def test_nobody_is_trusted_by_default() -> None:
    """Not even this machine."""
    assert client_of("127.0.0.1", [b"192.0.2.1"], ()) == "127.0.0.1"
    assert not is_trusted("127.0.0.1", ())
    assert not is_trusted("", PROXIES)


@pytest.mark.parametrize(
    "address, expected",
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:ffff:ffff:ffff", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("nobody", ""),
    ],
)
def test_block(address: str, expected: str) -> None:
    """An IPv4 address is one client, an IPv6 client has a /64."""
    assert block(address) == expected
