"""Premium: more receipts a day, until a date, as staff grant it."""

from datetime import date

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.errors import OwnPremium
from accounts.models import User
from accounts.services.points import lock_person
from ops.errors import ValidationFailed
from ops.services import audit
from ops.transactions import in_transaction

LONGEST_REASON = 500  # characters


@in_transaction
def grant(*, person_id: int, until: date, reason: str, author_id: int) -> None:
    """Let a person be premium from now until this day has ended, longer or shorter than before.

    It ends by itself. Audited where it changes something. Raises ValidationFailed for a day that
    is over and without a reason, OwnPremium, and User.DoesNotExist.
    """
    if until < timezone.localdate():
        raise ValidationFailed({"until": [_("This day is over.")]})
    _change(
        "user.grant_premium", person_id=person_id, until=until, reason=reason, author_id=author_id
    )


@in_transaction
def end(*, person_id: int, reason: str, author_id: int) -> None:
    """End a person's premium at once. Raises as `grant` does; without premium nothing happens."""
    _change("user.end_premium", person_id=person_id, until=None, reason=reason, author_id=author_id)


def _change(
    action: str, *, person_id: int, until: date | None, reason: str, author_id: int
) -> None:
    if not (reason := reason.strip()):
        raise ValidationFailed({"reason": [_("Say why.")]})
    if person_id == author_id:
        raise OwnPremium
    person = lock_person(person_id)
    before = person.premium_until
    if before == until or (until is None and not person.is_premium):
        return
    User.objects.filter(pk=person.pk).update(premium_until=until)
    audit.record(
        action=action,
        row=person,
        before={"premium_until": before},
        after={"premium_until": until},
        reason=reason,
        actor_id=author_id,
    )
