"""Where a request comes from."""

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The address of the person at the other end, as far as the trusted proxies tell; else ""."""
    meta = request.META
    hops: list[str] = [
        hop.strip() for hop in meta.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()
    ]
    trusted: int = settings.TRUSTED_PROXIES
    address: str = meta.get("REMOTE_ADDR") or ""
    if trusted and len(hops) >= trusted:
        address = hops[-trusted]
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:  # a unix socket has none, and a proxy may write "unknown"
        return ""
