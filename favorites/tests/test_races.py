"""Many at once keep what there is once, and the same without the constraint."""

from functools import partial

import pytest

from catalog.tests.factories import make_product
from favorites import services
from favorites.models import Favorite
from tests.people import make_person
from tests.races import race, without_constraint

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


def test_keeping_at_once_keeps_once():
    person, product = make_person(), make_product()

    outcomes = race([partial(services.add, person=person, product_id=product.pk)] * 20)

    assert set(outcomes) == {Favorite.objects.get()}


def test_without_the_constraint_it_is_kept_often():
    person, product = make_person(), make_product()

    with without_constraint(Favorite, "favorite_kept_once"):
        race([partial(Favorite.objects.create, person=person, product=product)] * 8)

        assert Favorite.objects.count() == 8
