"""Where a request comes from, and what a limit counts it by."""

import ipaddress
import logging
from functools import cache

from django.conf import settings
from django.http import HttpRequest

logger = logging.getLogger(__name__)

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# What a proxy adds: a request that carries one of them began somewhere else.
FORWARDING_HEADERS = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Via")
CUSTOMER_NETWORK = 64  # bits: what one customer has of IPv6, and may choose addresses in


def client_address(request: HttpRequest) -> str:
    """The address of the person at the other end, as far as the trusted proxies tell; else "".

    Loopback is this machine alone: a request that somebody forwarded never has that address.
    """
    forwarded_by = next((name for name in FORWARDING_HEADERS if name in request.headers), None)
    trusted: int = settings.TRUSTED_PROXIES
    if forwarded_by and not trusted:
        _warn_of_a_proxy(forwarded_by)
    address = _parsed(_told(request, trusted))
    if address is None or (forwarded_by and address.is_loopback):
        return ""
    return str(address)


def is_loopback(address: str) -> bool:
    """Whether a `client_address` is this machine."""
    parsed = _parsed(address)
    return parsed is not None and parsed.is_loopback


def counted_as(address: str) -> str | None:
    """What limits count a `client_address` by: of IPv6 the network that one customer has.

    None where it is not counted: this machine, unless LIMIT_LOOPBACK_ADDRESSES. Those of whom
    nobody knows the address are counted together, as "".
    """
    parsed = _parsed(address)
    if parsed is None:
        return ""
    if parsed.is_loopback and not settings.LIMIT_LOOPBACK_ADDRESSES:
        return None
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, CUSTOMER_NETWORK), strict=False))


def _told(request: HttpRequest, trusted: int) -> str:
    """What the outermost trusted proxy wrote, or else the connection itself."""
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
    hops = [hop for hop in hops if hop]
    if trusted and len(hops) >= trusted:
        return hops[-trusted]
    return request.META.get("REMOTE_ADDR") or ""


def _parsed(text: str) -> Address | None:
    """An address in the one form that it has everywhere: IPv4 in IPv6 is IPv4, without a zone."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:  # a unix socket has none, and a proxy may write "unknown"
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


@cache  # once: any stranger can send the header, and must not fill the log with it
def _warn_of_a_proxy(header: str) -> None:
    logger.warning(
        "A request carries %s, and TRUSTED_PROXIES is 0. Behind a proxy everybody has the proxy's "
        "address then, and one person's wrong passwords and codes hold all others back: set "
        "TRUSTED_PROXIES to the number of proxies in front. Without one somebody made it up.",
        header,
    )
