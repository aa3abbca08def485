"""Whom a shop knows: people with a receipt or an order there, as the apps above tell."""

from collections.abc import Callable
from functools import reduce
from operator import or_

from django.db.models import Exists, Q, QuerySet

from accounts.models import User
from ops.registry import Registry

type Dealing = Callable[[frozenset[int]], Exists]

# Whether the person at hand has had to do with one of these shops, by what it was.
dealings: Registry[Dealing] = Registry()


def known_at(people: QuerySet[User], shops: frozenset[int]) -> QuerySet[User]:
    """Those of the people who are known at one of these shops."""
    nobody = Q(pk__in=())
    return people.filter(reduce(or_, (dealing(shops) for dealing in dealings.values()), nobody))
