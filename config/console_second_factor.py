"""The pages of the second factor: asking for it, setting it up, its recovery codes, its end."""

from typing import Any

import segno
from cryptography.fernet import InvalidToken
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.request import split_domain_port
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts import console_session
from accounts.console_session import COOKIE
from accounts.models import User
from accounts.services import console_sign_in, second_factors
from config.console_steps import LATER_COOKIE, NEXT_KEY, own_address
from ops import security_log
from ops.access import access_of
from ops.errors import DomainError
from ops.services.encryption import decrypt, encrypt

# What the session knows while somebody sets a second factor up.
OFFERED_KEY = "offered_secret"  # encrypted
FEW_CODES = 3  # with so many left, or fewer, people are told to make new ones
LATER = 30 * 86_400  # seconds for which an owner who put it off is left alone
DOTS = 5  # pixels of one dot of the picture


class CodeForm(forms.Form):
    """Asks for a code."""

    code = forms.CharField(
        label=_("Six-digit code"),
        max_length=64,
        widget=UnfoldAdminTextInputWidget(
            attrs={
                "autocomplete": "one-time-code",
                "autocapitalize": "characters",
                "spellcheck": "false",
                "autofocus": True,
            }
        ),
    )


def _code_form(data: Any = None, *, digits: bool) -> CodeForm:
    form = CodeForm(data)
    if digits:
        form.fields["code"].widget.attrs["inputmode"] = "numeric"
    else:
        form.fields["code"].label = _("Recovery code")
    return form


def addresses() -> list[URLPattern]:
    """The addresses of these pages; those inside of the console are guarded as all of its are."""
    inside = admin.site.admin_view
    return [
        path("second-step/", second_step, name="second_step"),
        path("second-factor/", inside(overview), name="second_factor"),
        path("second-factor/set-up/", inside(set_up), name="second_factor_set_up"),
        path("second-factor/offer/", inside(offer), name="second_factor_offer"),
        path("second-factor/codes/", inside(new_codes), name="second_factor_codes"),
        path("second-factor/remove/", inside(remove), name="second_factor_remove"),
    ]


# --- Asking for it --------------------------------------------------------------------------------
@never_cache
@sensitive_variables("form", "answer")
def second_step(request: HttpRequest) -> HttpResponse:
    """Ask whoever gave the right password for their code, and sign them in."""
    waiting = console_session.first_factor(request)
    if waiting is None:
        if request.method == "POST":
            messages.warning(request, _("The second step took too long. Please sign in again."))
        return HttpResponseRedirect(reverse("admin:login"))
    by_recovery = "recovery" in request.GET
    form = _code_form(request.POST or None, digits=not by_recovery)
    if request.method == "POST" and form.is_valid():
        try:
            passed = console_sign_in.check_second_factor(
                person=waiting.person,
                answer=form.cleaned_data["code"],
                device_token=request.COOKIES.get(COOKIE, ""),
            )
        except DomainError as refusal:
            form.add_error(None, str(refusal))
        else:
            return _let_in(request, waiting, passed)
    context = {"form": form, "by_recovery": by_recovery, "waiting": waiting}
    return _page(request, "second_step", _("Second step"), **context)


def _let_in(
    request: HttpRequest, waiting: console_session.FirstFactor, passed: second_factors.Passed
) -> HttpResponse:
    person = waiting.person
    console_session.end_second_step(request)
    if not access_of(person).opens_console:  # their rights ended meanwhile
        security_log.note("console_sign_in_refused", person_id=person.pk, reason="no rights")
        return HttpResponseRedirect(reverse("admin:login"))
    login(request, person)
    console_session.note_factor(request, factor_id=passed.factor_id)
    tell_codes_left(request, passed)
    return HttpResponseRedirect(waiting.next_page)


def tell_codes_left(request: HttpRequest, passed: second_factors.Passed) -> None:
    """Tell whoever used a recovery code how many they have left."""
    if passed.left is None:
        return
    used = ngettext(
        "A recovery code was used: %(left)d is left.",
        "A recovery code was used: %(left)d are left.",
        passed.left,
    ) % {"left": passed.left}
    advice = str(_("Make new ones under Second factor.")) if passed.left <= FEW_CODES else ""
    messages.warning(request, f"{used} {advice}".strip())


# --- One's own ------------------------------------------------------------------------------------
def overview(request: HttpRequest) -> HttpResponse:
    """Whether one has a second factor, and what can be done with it."""
    person = _person(request)
    left = second_factors.codes_left(person)
    context = {
        "factor": second_factors.factor_of(person),
        "left": left,
        "few": left <= FEW_CODES,
        "must_have": second_factors.must_have(person),
    }
    return _page(request, "second_factor", _("Second factor"), **context)


