"""A secret may stand in a file that NAME_FILE names, as orchestrators hand them out."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.environment_reader import EnvironmentReader
from config.tests.test_settings import SECURE, manage

SECRETS = {
    "SECRET_KEY": "1" * 60,
    "HASH_KEYS": f"{'2' * 60},{'3' * 60}",
    "TOKEN_KEYS": "4" * 60,
    "FIELD_ENCRYPTION_KEYS": "5" * 60,
    "SEAL_KEYS": "6" * 60,
    "METRICS_TOKEN": "7" * 60,
    "DATABASE_URL": "postgres://a:8888@127.0.0.1/c",
    "REDIS_URL": "redis://:9999@127.0.0.1/0",
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": "0000",
}
SHOW = """
from django.conf import settings as s
from django.core.files.storage import storages
print(s.SECRET_KEY, ",".join(s.HASH_KEYS), *s.TOKEN_KEYS, *s.FIELD_ENCRYPTION_KEYS, *s.SEAL_KEYS)
print(s.METRICS_TOKEN, s.DATABASES["default"]["PASSWORD"], s.CACHES["default"]["LOCATION"])
print(storages["default"].access_key, storages["default"].secret_key)
"""


def test_every_secret_may_come_from_a_file(tmp_path):
    files: dict[str, str] = {}
    for name, value in SECRETS.items():
        path = tmp_path / name.lower()
        path.write_text(f"{value}\n")
        files |= {name: "", f"{name}_FILE": str(path)}
    shell = ("shell", "--no-imports", "-c", SHOW)
    finished = manage(tmp_path, *shell, **{**SECURE, "S3_BUCKET": "media", **files})
    expected = {**SECRETS, "DATABASE_URL": "8888"}
    assert finished.stdout.split() == list(expected.values()), finished.stderr


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Read SEAL_KEYS from a file with these bytes."""

    def secret(content, **variables):
        path = tmp_path / "file"
        path.write_bytes(content)
        for name, value in {"SEAL_KEYS_FILE": str(path), **variables}.items():
            monkeypatch.setenv(name, value)
        return EnvironmentReader().secret("SEAL_KEYS")

    return secret


@pytest.mark.parametrize(
    ("content", "variables", "sentence"),
    [
        (b"k" * 40, {"SEAL_KEYS": "s" * 40}, "SEAL_KEYS and SEAL_KEYS_FILE are both set"),
        (b"k" * 40, {"SEAL_KEYS_FILE": "/nowhere/key"}, "SEAL_KEYS_FILE cannot be read: .*No such"),
        (b"k" * 40, {"SEAL_KEYS_FILE": "/etc"}, "SEAL_KEYS_FILE cannot be read: .*directory"),
        (b" \n", {}, "SEAL_KEYS_FILE names .*, which is empty"),
        (b"\xff" * 40, {}, "SEAL_KEYS_FILE names .*, which is no text"),
        (b"short", {}, "SEAL_KEYS is too short"),
    ],
)
def test_a_file_that_is_of_no_use_is_named(read, content, variables, sentence):
    with pytest.raises(ImproperlyConfigured, match=sentence) as refusal:
        read(content, **variables)
    assert "kkkk" not in str(refusal.value)
    assert "short," not in str(refusal.value)


def test_the_end_of_the_line_is_no_part_of_it(read):
    assert read(b"k" * 40 + b"\r\n", SEAL_KEYS="") == "k" * 40


def test_an_address_that_cannot_be_read_shows_nothing_of_its_password(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://shop:hunter/2@127.0.0.1/points")
    with pytest.raises(ImproperlyConfigured) as refusal:
        EnvironmentReader().database("DATABASE_URL")
    assert str(refusal.value).startswith("DATABASE_URL cannot be read: write postgres://")
    assert "hunter" not in str(refusal.value)
    assert refusal.value.__cause__ is None
