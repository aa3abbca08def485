"""Who gets into the console though they have no right there yet, as apps above this one know it.

Whoever signs in to the console has shown by a code that a phone is theirs. An invitation that
waits for that phone is followed then; what follows from it is the business of who registered it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from accounts.models import User
from accounts.services import identities
from ops.registry import Registry
from ops.transactions import in_transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """One reason to let somebody in.

    `awaits` says whether a phone is waited for; `admit` gives its person, who has proved the phone,
    what they were promised.
    """

    awaits: Callable[[str], bool]
    admit: Callable[[User], None]


admissions: Registry[Admission] = Registry()


def is_awaited(phone: str) -> bool:
    """Whether somebody with this phone would be let in."""
    return any(admission.awaits(phone) for admission in admissions.values())


@in_transaction
def person_of(phone: str) -> User | None:
    """Whoever proved this phone at the console, with what they were promised; None for a stranger.

    Somebody who is waited for gets an account where they have none. Of nobody else one is made.
    """
    if is_awaited(phone):
        person, _is_new = identities.person_by_phone(phone)
        if person.is_active:
            for admission in admissions.values():
                admission.admit(person)
    found: User | None = User.objects.filter(phone=phone).first()
    return found
