"""The receipts that wait for a reviewer, and which of them comes next."""

from django.db.models import Case, QuerySet, Value, When

from accounts.services.merged_accounts import account_ids
from reviews.models import Receipt
from reviews.services.reviewers import Reviewer


def waiting_for(reviewer: Reviewer) -> QuerySet[Receipt]:
    """About what the reviewer can decide now: what was read, at their shops, not their own."""
    receipts: QuerySet[Receipt] = Receipt.objects.waiting().filter(shop__in=reviewer.shops)
    return receipts.exclude(person__in=account_ids(reviewer.person))


def next_for(reviewer: Reviewer, *, after: Receipt) -> Receipt | None:
    """The receipt that comes after this one: oldest first, and at the end from the start again.

    So what somebody skipped comes back once everything after it was seen. None when no other one
    waits.
    """
    is_earlier = Case(When(pk__gt=after.pk, then=Value(0)), default=Value(1))
    others = waiting_for(reviewer).exclude(pk=after.pk)
    return others.order_by(is_earlier, "pk").first()
