"""Passwords of the console."""

from django.contrib.auth import hashers
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from accounts.models import User
from accounts.services import console_sign_in
from ops import security_log
from ops.errors import ValidationFailed
from ops.services import audit
from ops.transactions import in_transaction


@sensitive_variables("password")
@in_transaction
def set_password(
    *, person: User, password: str, author_id: int | None = None, is_own_choice: bool = False
) -> None:
    """Give a person a password for the console; their other sessions there end.

    Unless it `is_own_choice`, somebody else knows it: they change it before any page of the console
    opens. Wrong tries of before no longer hold the account back. Raises ValidationFailed as
    `check_strength` and, for one's own choice, `check_own_choice` do.
    """
    check_strength(person=person, password=password)
    if is_own_choice:
        check_own_choice(person=person, password=password)
    had_to_change = person.must_change_password
    person.set_password(password)
    person.must_change_password = not is_own_choice
    person.save(update_fields=["password", "must_change_password"])
    console_sign_in.forget_tries(person=person)
    security_log.note_change("password_set", person_id=person.pk)
    audit.record(
        action="user.set_password",
        row=person,
        before={"must_change_password": had_to_change},
        after={"must_change_password": person.must_change_password},
        actor_id=author_id,
    )


@sensitive_variables("password")
def check_strength(*, person: User, password: str) -> None:
    """Raise ValidationFailed, which names `password`, where AUTH_PASSWORD_VALIDATORS refuse it."""
    try:
        validate_password(password, user=person)
    except ValidationError as error:
        raise ValidationFailed({"password": error.messages}) from error


@sensitive_variables("password")
def check_own_choice(*, person: User, password: str) -> None:
    """Raise ValidationFailed where somebody keeps the password that another person set."""
    if person.must_change_password and hashers.check_password(password, person.password):
        raise ValidationFailed(
            {"password": [_("Somebody else knows this password: choose another one.")]}
        )
