"""What the mall shows of its products, some of which another app knows."""

from collections.abc import Callable, Collection

from django.db.models import BooleanField, Exists, Prefetch, QuerySet, Value

from accounts.models import User
from catalog.models import Product, ProductImage

type FavoriteTest = Callable[[User], Exists]

_is_favorite_of: FavoriteTest | None = None


def set_favorite_test(is_favorite_of: FavoriteTest) -> None:
    """Say how the mall asks whether a person keeps the product at hand; from AppConfig.ready().

    `is_favorite_of(person)` is an expression over the rows of a queryset of products.
    """
    global _is_favorite_of
    _is_favorite_of = is_favorite_of


def favorites_among(person: User, product_ids: Collection[int]) -> set[int]:
    """Which of these products the person keeps, in one query; none where no app knows it."""
    if _is_favorite_of is None:
        return set()
    products = Product.objects.filter(_is_favorite_of(person), pk__in=product_ids)
    return set(products.values_list("pk", flat=True))


def shown(products: QuerySet[Product]) -> QuerySet[Product]:
    """Bring along what the mall shows of products to strangers, in one more query for all rows.

    That is category, pictures, and as `is_favorite` None.
    """
    pictures = Prefetch("images", ProductImage.objects.select_related("file", "thumbnail"))
    nobodys = Value(None, output_field=BooleanField(null=True))
    with_all = products.select_related("category").prefetch_related(pictures)
    return with_all.annotate(is_favorite=nobodys)
