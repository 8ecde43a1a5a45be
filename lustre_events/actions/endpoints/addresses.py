"""Which addresses may be connected to: a name is resolved once, its addresses are judged, and one of them is taken.

So a name that means a public address when it is asked about and a private one later gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any

from lustre_events.errors import ConfigError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Look = Callable[..., Sequence[tuple[Any, ...]]]
"""As socket.getaddrinfo."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressRefused(ConfigError):
    """A name leads to an address that is not for endpoints of this kind. A person must change something."""


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet, also where it wraps another one."""
    inner: Address | None = None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is None and address.teredo is not None:
            return False
        if address.is_site_local:  # what private addresses were before fc00::/7
            return False
    if inner is not None:
        return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def resolved(host: str, port: int, *, private: bool, look: Look = socket.getaddrinfo) -> list[str]:
    """Return the addresses of a host that may be connected to, in the order of the resolver.

    Raises:
        OSError: it has none, or nobody can tell.
        AddressRefused: all that it has are private.
    """
    found = [str(entry[4][0]) for entry in look(host, port, type=socket.SOCK_STREAM)]
    addresses = list(dict.fromkeys(found))
    allowed = [each for each in addresses if private or is_public(ipaddress.ip_address(each.partition("%")[0]))]
    if not allowed:
        raise AddressRefused(
            f"{host} has the address {addresses[0]}, which is not public; if the endpoint is meant to be "
            "there, set private = true for it"
        )
    return allowed
