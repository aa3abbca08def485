"""A thousand forgeries by somebody with the database's password are found, each by its id."""

from contextlib import ExitStack
from itertools import cycle

import pytest
from django.db import connection

from accounts.models import AccountMerge, PointsEntry, RegistrationMark
from accounts.tests.factories import make_staff, merge_into
from catalog.models import StockEntry
from catalog.tests.factories import make_shop
from lottery.models import Draw
from lottery.tests.factories import make_wheel, points_prize
from ops.models import AuditEntry
from ops.services import integrity
from tests.forgeries import (
    OF_MERGES,
    OF_PEOPLE,
    OF_PRODUCTS,
    OF_THE_TRAIL,
    make_pair,
    make_subjects,
)
from tests.ledgers import without_triggers
from tests.people import make_person

pytestmark = [pytest.mark.django_db, pytest.mark.story]

SUBJECTS = 1000  # each is forged once, so that no other forgery has it found


def findings():
    """Everything that all checks find, by the id of the object."""
    return {found.object_id for name in integrity.checks.names() for found in integrity.run(name)}


def tell_the_planner_how_much_there_is():
    """Do at once what autovacuum does in a minute: it does not see into a test's transaction."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


@pytest.fixture
def subjects():
    return make_subjects(
        SUBJECTS,
        shop=make_shop(),
        wheel=make_wheel(points_prize("50", probability=1), pity_threshold=None),
        reviewer=make_person(),
    )


def test_a_thousand_forgeries_are_found_by_id_and_nothing_before_them(subjects):
    tell_the_planner_how_much_there_is()
    assert findings() == set()

    planted = []
    with ExitStack() as guards:
        for ledger in (PointsEntry, StockEntry, Draw, RegistrationMark, AuditEntry):
            guards.enter_context(without_triggers(ledger))
        kinds = cycle(OF_PEOPLE + OF_PRODUCTS + OF_THE_TRAIL)
        for subject, forge in zip(subjects, kinds, strict=False):
            planted.append((forge.__name__, forge(subject)))

    assert len(planted) == len({object_id for _kind, object_id in planted}) == SUBJECTS
    found = findings()
    assert [one for one in planted if one[1] not in found] == []


def test_forgeries_of_merges_are_found_by_id_and_nothing_before_them():
    facts = {"shop": make_shop(), "reviewer": make_person(), "author": make_staff()}
    pairs = [make_pair(**facts) for _forgery in OF_MERGES]
    # What is there besides: one account after another, and a merge without points.
    merge_into(make_person(points=5), make_person())
    assert findings() == set()

    with without_triggers(AccountMerge), without_triggers(PointsEntry):
        planted = [
            (forge.__name__, forge(pair)) for forge, pair in zip(OF_MERGES, pairs, strict=True)
        ]

    assert len({object_id for _kind, object_id in planted}) == len(OF_MERGES)
    found = findings()
    assert [one for one in planted if one[1] not in found] == []
