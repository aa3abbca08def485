"""A block that joins the transaction around it."""

import pytest
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from ops.transactions import in_transaction
from tests.people import make_person

pytestmark = pytest.mark.django_db


@in_transaction
def rename(person, nickname, *, then=None):
    User.objects.filter(pk=person.pk).update(nickname=nickname)
    if then:
        raise then


def name_of(person):
    return User.objects.values_list("nickname", flat=True).get(pk=person.pk)


def statements_of(captured):
    return [one["sql"].split()[0] for one in captured]


def test_inside_of_another_it_sets_no_savepoint():
    person = make_person()
    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        rename(person, "one")
        rename(person, "two")
    assert statements_of(captured) == ["UPDATE", "UPDATE"]
    assert name_of(person) == "two"


def test_what_it_raises_takes_back_the_whole_transaction():
    person = make_person(nickname="as before")

    @transaction.atomic
    def count_and_rename():
        User.objects.filter(pk=person.pk).update(login_count=7)
        rename(person, "new", then=ZeroDivisionError)

    with pytest.raises(ZeroDivisionError):
        count_and_rename()
    assert name_of(person) == "as before"
    assert User.objects.get(pk=person.pk).login_count == 0


def test_nobody_goes_on_after_what_it_raised():
    """Half of a change would be committed; whoever wants to go on sets a savepoint."""
    person = make_person(nickname="as before")
    with transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            rename(person, "new", then=ZeroDivisionError)
        assert name_of(person) == "as before"
    with transaction.atomic():
        with pytest.raises(ZeroDivisionError):
            rename(person, "new", then=ZeroDivisionError)
        with pytest.raises(TransactionManagementError):
            name_of(person)
    assert name_of(person) == "as before"


def test_on_its_own_it_is_a_transaction():
    person = make_person(nickname="as before")
    with pytest.raises(ZeroDivisionError):
        rename(person, "new", then=ZeroDivisionError)
    assert name_of(person) == "as before"
