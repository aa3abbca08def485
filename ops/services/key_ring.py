"""The one key ring: every secret that data depends on, by purpose, each with an id.

The first key of a setting makes what is new; the ones behind it read what was made before.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from django.conf import settings

type Purpose = Literal["hash", "token", "field", "seal"]

SETTINGS: Mapping[Purpose, str] = {
    "hash": "HASH_KEYS",
    "token": "TOKEN_KEYS",
    "field": "FIELD_ENCRYPTION_KEYS",
    "seal": "SEAL_KEYS",
}
ID_LENGTH = 12  # hexadecimal digits


class UnknownKey(LookupError):
    """The ring has no key with this id for this purpose; the text names both and no secret."""


@dataclass(frozen=True, slots=True)
class Key:
    """One secret. Its id follows from it by a one-way hash, so nobody invents or confuses ids."""

    id: str
    secret: bytes = field(repr=False)


def keys(purpose: Purpose) -> tuple[Key, ...]:
    """All keys of a purpose, newest first."""
    return tuple(_ring(purpose).values())


def newest(purpose: Purpose) -> Key:
    """The key under which new things of a purpose are made."""
    return next(iter(_ring(purpose).values()))


def find(purpose: Purpose, key_id: str) -> Key:
    """The key with this id. Raises UnknownKey: an id of another purpose is unknown as well."""
    try:
        return _ring(purpose)[key_id]
    except KeyError:
        raise UnknownKey(f"{SETTINGS[purpose]} has no key {key_id!r}.") from None


def first_hash_key() -> Key:
    """The key of all hashes from before there was a ring: the last of FIELD_ENCRYPTION_KEYS."""
    return _key("hash", settings.FIELD_ENCRYPTION_KEYS[-1])


def borrowed_hash_key() -> Key | None:
    """The first hash key while HASH_KEYS does not list it; None when it does."""
    listed = settings.FIELD_ENCRYPTION_KEYS[-1] in settings.HASH_KEYS
    return None if listed else first_hash_key()


def _ring(purpose: Purpose) -> Mapping[str, Key]:
    texts = tuple(getattr(settings, SETTINGS[purpose]))
    if purpose == "hash":
        texts += tuple(settings.FIELD_ENCRYPTION_KEYS[-1:])
    return _parsed(purpose, texts)


@lru_cache(maxsize=32)
def _parsed(purpose: Purpose, texts: tuple[str, ...]) -> Mapping[str, Key]:
    return {key.id: key for key in (_key(purpose, text) for text in texts)}


def _key(purpose: Purpose, text: str) -> Key:
    secret = text.encode()
    # The purpose is hashed as well: one secret in two settings has two ids.
    digest = hashlib.sha256(b"key id\0" + purpose.encode() + b"\0" + secret).hexdigest()
    return Key(id=digest[:ID_LENGTH], secret=secret)
