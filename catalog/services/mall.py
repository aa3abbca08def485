"""What the mall shows that another app knows."""

from collections.abc import Callable, Collection

from accounts.models import User

type FavoritesLookup = Callable[[User, Collection[int]], set[int]]

_lookups: list[FavoritesLookup] = []


def register_favorites(lookup: FavoritesLookup) -> None:
    """Let the mall ask which of some products a person keeps; from AppConfig.ready()."""
    _lookups[:] = [lookup]


def favorites_among(person: User, product_ids: Collection[int]) -> set[int]:
    """Which of these products the person keeps as favorites; one query for a whole page."""
    return {kept for lookup in _lookups for kept in lookup(person, product_ids)}
