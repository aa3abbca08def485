"""Who may act on whom, and who may enter the console."""

from django.contrib.auth.models import Group

from accounts.errors import HoldsMoreRights, OwnRole
from accounts.models import User
from ops import security_log
from ops.access import OF_PLATFORM, Role, access_of, rights_of
from ops.services import audit
from ops.transactions import in_transaction


def may_act_on(*, author: User, person: User) -> bool:
    """Whether somebody holds every right of a person, at every place, and so may act on them.

    Else whoever may edit people would act through the account of somebody who may do more. The
    rights of a closed account count as well: it may be opened again.
    """
    return access_of(author).covers(rights_of(person))


def check_may_act_on(*, author: User, person: User) -> None:
    """Raise HoldsMoreRights unless the author holds every right of the person."""
    if not may_act_on(author=author, person=person):
        raise HoldsMoreRights(name=str(person))


@in_transaction
def follow_access(person_id: int) -> None:
    """Let `is_staff` say whether somebody may enter the console, which is all that it says.

    The account of somebody who is closed follows when it is opened.
    """
    person: User = User.objects.locked().get(pk=person_id)
    if person.is_active:
        User.objects.filter(pk=person_id).update(is_staff=access_of(person).opens_console)


def platform_role(person: User) -> Role | None:
    """As what a person works for the platform; None for everybody else."""
    names = set(person.groups.values_list("name", flat=True))
    return next((role for role in OF_PLATFORM if role in names), None)


@in_transaction
def choose_platform_role(*, person_id: int, role: Role | None, author_id: int) -> None:
    """Give a person this role on the platform in the place of the one they have; None takes it.

    It takes effect at the next request. Raises OwnRole: nobody raises their own rights.
    """
    if person_id == author_id:
        raise OwnRole
    person: User = User.objects.locked().get(pk=person_id)
    before = platform_role(person)
    if role == before:
        return
    person.groups.remove(*Group.objects.filter(name__in=OF_PLATFORM))
    if role:
        person.groups.add(Group.objects.get(name=role))
    follow_access(person.pk)
    security_log.note_change("permission_changed", person_id=person.pk, role=role or "none")
    audit.record(
        action="user.choose_platform_role",
        row=person,
        before={"role": before},
        after={"role": role},
        actor_id=author_id,
    )
