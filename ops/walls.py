"""Walls between shops: which rows of a kind lie within reach of somebody who works at some shops.

Each kind of row has one, which its page in the console names. Who holds a permission everywhere
(platform staff, an auditor) stands above all walls.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, override

from django.db.models import Model, Q, QuerySet

type Rows = QuerySet[Any]
type Shops = frozenset[int]


class Wall(ABC):
    """What limits rows to shops."""

    @abstractmethod
    def within(self, rows: Rows, *, shops: Shops, person: Any) -> Rows:
        """Those of the rows that a person reaches who works at these shops."""

    def to_look_at(self, rows: Rows, *, shops: Shops, person: Any) -> Rows:
        """The same for looking alone, where that reaches further."""
        return self.within(rows, shops=shops, person=person)

    def shop_of(self, row: Model) -> int | None:
        """The id of the shop where a row lies; None for what lies at no single shop."""
        return None


@dataclass(frozen=True)
class OfShop(Wall):
    """Rows of one shop, at the end of `path`; an empty one is the platform's.

    The platform's own rows are there to look at for all where `platforms_are_shown`.
    """

    path: str
    platforms_are_shown: bool = False

    @override
    def within(self, rows: Rows, *, shops: Shops, person: Any) -> Rows:
        return rows.filter(**{f"{self.path}__in": shops})

    @override
    def to_look_at(self, rows: Rows, *, shops: Shops, person: Any) -> Rows:
        within = Q(**{f"{self.path}__in": shops})
        if self.platforms_are_shown:
            within |= Q(**{f"{self.path}__isnull": True})
        return rows.filter(within)

    @override
    def shop_of(self, row: Model) -> int | None:
        found: Any = type(row)._base_manager.filter(pk=row.pk).values_list(self.path, flat=True)
        shop: int | None = found.first()
        return shop


@dataclass(frozen=True)
class Shared(Wall):
    """Rows that all shops have in common: theirs to look at, the platform's to change."""

    @override
    def within(self, rows: Rows, *, shops: Shops, person: Any) -> Rows:
        return rows.none()

    @override
    def to_look_at(self, rows: Rows, *, shops: Shops, person: Any) -> Rows:
        return rows


@dataclass(frozen=True)
class OfPlatform(Wall):
    """Rows that are no shop's."""

    @override
    def within(self, rows: Rows, *, shops: Shops, person: Any) -> Rows:
        return rows.none()


@dataclass(frozen=True)
class OfPerson(Wall):
    """Rows of one person, at the end of `path`: everybody reaches their own."""

    path: str

    @override
    def within(self, rows: Rows, *, shops: Shops, person: Any) -> Rows:
        return rows.filter(**{self.path: person.pk})


@dataclass(frozen=True)
class Known(Wall):
    """Rows that shops know by what happened there, as `known_at` tells."""

    known_at: Callable[[Rows, Shops], Rows]

    @override
    def within(self, rows: Rows, *, shops: Shops, person: Any) -> Rows:
        return self.known_at(rows, shops)
