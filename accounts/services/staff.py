"""Who may act on whom, and who may enter the console."""

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from accounts.errors import HoldsMoreRights, OwnRole
from accounts.models import User
from accounts.services.passwords import check_strength
from accounts.services.sign_in_codes import check_phone
from ops import security_log
from ops.access import OF_PLATFORM, Role, access_of, rights_of
from ops.errors import ValidationFailed
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


@sensitive_variables("password")
@in_transaction
def make_superuser(
    *,
    username: str,
    password: str | None = None,
    phone: str | None = None,
    is_own_choice: bool = False,
) -> User:
    """Make the account of somebody who may do everything in the console; for commands alone.

    Unless the password `is_own_choice`, they have to change it at their first sign-in. Without one
    nobody can sign in as them, but by their phone. Raises ValidationFailed, which names what is
    wrong: `username`, `phone` or `password`, and InvalidPhone.
    """
    if phone is not None:
        check_phone(phone)
        if User.objects.filter(phone=phone).exists():
            raise ValidationFailed({"phone": [_("Somebody has this phone number already.")]})
    person = User(username=username, phone=phone)
    try:
        person.clean_fields(exclude=["password"])
        person.clean()
    except ValidationError as error:
        raise ValidationFailed(error.message_dict) from error
    if User.objects.filter(username=username).exists():
        raise ValidationFailed({"username": [_("Somebody has this user name already.")]})
    if password is not None:
        check_strength(person=person, password=password)
    made: User = User.objects.create_superuser(
        username,
        password,
        phone=phone,
        must_change_password=password is not None and not is_own_choice,
    )
    return made


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
