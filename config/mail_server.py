"""The server that letters to people go out by: the one that EMAIL_URL names for alerts."""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from config.environment_reader import Secret

SECONDS = 10  # that a server may take to answer
SMTPS = 465  # where TLS comes before the first word; everywhere else STARTTLS asks for it


def mail_server(address: str) -> tuple[dict[str, Any], str]:
    """Django's options for such an address, and whom letters come from.

    Nothing where there is none. Read as Apprise reads it: `mailtos://user:password@host:port`, with
    the sender as `?from=`, else the user, who is one of that host; `?mode=ssl` speaks TLS from the
    first byte, as port 465 does. Raises ImproperlyConfigured for one that cannot be read, without
    saying what it is.
    """
    if not address.lower().startswith(("mailto://", "mailtos://")):
        return {}, ""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise ImproperlyConfigured(
            "EMAIL_URL cannot be read: write it like "
            "mailtos://user:password@smtp.example.com?to=staff@example.com."
        )
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    asked = parse_qs(parts.query)
    named = asked.get("from", [username or "points"])[0]
    is_safe = parts.scheme == "mailtos"
    begins_safe = is_safe and (port == SMTPS or asked.get("mode") == ["ssl"])
    options = {
        "host": host,
        "port": port,
        "username": username,
        "password": Secret(password),
        "use_tls": is_safe and not begins_safe,
        "use_ssl": begins_safe,
        "timeout": SECONDS,
    }
    sender = named if "@" in named else f"{named}@{host}"
    return options, sender
