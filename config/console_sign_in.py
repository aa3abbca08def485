"""The ways into the console: the forms, and the page that they stand on."""

from typing import Any, override

from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from unfold.forms import AuthenticationForm

from accounts.console_session import COOKIE
from accounts.models import User
from accounts.services import console_sign_in
from config.console_steps import first_factor_passed
from ops import security_log
from ops.access import access_of, is_platform_staff
from ops.client_address import client_address
from ops.errors import DomainError
from ops.services import maintenance


class ConsoleSignInForm(AuthenticationForm):  # type: ignore[misc]  # unfold is not typed
    """Asks for a user name or phone number and a password, and says what is wrong."""

    def __init__(self, request: HttpRequest | None = None, *args: Any, **options: Any) -> None:
        super().__init__(request, *args, **options)
        self.fields["username"].label = _("User name or phone number")

    @override
    @sensitive_variables("password")
    def clean(self) -> dict[str, Any]:
        account = self.cleaned_data.get("username")
        password = self.cleaned_data.get("password")
        if account and password:
            try:
                person = console_sign_in.check_password(
                    account=account,
                    password=password,
                    address=client_address(self.request),
                    device_token=self.request.COOKIES.get(COOKIE, ""),
                )
            except DomainError as refusal:
                raise ValidationError(str(refusal)) from refusal
            self.confirm_login_allowed(person)
            self.user_cache = person
        return self.cleaned_data  # type: ignore[no-any-return]

    @override
    def confirm_login_allowed(self, user: User) -> None:
        """Refuse whom nothing waits for: nobody is told so without the right password."""
        if not access_of(user).opens_console:
            security_log.note("console_sign_in_refused", person_id=user.pk, reason="no rights")
            raise ValidationError(_("This account has no rights in the console."))
        notice = maintenance.current()
        if notice.is_on and not is_platform_staff(user):
            raise ValidationError(str(notice.refusal()))


class ConsoleSignInView(LoginView):
    """The page by which people enter; whoever proved who they are goes on by `console_steps`."""

    form_class = ConsoleSignInForm
    template_name = "admin/login.html"

    @override
    def form_valid(self, form: ConsoleSignInForm) -> HttpResponse:  # type: ignore[override]
        return first_factor_passed(self.request, form.get_user(), next_page=self.get_success_url())

    @override
    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return super().get_context_data(app_path=self.request.get_full_path(), **context)
