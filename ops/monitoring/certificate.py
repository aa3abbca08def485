"""For how long the certificate is good that the platform's own address shows."""

import socket
import ssl
import time
from typing import cast
from urllib.parse import urlsplit

TIME_LIMIT = 5  # seconds


def days_left(address: str) -> float | None:
    """Days until the certificate ends that an https:// address shows; None for one without TLS.

    Negative when it has ended. Raises OSError when nobody answers there.
    """
    parts = urlsplit(address)
    if parts.scheme != "https" or not parts.hostname:
        return None
    # Not verified: one that has ended has to be read as well.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((parts.hostname, parts.port or 443), TIME_LIMIT) as plain,
        context.wrap_socket(plain, server_hostname=parts.hostname) as wrapped,
    ):
        shown = cast("bytes", wrapped.getpeercert(binary_form=True))  # a server always has one
    return (_end_of(shown) - time.time()) / 86_400


def _end_of(certificate: bytes) -> float:
    from cryptography.x509 import load_der_x509_certificate  # for one look an hour

    return load_der_x509_certificate(certificate).not_valid_after_utc.timestamp()
