"""Passwords of the console."""

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.views.decorators.debug import sensitive_variables

from accounts.models import User
from accounts.services import console_sign_in
from ops import security_log
from ops.errors import ValidationFailed
from ops.services import audit
from ops.transactions import in_transaction


@sensitive_variables("password")
@in_transaction
def set_password(*, person: User, password: str, author_id: int | None = None) -> None:
    """Give a person a password for the console; their other sessions there end.

    Wrong tries of before no longer hold the account back. Raises ValidationFailed, which names
    `password`, for one that AUTH_PASSWORD_VALIDATORS refuse.
    """
    try:
        validate_password(password, user=person)
    except ValidationError as error:
        raise ValidationFailed({"password": error.messages}) from error
    person.set_password(password)
    person.save()  # which writes the password alone
    console_sign_in.forget_tries(person=person)
    security_log.note_change("password_set", person_id=person.pk)
    audit.record(action="user.set_password", row=person, actor_id=author_id)
