"""Whom a channel may reach: the internet, and those hosts inside that ALERT_INNER_HOSTS names.

Who may edit channels must not reach the network behind the platform by them. What an address says
by itself is looked at when it is saved; a name is resolved when something is sent, and the
connection goes to what was looked at, so that a name that leads elsewhere a moment later leads
nowhere.
"""

import ipaddress
import socket
from typing import Any, override

import requests
from django.conf import settings
from django.utils.translation import gettext as _
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

# Names of machines of one's own, whoever resolves them; so is one without a dot.
INNER_ENDINGS = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa")
# IPv6 addresses by which a network reaches IPv4: the last four bytes are one of those.
TRANSLATED = ipaddress.ip_network("64:ff9b::/96")

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class LeadsInside(Exception):
    """A host that is not of the internet, and that nobody named."""

    def __init__(self) -> None:
        super().__init__(
            _("It leads into the own network, and ALERT_INNER_HOSTS does not name its host.")
        )


def check_name(host: str) -> None:
    """Raise LeadsInside for a host whose name says that it is inside; nothing is resolved."""
    if not _is_named(host) and _is_inside_by_name(host):
        raise LeadsInside


def addresses_of(host: str, port: int) -> list[str]:
    """The addresses of a host, as they are now.

    Raises LeadsInside when one of them is inside and nobody named it, OSError when there is none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(where[0]) for *_kind, where in found))
    for address in addresses:
        if _is_inside(address) and not (_is_named(host) or _is_named(address)):
            raise LeadsInside
    return addresses


def session() -> requests.Session:
    """A session whose connections go where `addresses_of` lets them go.

    Through a proxy of the environment (HTTPS_PROXY) it is the proxy that decides.
    """
    one = requests.Session()
    for scheme in ("http://", "https://"):
        one.mount(scheme, _Adapter())
    return one


def _is_named(host: str) -> bool:
    return _plain(host) in {_plain(one) for one in settings.ALERT_INNER_HOSTS}


def _plain(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _is_inside_by_name(host: str) -> bool:
    name = _plain(host)
    try:
        # As the system reads numbers: 2130706433 and 0x7f.1 are 127.0.0.1 as well.
        numeric = socket.getaddrinfo(name, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return "." not in name or name.endswith(INNER_ENDINGS)
    return any(_is_inside(str(where[0])) for *_kind, where in numeric)


def _is_inside(address: str) -> bool:
    one = _of_ipv4(ipaddress.ip_address(address.partition("%")[0]))
    return not one.is_global or one.is_multicast


def _of_ipv4(address: Address) -> Address:
    """The IPv4 address that stands in one of IPv6, where one does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


# --- Connections to what was looked at -----------------------------------------------------------
class _Plain(HTTPConnection):
    @override
    def _new_conn(self) -> socket.socket:
        return _connected(self, super()._new_conn)


class _Secure(HTTPSConnection):
    @override
    def _new_conn(self) -> socket.socket:
        return _connected(self, super()._new_conn)


def _connected(connection: HTTPConnection, connect: Any) -> socket.socket:
    """Connect to one address of the host after the other; its name stays, for TLS and Host."""
    name = connection._dns_host
    failed: HTTPError | None = None
    try:
        for address in addresses_of(name, connection.port):
            connection._dns_host = address
            try:
                made: socket.socket = connect()
            except HTTPError as error:
                failed = error
            else:
                return made
    finally:
        connection._dns_host = name
    raise failed or OSError("no address")


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class _Adapter(HTTPAdapter):
    @override
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
