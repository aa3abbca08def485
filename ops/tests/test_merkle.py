"""Merkle roots against the tree written down once more by the words of RFC 9162."""

import hashlib

import pytest

from ops.merkle import root_of


def by_the_words(leaves):
    """MTH(D[n]) of RFC 9162, 2.1.1: recursive, split at the largest power of two below n."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    halves = by_the_words(leaves[:split]) + by_the_words(leaves[split:])
    return hashlib.sha256(b"\x01" + halves).digest()


@pytest.mark.parametrize("count", [*range(20), 64, 65, 100])
def test_the_root_is_that_of_the_rfc(count):
    leaves = [str(number).encode() for number in range(count)]
    assert root_of(iter(leaves)) == by_the_words(leaves).hex()


def test_known_roots():
    """The first test vectors of the Certificate Transparency reference tests."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    one = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert (root_of([]), root_of([b""])) == (empty, one)
    assert root_of([b"", b"\x00"]) == (
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    )
