"""Keys for tests, and what rows looked like before there was a ring."""

import base64
import hashlib
import hmac

import jwt
from cryptography.fernet import Fernet
from django.conf import settings

from ops.services import key_ring

OLD, NEW, OTHER = "old" * 16, "new" * 16, "other" * 10


def encrypt_as_before(plain, key=OLD):
    """A ciphertext that names no key."""
    cipher = Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))
    return cipher.encrypt(plain.encode()).decode()


def hash_as_before(purpose, value, key=OLD):
    """A hash under the last of FIELD_ENCRYPTION_KEYS."""
    secret = hashlib.sha256(f"{purpose}:{key}".encode()).digest()
    return hmac.new(secret, value.encode(), hashlib.sha256).hexdigest()


def claims_of(token):
    """What a token says, whoever signed it."""
    return jwt.decode(token, options={"verify_signature": False})


def sign_as_before(claims):
    """A token under SECRET_KEY that names no key."""
    return jwt.encode(claims, settings.SECRET_KEY, algorithm="HS256")


def sign(claims, key=None, *, kid=None):
    """A token under a key of the ring, or that names another one than it is signed with."""
    key = key or key_ring.newest("token")
    return jwt.encode(claims, key.secret, algorithm="HS256", headers={"kid": kid or key.id})
