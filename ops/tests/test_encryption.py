"""Secrets at rest."""

import pytest
from cryptography.fernet import InvalidToken

from ops.services import key_ring
from ops.services.encryption import decrypt, encrypt, keyed_hash, keyed_hashes
from tests.keys import NEW, OLD, OTHER, encrypt_as_before, hash_as_before


def test_what_is_encrypted_comes_back_and_cannot_be_read():
    secret = encrypt("卡密 ABC")
    assert "ABC" not in secret
    assert secret.isascii()
    assert decrypt(secret) == "卡密 ABC"
    assert encrypt("卡密 ABC") != secret


def test_a_newer_key_is_put_before_the_older_one(settings):
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    before = encrypt("x")
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    after = encrypt("x")
    assert decrypt(before) == decrypt(after) == "x"
    assert after.startswith(f"{key_ring.newest('field').id}:")
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert decrypt(after) == "x"
    with pytest.raises(InvalidToken, match=before[:12]):
        decrypt(before)


def test_what_was_encrypted_before_there_were_ids_is_read_under_any_key(settings):
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    before = encrypt_as_before("卡密 ABC")
    assert decrypt(before) == "卡密 ABC"
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    with pytest.raises(InvalidToken, match="No key"):
        decrypt(before)


def test_what_was_altered_is_refused():
    secret = encrypt("x")
    for altered in (f"{secret[:-4]}AAA=", "garbage", "", ":", f"{secret[:13]}ｘ", secret[:13]):
        with pytest.raises(InvalidToken):
            decrypt(altered)


def test_a_swapped_key_id_opens_nothing(settings):
    settings.FIELD_ENCRYPTION_KEYS = settings.TOKEN_KEYS = [NEW, OLD]
    newest, older = key_ring.keys("field")
    ciphertext = encrypt("x").removeprefix(f"{newest.id}:")
    for key_id in (older.id, key_ring.newest("token").id, newest.id.upper(), ""):
        with pytest.raises(InvalidToken):
            decrypt(f"{key_id}:{ciphertext}")


def test_a_value_is_hashed_under_the_newest_key_and_known_under_all(settings):
    settings.HASH_KEYS, settings.FIELD_ENCRYPTION_KEYS = [NEW, OTHER], [OLD]
    newest, other, first = keyed_hashes("phone", "13800138001")
    assert newest == keyed_hash("phone", "13800138001")
    assert other == hash_as_before("phone", "13800138001", OTHER)
    assert first == hash_as_before("phone", "13800138001")
    settings.HASH_KEYS = [OTHER]
    assert keyed_hash("phone", "13800138001") == other


def test_a_keyed_hash_is_its_purposes_own():
    hashes = {keyed_hash(purpose, value) for purpose in ("a", "b") for value in ("x", "y")}
    assert len(hashes) == 4
    assert all(len(one) == 64 for one in hashes)
