"""Leaks for `tests/test_leaks.py`, which runs this file by name: all but the last test fail."""

import logging

import pytest
from django.conf import settings

from ops.services.encryption import encrypt, keyed_hash
from tests.leaks import leaks

logger = logging.getLogger("planted")
# In prose, where no name and no look gives them away.
SEED = "0f" * 32
OPENID = "oGZUI0egBJY1zhBYw2KhdUfwVJJE"


def test_a_code():
    keyed_hash("sign-in code", "13700000001:482913")
    logger.warning("sent %s to somebody", "482913")


def test_a_seed():
    encrypt(SEED)
    logger.warning("drawn with %s", SEED)


def test_a_virtual_code_of_two_words():
    encrypt("CARD 1234")
    logger.warning("given: CARD 1234")


def test_an_openid():
    leaks.know(OPENID)
    logger.warning("%s came", OPENID)


def test_a_key():
    logger.warning("the key is %s", str(settings.HASH_KEYS[0]))


def test_what_an_exception_says():
    encrypt(SEED)

    def fail():
        raise LookupError("nothing for " + SEED)

    try:
        fail()
    except LookupError:
        logger.exception("It failed")


@pytest.fixture
def a_phone():
    keyed_hash("registered phone", "13700000001")
    return "13700000001"


def test_nothing_that_is_known(a_phone):
    logger.warning("%s came with code=482913 of seed pair 482914", a_phone)
