"""Secrets at rest."""

import pytest
from cryptography.fernet import InvalidToken

from ops.services.encryption import decrypt, encrypt, keyed_hash


def test_what_is_encrypted_comes_back_and_cannot_be_read(settings):
    secret = encrypt("卡密 ABC")
    assert "ABC" not in secret
    assert secret.isascii()
    assert decrypt(secret) == "卡密 ABC"
    assert encrypt("卡密 ABC") != secret


def test_a_newer_key_is_put_before_the_older_one(settings):
    settings.FIELD_ENCRYPTION_KEYS = ["old"]
    before = encrypt("x")
    settings.FIELD_ENCRYPTION_KEYS = ["new", "old"]
    after = encrypt("x")
    assert decrypt(before) == decrypt(after) == "x"
    settings.FIELD_ENCRYPTION_KEYS = ["new"]
    assert decrypt(after) == "x"
    with pytest.raises(InvalidToken):
        decrypt(before)


def test_what_was_altered_is_refused():
    secret = encrypt("x")
    with pytest.raises(InvalidToken):
        decrypt(secret[:-4] + "AAA=")
    with pytest.raises(InvalidToken):
        decrypt("garbage")


def test_a_keyed_hash_stays_when_a_newer_key_comes(settings):
    settings.FIELD_ENCRYPTION_KEYS = ["old"]
    before = keyed_hash("phone", "13800138001")
    settings.FIELD_ENCRYPTION_KEYS = ["new", "old"]
    assert keyed_hash("phone", "13800138001") == before
    settings.FIELD_ENCRYPTION_KEYS = ["other"]
    assert keyed_hash("phone", "13800138001") != before


def test_a_keyed_hash_is_its_purposes_own():
    hashes = {keyed_hash(purpose, value) for purpose in ("a", "b") for value in ("x", "y")}
    assert len(hashes) == 4
    assert all(len(one) == 64 for one in hashes)
