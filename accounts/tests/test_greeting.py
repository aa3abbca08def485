"""What sockets have to know before they say hello."""

from dataclasses import replace

import pytest
from django.utils import timezone

from accounts.models import DeviceSession, UserStatus
from accounts.services import sign_in as service
from accounts.services.greeting import SignedInAs, Standing, standings
from accounts.tests.factories import make_sign_in
from ops.identifiers import MAX_ID
from tests.people import give

pytestmark = pytest.mark.django_db


def of(signed_in):
    return SignedInAs(signed_in.person.pk, signed_in.session.pk)


def test_each_gets_their_own_in_one_query(django_assert_num_queries):
    rich, poor = make_sign_in(), make_sign_in()
    give(rich.person, 250)
    give(rich.person, -50)
    again = make_sign_in(rich.person)
    with django_assert_num_queries(1):
        found = standings([of(poor), of(rich), of(again), of(poor)])
    nothing = Standing(total_points=0, points_version=0)
    assert found == [nothing, Standing(200, 2), Standing(200, 2), nothing]


def test_whoever_may_not_listen_has_none_and_takes_it_from_nobody(django_assert_num_queries):
    signed_in, other = make_sign_in(), make_sign_in()
    ended, banned, inactive = make_sign_in(), make_sign_in(), make_sign_in()
    service.revoke(ended.session)
    service.change_status(person=banned.person, status=UserStatus.BANNED)
    service.change_status(person=inactive.person, status=UserStatus.INACTIVE)
    DeviceSession.objects.filter(user=inactive.person).update(revoked_at=None)
    gone = make_sign_in()
    DeviceSession.objects.filter(pk=gone.session.pk).delete()
    nobodies = [SignedInAs(signed_in.person.pk, number) for number in (0, -1, MAX_ID, MAX_ID + 1)]
    anothers = SignedInAs(signed_in.person.pk, other.session.pk)
    asked = [of(ended), of(banned), of(inactive), of(gone), *nobodies, anothers]
    with django_assert_num_queries(1):
        assert standings([*asked, of(signed_in)]) == [None] * len(asked) + [Standing(0, 0)]


def test_a_sign_in_that_only_its_token_outlives_is_as_good_as_any():
    """How long it lasts is said by the token, as everywhere."""
    signed_in = make_sign_in()
    DeviceSession.objects.update(expires_at=timezone.now())
    assert standings([of(signed_in)]) == [Standing(0, 0)]


def test_nobody_is_no_question(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert standings([]) == []
        assert standings([SignedInAs(person_id=1, session_id=0)]) == [None]


def test_a_token_without_an_issuer_is_of_a_sign_in_of_the_version_before():
    old, new = make_sign_in(), make_sign_in()
    DeviceSession.objects.filter(pk=old.session.pk).update(takes_unnamed=True)
    unnamed = [replace(of(one), names_issuer=False) for one in (old, new)]
    assert standings([*unnamed, of(old), of(new)]) == [
        Standing(0, 0), None, Standing(0, 0), Standing(0, 0),
    ]  # fmt: skip
