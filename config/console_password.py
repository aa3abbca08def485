"""The page on which somebody changes their own password of the console."""

from typing import Any, override

from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.views.decorators.debug import sensitive_variables
from unfold.forms import AdminOwnPasswordChangeForm

from accounts.errors import SignInDelayed, WrongPassword
from accounts.models import User
from accounts.services import console_sign_in, passwords
from config.console_sign_in import BY_CODE
from config.console_steps import password_to_change
from ops.errors import ValidationFailed

TO_BE_DONE_FIRST = "admin/change_password_first.html"


class OwnPasswordForm(AdminOwnPasswordChangeForm):  # type: ignore[misc]  # unfold is not typed
    """One's own password; the other sessions end. The old one is asked for within the limits."""

    user: User
    cleaned_data: dict[str, Any]

    @sensitive_variables("password")
    def clean_old_password(self) -> str:
        password: str = self.cleaned_data["old_password"]
        try:
            console_sign_in.confirm_password(person=self.user, password=password)
        except WrongPassword as refusal:
            raise ValidationError(self.error_messages["password_incorrect"]) from refusal
        except SignInDelayed as refusal:
            raise ValidationError(str(refusal)) from refusal
        return password

    @override
    @sensitive_variables("password")
    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        password = cleaned.get("new_password2")
        if password and not self.errors:
            try:
                passwords.check_own_choice(person=self.user, password=password)
            except ValidationFailed as refusal:
                self.add_error("new_password2", refusal.data["password"])
        return cleaned

    @override
    def save(self, commit: bool = True) -> User:
        passwords.set_password(
            person=self.user, password=self.cleaned_data["new_password1"], is_own_choice=True
        )
        return self.user


class FirstPasswordForm(OwnPasswordForm):
    """The same for whoever entered by a code: a password that somebody else set is not asked for.

    They may never have been told it.
    """

    def __init__(self, user: User, *args: Any, **options: Any) -> None:
        super().__init__(user, *args, **options)
        del self.fields["old_password"]
        self.fields["new_password1"].widget.attrs["autofocus"] = True


class OwnPasswordView(PasswordChangeView):
    """As the theme's own; to whoever has to change it first, a page without the console's menu."""

    form_class = OwnPasswordForm

    @property
    def is_owed(self) -> bool:
        """Whether they may open nothing else before."""
        return password_to_change(self.request) is not None

    @override
    def get_form_class(self) -> type[OwnPasswordForm]:
        is_without_old = self.is_owed and self.request.session.get(BY_CODE)
        return FirstPasswordForm if is_without_old else OwnPasswordForm

    @override
    def get_template_names(self) -> list[str]:
        return [TO_BE_DONE_FIRST] if self.is_owed else super().get_template_names()
