"""The platform speaks TLS with a PostgreSQL and a Redis that take nothing else."""

import tempfile
from pathlib import Path

import pytest

from config.tests.test_settings import SECURE, manage
from tests.kept_servers import Account
from tests.tls_servers import Certificate, tls_postgresql, tls_redis

SHOW = """
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.core.cache import cache
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    print(*cursor.fetchone())
cache.set("it", "here")
print(cache.get("it"))

async def through_the_layer():
    layer = get_channel_layer()
    name = await layer.new_channel()
    await layer.group_add("all", name)
    await layer.group_send("all", {"type": "heard"})
    return (await layer.receive(name))["type"]

print(async_to_sync(through_the_layer)())
"""
ASK_THE_DATABASE = """
from django.db import connection
connection.settings_dict["OPTIONS"].pop("pool")
connection.ensure_connection()
print("connected")
"""
ASK_REDIS = "from django.core.cache import cache; cache.set('it', 'here'); print('connected')"


@pytest.fixture(scope="module")
def servers():
    """Both servers: the address of each, and the certificate that both show."""
    account = Account.for_servers()
    with tempfile.TemporaryDirectory(prefix="tls-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)  # the servers' account has to walk through
        certificate = Certificate.made_in(folder)
        with (
            tls_postgresql(account.folder(folder / "pg"), account, certificate) as database,
            tls_redis(account.folder(folder / "redis"), account, certificate) as redis,
        ):
            yield database, redis, certificate


def run(tmp_path, program, **variables):
    shell = ("shell", "--no-imports", "-c", program)
    return manage(tmp_path, *shell, **{**SECURE, **variables})


def test_both_are_reached_with_tls_and_their_certificate_is_verified(servers, tmp_path):
    database, redis, certificate = servers
    finished = run(
        tmp_path,
        SHOW,
        DATABASE_URL=f"{database}?sslmode=verify-full&sslrootcert={certificate.file}",
        REDIS_URL=f"rediss://{redis}?ssl_ca_certs={certificate.file}",
    )
    assert finished.stdout.split() == ["True", "TLSv1.3", "here", "heard"], finished.stderr


def test_require_takes_any_certificate(servers, tmp_path):
    database, _redis, _certificate = servers
    finished = run(tmp_path, ASK_THE_DATABASE, DATABASE_URL=f"{database}?sslmode=require")
    assert finished.stdout.strip() == "connected", finished.stderr


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """A certificate of somebody else, which vouches for neither server."""
    return Certificate.made_in(tmp_path_factory.mktemp("strange")).file


def test_a_server_with_another_certificate_is_not_believed(servers, strange, tmp_path):
    database, redis, _certificate = servers
    asked = f"{database}?sslmode=verify-full&sslrootcert={strange}"
    refused = run(tmp_path, ASK_THE_DATABASE, DATABASE_URL=asked)
    assert "connected" not in refused.stdout
    assert "certificate verify failed" in refused.stderr
    for address in (f"rediss://{redis}?ssl_ca_certs={strange}", f"rediss://{redis}"):
        refused = run(tmp_path, ASK_REDIS, REDIS_URL=address)
        assert "connected" not in refused.stdout
        assert "certificate verify failed" in refused.stderr


def test_these_servers_take_nothing_else(servers, tmp_path):
    """Else the tests above would show nothing."""
    database, redis, _certificate = servers
    refused = run(tmp_path, ASK_THE_DATABASE, DATABASE_URL=f"{database}?sslmode=disable")
    assert "no encryption" in refused.stderr
    refused = run(tmp_path, ASK_REDIS, REDIS_URL=f"redis://{redis}")
    assert "connected" not in refused.stdout
    assert refused.returncode == 1
