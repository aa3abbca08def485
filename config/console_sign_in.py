"""The ways into the console: the forms, and the page that they stand on."""

from datetime import timedelta
from typing import Any, override

from django import forms
from django.conf import settings
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.console_session import COOKIE
from accounts.errors import CodeAskedTooOften, InvalidPhone, NoConsoleRights
from accounts.models import CodePurpose, User
from accounts.models.people import login_name
from accounts.services import console_codes, console_sign_in, second_factors, sign_in_codes
from config.console_steps import first_factor_passed
from ops import security_log
from ops.access import access_of, is_platform_staff
from ops.client_address import client_address
from ops.errors import DomainError
from ops.services import maintenance

WAY = "way"  # in the address: which form is shown
CODE, PASSWORD = "code", "password"
ASK = "ask"  # the button that has a code sent
BY_CODE = "console_by_code"  # of the session: whether it began by a code


def check_may_enter(person: User) -> None:
    """Refuse whom nothing waits for: nobody is told so without the right password or code.

    Raises NoConsoleRights, and InMaintenance for whoever is no platform staff meanwhile.
    """
    if not access_of(person).opens_console:
        security_log.note("console_sign_in_refused", person_id=person.pk, reason="no rights")
        raise NoConsoleRights
    notice = maintenance.current()
    if notice.is_on and not is_platform_staff(person):
        raise notice.refusal()


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
                check_may_enter(person)
            except DomainError as refusal:
                raise ValidationError(str(refusal)) from refusal
            self.user_cache = person
        return self.cleaned_data  # type: ignore[no-any-return]


class ConsoleCodeForm(forms.Form):
    """Asks for a phone number, and then for the code that was sent there.

    What it answers is the same whether or not somebody may enter by this phone, until the code is
    right.
    """

    phone = forms.CharField(
        label=_("Phone number"),
        max_length=20,
        widget=UnfoldAdminTextInputWidget(
            attrs={"type": "tel", "inputmode": "tel", "autocomplete": "username"}
        ),
    )
    code = forms.CharField(
        label=_("Code"),
        max_length=64,
        required=False,
        widget=UnfoldAdminTextInputWidget(
            attrs={"inputmode": "numeric", "autocomplete": "one-time-code"}
        ),
    )

    def __init__(self, request: HttpRequest, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.request = request
        self.person: User | None = None
        self.is_asking = ASK in self.data
        # Whether the page asks for the code: one was sent, or may have been sent before.
        self.awaits_code = self.is_bound and not self.is_asking
        self.fields["code"].required = not self.is_asking
        self._show()

    def _show(self) -> None:
        """Let the page wait in the field that is to be filled in next."""
        for name, is_next in (("phone", not self.awaits_code), ("code", self.awaits_code)):
            self.fields[name].widget.attrs["autofocus"] = is_next

    def clean_phone(self) -> str:
        return login_name(self.cleaned_data["phone"])

    def clean_code(self) -> str:
        return second_factors.tidy(self.cleaned_data["code"])

    @override
    @sensitive_variables("code")
    def clean(self) -> dict[str, Any]:
        phone, code = (self.cleaned_data.get(name) for name in ("phone", "code"))
        try:
            if phone and self.is_asking:
                self._ask(phone)
            elif phone and code:
                person = console_codes.check_code(
                    phone=phone, code=code, address=client_address(self.request)
                )
                check_may_enter(person)
                self.person = person
        except InvalidPhone as refusal:
            self.awaits_code = False
            self.add_error("phone", str(refusal))
        except DomainError as refusal:
            raise ValidationError(str(refusal)) from refusal
        return self.cleaned_data

    def _ask(self, phone: str) -> None:
        try:
            sign_in_codes.ask_code(
                phone=phone, address=client_address(self.request), purpose=CodePurpose.CONSOLE
            )
        except CodeAskedTooOften:
            self.awaits_code = True
            raise
        self.awaits_code = True

    @override
    def full_clean(self) -> None:
        super().full_clean()
        self.fields["code"].required = True  # for the page: whoever asked goes on with it
        self._show()

    def get_user(self) -> User | None:
        """Whoever gave the right code; None while it was only asked for."""
        return self.person


class ConsoleSignInView(LoginView):
    """The page by which people enter; whoever proved who they are goes on by `console_steps`."""

    template_name = "admin/sign_in.html"

    @override
    def get_form_class(self) -> type[forms.Form]:  # type: ignore[override]
        is_by_code = self.request.GET.get(WAY) == CODE
        return ConsoleCodeForm if is_by_code else ConsoleSignInForm

    @override
    def form_valid(self, form: Any) -> HttpResponse:
        person = form.get_user()
        if person is None:
            return self.render_to_response(self.get_context_data(form=form))
        answer = first_factor_passed(self.request, person, next_page=self.get_success_url())
        # Of the session that goes on: the one of before is gone, whoever's it was.
        self.request.session[BY_CODE] = isinstance(form, ConsoleCodeForm)
        return answer

    @override
    def get_context_data(self, **context: Any) -> dict[str, Any]:
        form_class = self.get_form_class()
        ways = [
            (_("By password"), self._address_of(PASSWORD), form_class is ConsoleSignInForm),
            (_("By SMS code"), self._address_of(CODE), form_class is ConsoleCodeForm),
        ]
        return super().get_context_data(
            app_path=self.request.get_full_path(),
            ways=ways,
            ask=ASK,
            minutes=settings.SMS_CODE_LIFETIME // timedelta(minutes=1),
            **context,
        )

    def _address_of(self, way: str) -> str:
        """This page with another form; whoever wanted a page still comes there afterwards."""
        query = self.request.GET.copy()
        query[WAY] = way
        return f"{self.request.path}?{query.urlencode()}"