@sensitive_variables("secret", "form", "codes", "context")
def set_up(request: HttpRequest) -> HttpResponse:
    """Show a new secret, and take it once a code shows that a phone has it."""
    person = _person(request)
    secret = _offered_secret(request)
    form = _code_form(request.POST or None, digits=True)
    if request.method == "POST" and form.is_valid():
        try:
            factor, codes = second_factors.enrol(
                person=person, secret=secret, code=form.cleaned_data["code"]
            )
        except DomainError as refusal:
            form.add_error(None, str(refusal))
        else:
            del request.session[OFFERED_KEY]
            request.session.cycle_key()
            console_session.note_factor(request, factor_id=factor.pk)
            return _show_codes(request, codes, is_new=True)
    context = {
        "form": form,
        "picture": picture_of(_address(request, person, secret)),
        "groups": [secret[at : at + 4] for at in range(0, len(secret), 4)],
        "has_one": second_factors.factor_of(person) is not None,
        "must_have": second_factors.must_have(person),
    }
    return _page(request, "second_factor_set_up", _("Set up a second factor"), **context)


def offer(request: HttpRequest) -> HttpResponse:
    """Tell an owner of a second factor, which they may put off."""
    following = own_address(request, request.GET.get("next", ""))
    if request.method != "POST":
        request.session[NEXT_KEY] = following
        return _page(request, "second_factor_offer", _("Protect your shop"))
    request.session.pop(NEXT_KEY, None)
    answer = HttpResponseRedirect(following)
    answer.set_signed_cookie(
        LATER_COOKIE,
        str(request.user.pk),
        max_age=LATER,
        path=reverse("admin:index"),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return answer


@sensitive_variables("codes")
def new_codes(request: HttpRequest) -> HttpResponse:
    """Make new recovery codes, and show them once."""
    if request.method == "POST":
        try:
            codes = second_factors.renew_recovery_codes(person=_person(request))
        except DomainError as refusal:
            return _back_to_overview(request, refusal)
        return _show_codes(request, codes)
    return _page(
        request,
        "second_factor_sure",
        _("New recovery codes"),
        text=_("The recovery codes that you have are worth nothing then."),
        button=_("Make new ones"),
    )


def remove(request: HttpRequest) -> HttpResponse:
    """Let one's own sign-ins ask for no code any more."""
    if request.method == "POST":
        try:
            second_factors.remove(person=_person(request))
        except DomainError as refusal:
            return _back_to_overview(request, refusal)
        messages.success(request, _("The second factor is removed."))
        return HttpResponseRedirect(reverse("admin:second_factor"))
    return _page(
        request,
        "second_factor_sure",
        _("Remove the second factor"),
        text=_("Your password or a code by SMS is then all that somebody needs to sign in as you."),
        button=_("Remove"),
        is_dangerous=True,
    )


# --- Parts ----------------------------------------------------------------------------------------
def picture_of(address: str) -> SafeString:
    """The picture that a phone reads: SVG, dark on light whatever the page's colours are."""
    made = segno.make(address, error="m", micro=False)
    drawing = made.svg_inline(scale=DOTS, border=4, dark="#000", light="#fff", omitsize=True)
    return mark_safe(drawing)  # noqa: S308  numbers and fixed names alone


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101  admin_view lets nobody else in
    return request.user


@sensitive_variables("secret")
def _offered_secret(request: HttpRequest) -> str:
    """The secret that this session shows, the same again when a code was mistyped."""
    try:
        return decrypt(request.session.get(OFFERED_KEY, ""))
    except InvalidToken:  # none yet, or its key is gone
        secret = second_factors.new_secret()
        request.session[OFFERED_KEY] = encrypt(secret)
        return secret


@sensitive_variables("secret")
def _address(request: HttpRequest, person: User, secret: str) -> str:
    host, _port = split_domain_port(request.get_host())
    account = person.username or person.masked_phone or str(person)
    return second_factors.address_of(secret, account=account, issuer=host)


def _show_codes(request: HttpRequest, codes: list[str], *, is_new: bool = False) -> HttpResponse:
    """The one time that recovery codes are shown: in the answer to what made them."""
    following = own_address(request, request.session.pop(NEXT_KEY, ""))
    context = {"codes": codes, "following": following, "is_new": is_new}
    return _page(request, "recovery_codes", _("Your recovery codes"), **context)


def _back_to_overview(request: HttpRequest, refusal: DomainError) -> HttpResponse:
    messages.error(request, str(refusal))
    return HttpResponseRedirect(reverse("admin:second_factor"))


def _page(request: HttpRequest, name: str, title: Any, **context: Any) -> HttpResponse:
    return TemplateResponse(
        request,
        f"admin/accounts/{name}.html",
        {**admin.site.each_context(request), "title": title, **context},
    )
