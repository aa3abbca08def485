"""The certificate's end is read from whoever shows it, also one that has ended."""

import ssl
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from socket import create_server

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ops.monitoring.certificate import days_left
from ops.monitoring.metrics import CERTIFICATE


def make_certificate(folder, *, days):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@contextmanager
def showing(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with create_server(("127.0.0.1", 0)) as server:

        def show_once():
            plain, _address = server.accept()
            with suppress(ConnectionError), context.wrap_socket(plain, server_side=True) as wrapped:
                wrapped.recv(1)

        thread = threading.Thread(target=show_once, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("days", [20, -3])
def test_it_says_how_many_days_are_left(tmp_path, days):
    with showing(make_certificate(tmp_path, days=days)) as address:
        assert days_left(address) == pytest.approx(days, abs=0.01)


@pytest.mark.parametrize("address", ["", "http://points.example.com"])
def test_without_tls_there_is_none(address):
    assert days_left(address) is None


def test_where_it_cannot_be_read_nothing_is_said_and_the_other_gauges_do_not_wait(settings):
    settings.PUBLIC_URL = "https://127.0.0.1:9"
    assert CERTIFICATE.values() == {}


def test_nobody_there():
    with pytest.raises(OSError, match="refused"):
        days_left("https://127.0.0.1:9")
