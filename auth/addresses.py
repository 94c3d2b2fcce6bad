"""Who is at the other end: the address of a client, through the proxies that are trusted and no others.

An address is that of the socket's peer. Only where this peer lies in one of the networks of
`LASTGANG_TRUSTED_PROXIES` is its `X-Forwarded-For` believed, from the right up to the first address that no such
network holds: what stands left of it was written by whoever liked to. Everything is judged by `block`: an IPv6 client
has a whole /64 to itself.
"""

from collections.abc import Collection, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

NOBODY = ""  # the block of a peer without an address, such as a Unix socket
Networks = Collection[IPv4Network | IPv6Network]


def block(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 of an IPv6 one; NOBODY for what is no address."""
    one = _read(address)
    if one is None:
        return NOBODY
    return str(ip_network((one, 64), strict=False) if isinstance(one, IPv6Address) else one)


def is_trusted(address: str, proxies: Networks) -> bool:
    """Tell whether an address lies in one of the networks."""
    return bool(proxies) and (one := _read(address)) is not None and any(one in network for network in proxies)


def client_of(peer: str, forwarded: Iterable[bytes], proxies: Networks) -> str:
    """Return the address of who asks.

    Args:
        peer: the address at the other end of the socket.
        forwarded: the values of the header fields `X-Forwarded-For`, in their order.
        proxies: the networks that are trusted.
    """
    client = peer
    hops = b",".join(forwarded).decode("latin-1").split(",")
    while hops and is_trusted(client, proxies):
        written = _without_port(hops.pop().strip())
        if _read(written) is None:
            break
        client = written
    return client


@lru_cache(4_096)
def _read(address: str) -> IPv4Address | IPv6Address | None:
    try:
        one = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(one, "ipv4_mapped", None) or one


def _without_port(written: str) -> str:
    if written.startswith("["):
        return written[1:].partition("]")[0]
    return written.partition(":")[0] if written.count(":") == 1 else written
