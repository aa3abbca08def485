"""The key ring: ids, order, and what must never be seen of a key."""

import traceback

import pytest

from ops.services import key_ring
from ops.services.key_ring import SETTINGS, UnknownKey
from tests.keys import NEW, OLD, OTHER


@pytest.mark.parametrize("purpose", SETTINGS)
def test_the_first_key_is_the_newest_and_all_are_found_by_their_ids(settings, purpose):
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    setattr(settings, SETTINGS[purpose], [NEW, OLD])

    newest, older = key_ring.keys(purpose)

    assert (newest.secret, older.secret) == (NEW.encode(), OLD.encode())
    assert key_ring.newest(purpose) == newest
    assert key_ring.find(purpose, older.id) == older


def test_an_id_follows_from_the_secret_and_the_purpose_alone(settings):
    for name in SETTINGS.values():
        setattr(settings, name, [NEW])
    ids = {purpose: key_ring.newest(purpose).id for purpose in SETTINGS}

    assert len(set(ids.values())) == len(SETTINGS)
    assert all(len(each) == 12 and int(each, 16) for each in ids.values())
    settings.TOKEN_KEYS = [OLD, NEW]
    assert key_ring.keys("token")[1].id == ids["token"]
    # Rows and tokens name it: it must be the same in every version to come.
    assert ids["field"] == "ac63b58ceaa9"


def test_an_id_of_nothing_or_of_another_purpose_is_a_clear_error(settings):
    settings.TOKEN_KEYS = [NEW]
    for key_id in ("000000000000", "", key_ring.newest("field").id):
        with pytest.raises(UnknownKey, match=f"TOKEN_KEYS has no key '{key_id}'"):
            key_ring.find("token", key_id)


def test_no_secret_is_seen_in_a_repr_or_in_a_traceback_with_its_locals(settings):
    settings.TOKEN_KEYS = [NEW]
    with pytest.raises(UnknownKey) as caught:
        key_ring.find("token", "nothing")
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)

    assert "new" not in repr(key_ring.keys("token"))
    assert "newnew" not in "".join(shown.format())


def test_the_first_hash_key_is_borrowed_until_hash_keys_has_it(settings):
    settings.FIELD_ENCRYPTION_KEYS = [OTHER, OLD]
    settings.HASH_KEYS = [NEW]
    assert [key.secret for key in key_ring.keys("hash")] == [NEW.encode(), OLD.encode()]
    assert key_ring.borrowed_hash_key() == key_ring.first_hash_key() == key_ring.keys("hash")[1]
    before = key_ring.keys("hash")
    settings.HASH_KEYS = [NEW, OLD]
    assert key_ring.keys("hash") == before
    assert key_ring.borrowed_hash_key() is None
