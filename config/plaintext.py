"""Which connections would cross a network as plain text, for whoever listens there."""

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

# With the other modes of libpq, its default among them, whoever sits between decides about TLS.
MODES_THAT_DEMAND_TLS = {"require", "verify-ca", "verify-full"}


def plaintext_hosts_of_postgresql(database: Mapping[str, Any]) -> set[str]:
    """The hosts of Django's parameters that are outside this machine and not bound to TLS.

    As libpq sees them: what the parameters leave out it takes from PGHOST, PGSSLMODE and the like.
    """
    from psycopg.pq import Conninfo  # here, since SQLite does without psycopg

    said = {**database.get("OPTIONS", {})}
    if database.get("HOST"):
        said["host"] = database["HOST"]
    unsaid = {each.keyword.decode(): (each.val or b"").decode() for each in Conninfo.get_defaults()}
    asked = {**unsaid, **said}
    if asked["sslmode"] in MODES_THAT_DEMAND_TLS:
        return set()
    # A service is a file that nobody read yet; hostaddr is where it goes, and host a name for it.
    hosts = said.get("service") or asked["hostaddr"] or asked["host"]
    return {host for host in str(hosts).split(",") if not _is_here(host)}


def plaintext_hosts_of(address: str, *, demands_tls: str) -> set[str]:
    """The host of an address outside this machine whose scheme is not the one that demands TLS."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    return set() if parts.scheme == demands_tls or _is_here(host) else {host}


def _is_here(host: str) -> bool:
    """Whether this is a unix socket, libpq's own default one, or loopback."""
    if host in {"", "localhost"} or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # another name
        return False
