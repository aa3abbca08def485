"""Keeping a product, letting it go, and asking which ones a person keeps."""

from django.db.models import Exists, OuterRef

from accounts.models import User
from catalog.models import Product
from favorites.errors import FavoriteNotFound
from favorites.metrics import FAVORITES
from favorites.models import Favorite


def add(*, person: User, product_id: int | None) -> Favorite:
    """Keep a product; keeping it again changes nothing.

    Raises FavoriteNotFound when there is no such product in the mall, unless the person keeps it
    already: then it was withdrawn meanwhile, and stays.
    """
    if product_id is None:
        raise FavoriteNotFound
    kept = Favorite.objects.filter(person=person, product_id=product_id).first()
    if kept is not None:
        return kept
    if not Product.objects.visible().filter(pk=product_id).exists():
        raise FavoriteNotFound
    # The unique constraint decides between twins; get_or_create reads the winner's row.
    favorite, is_new = Favorite.objects.get_or_create(person=person, product_id=product_id)
    if is_new:
        FAVORITES.add_on_commit(1, "added")
    return favorite


def remove(*, person: User, product_id: int | None) -> None:
    """Let a product go; it does not matter whether it was kept."""
    if product_id is not None:
        gone, _by_model = Favorite.objects.filter(person=person, product_id=product_id).delete()
        if gone:
            FAVORITES.add_on_commit(1, "removed")


def hand_over(merged: User, survivor: User) -> None:
    """Let one person keep what the other kept; what both keep is kept once."""
    kept = Favorite.objects.filter(person=survivor).values("product")
    Favorite.objects.filter(person=merged, product__in=kept).delete()
    Favorite.objects.filter(person=merged).update(person=survivor)


def is_favorite_of(person: User) -> Exists:
    """Whether the person keeps the product at hand: an expression over rows of products."""
    return Exists(Favorite.objects.filter(person=person, product_id=OuterRef("pk")))
