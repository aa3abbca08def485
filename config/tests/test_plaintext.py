"""Which servers are refused because the way to them can be listened to."""

import pytest

from config.environment_reader import EnvironmentReader
from config.plaintext import plaintext_hosts_of, plaintext_hosts_of_postgresql
from config.tests.test_settings import SECURE, manage

DATABASE = "postgres://shop:secret@db.example/points"
PG_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGSSLMODE", "PGSSLROOTCERT", "PGSERVICE")


@pytest.fixture
def heard(monkeypatch):
    """The hosts of a DATABASE_URL that libpq would reach without TLS, under these variables."""

    def of(address, **variables):
        for name in PG_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return plaintext_hosts_of_postgresql(EnvironmentReader.db_url_config(address))

    return of


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_mode_that_demands_tls_is_enough(heard, mode):
    assert heard(f"{DATABASE}?sslmode={mode}") == set()
    assert heard(DATABASE, PGSSLMODE=mode) == set()


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_a_mode_that_lets_it_go_is_not(heard, mode):
    assert heard(f"{DATABASE}?sslmode={mode}") == {"db.example"}
    assert heard(f"{DATABASE}?sslmode={mode}", PGSSLMODE="verify-full") == {"db.example"}
    assert heard(DATABASE) == {"db.example"}


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        ("postgres://a:b@127.0.0.1:5432/c", set()),
        ("postgres://a:b@127.0.0.9/c", set()),
        ("postgres://a:b@[::1]/c", set()),
        ("postgres://a:b@localhost/c", set()),
        ("postgres://a:b@/c", set()),
        ("postgres:////var/run/postgresql/c", set()),
        ("postgres://a:b@10.0.0.5/c", {"10.0.0.5"}),
        ("postgres://a:b@[2001:db8::5]/c", {"2001:db8::5"}),
        ("postgres://a:b@127.0.0.1.example/c", {"127.0.0.1.example"}),
        ("postgres://a:b@localhost:5432,db.example:5433/c", {"db.example"}),
        ("postgres://a:b@localhost/c?hostaddr=10.0.0.5", {"10.0.0.5"}),
        ("postgres://a:b@db.example/c?hostaddr=127.0.0.1", set()),
        ("postgres:///c?service=elsewhere", {"elsewhere"}),
        ("postgres:///c?host=db.example", {"db.example"}),
    ],
)
def test_what_leaves_the_machine_is_told_from_what_does_not(heard, address, hosts):
    assert heard(address) == hosts


def test_the_variables_of_libpq_count_where_the_address_is_silent(heard):
    assert heard("postgres:///c", PGHOST="db.example") == {"db.example"}
    assert heard("postgres://a:b@127.0.0.1/c", PGHOST="db.example") == set()
    assert heard("postgres://a:b@127.0.0.1/c", PGHOSTADDR="10.0.0.5") == {"10.0.0.5"}


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        ("", set()),
        ("redis://127.0.0.1:6379/0", set()),
        ("redis://:secret@localhost", set()),
        ("redis://[::1]:6379", set()),
        ("rediss://redis.example", set()),
        ("redis://redis.example", {"redis.example"}),
        ("redis://:secret@10.0.0.6:6379/0", {"10.0.0.6"}),
    ],
)
def test_redis_needs_the_scheme_with_tls(address, hosts):
    assert plaintext_hosts_of(address, demands_tls="rediss") == hosts


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DATABASE_URL": DATABASE}, "DATABASE_URL reaches db.example without TLS"),
        ({"REDIS_URL": "redis://:secret@redis.example"}, "REDIS_URL reaches redis.example"),
        ({"S3_ENDPOINT_URL": "http://s3.example"}, "S3_ENDPOINT_URL reaches s3.example without"),
        (
            {"DATABASE_URL": DATABASE, "PLAINTEXT_HOSTS": "redis.example"},
            "DATABASE_URL reaches db.example without TLS",
        ),
    ],
)
def test_production_refuses_them_with_a_sentence(tmp_path, variables, sentence):
    finished = manage(tmp_path, **SECURE, **variables)
    assert finished.returncode == 1
    (line,) = finished.stderr.strip().splitlines()
    assert line.startswith(sentence)
    assert "secret" not in line


@pytest.mark.parametrize(
    "variables",
    [
        {**SECURE, "PLAINTEXT_HOSTS": "db.example,redis.example,s3.example"},
        {"DEBUG": "1"},
    ],
    ids=["named", "development"],
)
def test_a_network_of_ones_own_is_named_and_development_is_free(tmp_path, variables):
    show = ("diffsettings",)  # it reads the settings and reaches nothing
    servers = {"REDIS_URL": "redis://redis.example", "S3_ENDPOINT_URL": "http://s3.example"}
    finished = manage(tmp_path, *show, **variables, **servers, DATABASE_URL=DATABASE)
    assert finished.returncode == 0, finished.stderr
