"""A PostgreSQL and a Redis that speak TLS, with a certificate made on the spot.

They are the machine's own programs (Debian: postgresql, redis-server), since those that come as
Python packages know no TLS. `.ci/run` installs them.
"""

import datetime
import ipaddress
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.kept_servers import LOOPBACK, Account, ServerFailed, serving

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """A certificate of this machine that vouches for itself, and the key of it."""

    file: Path
    key_file: Path

    @classmethod
    def made_in(cls, folder: Path, *, ends_in: datetime.timedelta = DAY) -> "Certificate":
        """Make one for 127.0.0.1 and localhost."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test server")])
        now = datetime.datetime.now(datetime.UTC)
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
        )
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + ends_in)
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        made = cls(folder / "certificate.pem", folder / "key.pem")
        made.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        made.key_file.touch(mode=0o600)
        made.key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return made

    def lent_to(self, account: Account, folder: Path) -> "Certificate":
        """A copy that this account can read."""
        copy = Certificate(folder / self.file.name, folder / self.key_file.name)
        for file, target in ((self.file, copy.file), (self.key_file, copy.key_file)):
            shutil.copy(file, target)
            os.chown(target, account.uid, account.gid)
        return copy


class Shown:
    """A server that shows a certificate, and hangs up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.renew(days=365)

    @property
    def base(self) -> str:
        return f"https://127.0.0.1:{self.listening.getsockname()[1]}"

    def renew(self, *, days: int) -> None:
        """Show one from now on that ends in so many days."""
        made = Certificate.made_in(self.folder, ends_in=days * DAY)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(made.file, made.key_file)

    def serve(self) -> None:
        with suppress(OSError):  # until it is closed
            while True:
                plain, _address = self.listening.accept()
                with suppress(OSError), self.context.wrap_socket(plain, server_side=True) as one:
                    one.recv(1)


@contextmanager
def showing_a_certificate(folder: Path) -> Iterator[Shown]:
    """One that ends in a year, until it is renewed."""
    shown = Shown(folder)
    threading.Thread(target=shown.serve, daemon=True).start()
    try:
        yield shown
    finally:
        shown.listening.close()


@contextmanager
def tls_postgresql(folder: Path, account: Account, certificate: Certificate) -> Iterator[str]:
    """Run a PostgreSQL that takes TLS alone; yields its address, without a mode."""
    programs = _debians_postgresql()
    lent = certificate.lent_to(account, folder)
    data, password = folder / "data", secrets.token_urlsafe(24)
    password_file = folder / "password"
    password_file.write_text(password, encoding="ascii")
    password_file.chmod(0o644)  # in a folder that nobody else may enter
    subprocess.run(
        [
            programs / "initdb",
            f"--pgdata={data}",
            "--username=tests",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ],
        cwd=folder,
        capture_output=True,
        check=True,
        **account.options,
    )
    hba = data / "pg_hba.conf"
    hba.write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n", encoding="ascii")
    options = {
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
        "fsync": "off",
        "ssl": "on",
        "ssl_cert_file": lent.file,
        "ssl_key_file": lent.key_file,
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]

    def command(port: int) -> list[str]:
        return [str(programs / "postgres"), "-D", str(data), f"--port={port}", *arguments]

    def is_ready(_port: int, _process: subprocess.Popen[bytes]) -> bool:
        with suppress(OSError):
            # What pg_ctl waits for: the state in the eighth line.
            lines = (data / "postmaster.pid").read_text(encoding="utf-8").split("\n")
            return len(lines) > 7 and lines[7].strip() == "ready"
        return False

    with serving(command, is_ready, folder, account, stop_with=signal.SIGINT) as port:
        yield f"postgres://tests:{password}@{LOOPBACK}:{port}/postgres"


@contextmanager
def tls_redis(folder: Path, account: Account, certificate: Certificate) -> Iterator[str]:
    """Run a Redis that listens with TLS alone; yields its address without the scheme."""
    program = shutil.which("redis-server")
    if program is None:
        raise ServerFailed("redis-server is not installed (Debian: redis-server).")
    lent = certificate.lent_to(account, folder)

    def command(port: int) -> list[str]:
        options = {
            "port": 0,
            "tls-port": port,
            "tls-cert-file": lent.file,
            "tls-key-file": lent.key_file,
            "tls-auth-clients": "no",
            "bind": LOOPBACK,
            "dir": folder,
            "save": "",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        return [program, *arguments]

    trusting = ssl.create_default_context(cafile=certificate.file)

    def is_ready(port: int, _process: subprocess.Popen[bytes]) -> bool:
        with (
            suppress(OSError),
            socket.create_connection((LOOPBACK, port), timeout=1) as plain,
            trusting.wrap_socket(plain, server_hostname=LOOPBACK) as wrapped,
        ):
            wrapped.sendall(b"PING\r\n")
            return wrapped.recv(16).startswith(b"+PONG")
        return False

    with serving(command, is_ready, folder, account, stop_with=signal.SIGTERM) as port:
        yield f"{LOOPBACK}:{port}/0"


def _debians_postgresql() -> Path:
    """The programs of the newest PostgreSQL that Debian's packages brought."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4])
    )
    if not versions:
        raise ServerFailed("No PostgreSQL with TLS is installed (Debian: postgresql).")
    return versions[-1].parent
