"""What becomes of favorites when two accounts are merged: they move, each once."""

import pytest

from accounts.tests.factories import merge_into
from catalog.tests.factories import make_product
from favorites import services
from favorites.models import Favorite
from tests.api import client_of, data_of
from tests.people import make_person

pytestmark = pytest.mark.django_db


def test_favorites_move_and_what_both_keep_is_kept_once():
    survivor, merged, other = make_person(), make_person(), make_person()
    mine, both, theirs = (make_product() for _ in range(3))
    for person, kept in ((survivor, (mine, both)), (merged, (both, theirs)), (other, (theirs,))):
        for product in kept:
            services.add(person=person, product_id=product.pk)
    before = Favorite.objects.get(person=survivor, product=both)

    merge_into(survivor, merged)

    after = Favorite.objects.filter(person=survivor).order_by("product")
    assert [one.product_id for one in after] == [mine.pk, both.pk, theirs.pk]
    assert before in after
    assert not Favorite.objects.filter(person=merged).exists()
    assert Favorite.objects.filter(person=other).count() == 1
    told = data_of(client_of(survivor).get("/api/favorites"))["items"]
    assert len(told) == 3
