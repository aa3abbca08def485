"""What hangs on keys: each app registers its columns; rotation and the start go through them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol

from cryptography.fernet import InvalidToken
from django.db.models import Case, Count, F, Model, QuerySet, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Left, Substr

from ops.registry import Registry
from ops.services import key_ring
from ops.services.encryption import decrypt, encrypt, key_of
from ops.services.key_ring import ID_LENGTH, Purpose

UNKNOWN = ""  # the key of rows that name none and that no key of the ring opens


class KeyUse(Protocol):
    """A column whose every row needs one key of a purpose."""

    @property
    def purpose(self) -> Purpose: ...

    @property
    def model(self) -> type[Model]: ...

    @property
    def column(self) -> str: ...

    def rows(self) -> QuerySet[Any]:
        """The rows that need a key, with its id as `needed_key`; empty where a row names none."""
        ...

    def count_by_key(self) -> dict[str, int]:
        """How many rows need which key, by its id."""
        ...

    @property
    def renewal(self) -> Callable[[Any], dict[str, str]] | None:
        """Gives the columns of a row anew under the newest key; None where nobody can.

        It raises InvalidToken when the row cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class EncryptedColumn:
    """A column of what `encrypt` makes; it says itself which key it needs."""

    model: type[Model]
    column: str
    purpose: ClassVar[Purpose] = "field"

    def rows(self) -> QuerySet[Any]:
        separator = Substr(self.column, ID_LENGTH + 1, 1)
        key_id: Combinable = Case(
            When(_separator=":", then=Left(self.column, ID_LENGTH)), default=Value("")
        )
        filled: QuerySet[Any] = self.model._base_manager.filter(**{f"{self.column}__gt": ""})
        rows: QuerySet[Any] = filled.alias(_separator=separator).annotate(needed_key=key_id)
        return rows

    def count_by_key(self) -> dict[str, int]:
        counts = Counter(_count(self.rows()))
        if counts.pop("", 0):
            unnamed = self.rows().filter(needed_key="").values_list(self.column, flat=True)
            counts.update(_key_id_of(ciphertext) for ciphertext in unnamed.iterator())
        return dict(counts)

    def renewal(self, row: Any) -> dict[str, str]:
        return {self.column: encrypt(decrypt(getattr(row, self.column)))}


@dataclass(frozen=True, slots=True)
class KeyIdColumn:
    """A column with the id of the key that something else of the row was made under.

    An empty one of a hash is from before there were ids: it was the first hash key. Without
    `renewal` its rows stay for ever as they are.
    """

    purpose: Purpose
    model: type[Model]
    column: str
    renewal: Callable[[Any], dict[str, str]] | None = None

    def rows(self) -> QuerySet[Any]:
        return self.model._base_manager.annotate(needed_key=F(self.column))

    def count_by_key(self) -> dict[str, int]:
        counts = Counter(_count(self.rows()))
        if self.purpose == "hash" and (unnamed := counts.pop("", 0)):
            counts[key_ring.first_hash_key().id] += unnamed
        return dict(counts)


@dataclass(frozen=True, slots=True)
class Alive:
    """How many things that end a key made, and when the last of them ends.

    None where that is not known: somebody has to remove them.
    """

    count: int
    until: datetime | None


@dataclass(frozen=True, slots=True)
class PassingUse:
    """Things that end, such as tokens and backups; `alive` tells of those of a key, by its id."""

    purpose: Purpose
    alive: Callable[[str], Alive]


columns: Registry[KeyUse] = Registry()
passing: Registry[PassingUse] = Registry()


def register(*uses: KeyUse) -> None:
    """Hand in columns, each under the name by which people are told of it."""
    for use in uses:
        columns.register(f"{use.model._meta.label}.{use.column}", use)


def _count(rows: QuerySet[Any]) -> dict[str, int]:
    return dict(rows.order_by().values_list("needed_key").annotate(Count("pk")))


def _key_id_of(ciphertext: str) -> str:
    try:
        return key_of(ciphertext).id
    except InvalidToken:
        return UNKNOWN
