"""Merkle trees: one hash that stands for many leaves (RFC 9162, section 2.1.1, SHA-256)."""

import hashlib
from collections.abc import Iterable


def root_of(leaves: Iterable[bytes]) -> str:
    """The root over the leaves in their order, in hex; of no leaf, the hash of nothing."""
    # Whole trees of 1, 2, 4 … leaves, the largest first: a new one joins those of its size.
    trees: list[tuple[int, bytes]] = []
    for leaf in leaves:
        size, node = 1, hashlib.sha256(b"\x00" + leaf).digest()
        while trees and trees[-1][0] == size:
            size, node = size * 2, _joined(trees.pop()[1], node)
        trees.append((size, node))
    if not trees:
        return hashlib.sha256().hexdigest()
    node = trees.pop()[1]
    while trees:
        node = _joined(trees.pop()[1], node)
    return node.hex()


def _joined(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
