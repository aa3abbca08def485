"""Asking again who somebody is before something dangerous: which pages, and how they are asked.

Whoever signed in, or showed their second factor, at most ten minutes ago is not asked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from accounts import console_session
from accounts.models import User
from accounts.services import console_sign_in, second_factors
from config.console_second_factor import tell_codes_left
from config.console_steps import own_address
from ops import security_log
from ops.errors import DomainError

ANSWER = "fresh_secret"  # the field of the answer; the log hides what ends so
OF_THE_QUESTION = {ANSWER, "csrfmiddlewaretoken"}
ANEW = "opens_anew"  # of the question: the page is opened after it, and nothing is sent on
# Fields with these in their names are not carried; the address of a channel holds a secret as well.
SECRET_WORDS = ("password", "secret", "token", "new_address")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dangerous:
    """When a page asks: as soon as it is opened, or once something is sent.

    `actions` are those of a list that ask; the list itself and its other actions do not.
    """

    opened: bool = True
    actions: frozenset[str] = frozenset()

    def is_asked(self, request: HttpRequest) -> bool:
        """Whether this request is one of those."""
        if request.method != "POST":
            return self.opened and not self.actions
        # Which of several values runs is the choice of whoever sends them (`index`): any one asks.
        return not self.actions or not self.actions.isdisjoint(request.POST.getlist("action"))


OPENED = Dangerous()  # it serves nothing else
SENT = Dangerous(opened=False)  # people look at it as well
DELETED = Dangerous(actions=frozenset({"delete_selected"}))

# Every page that asks, by the name of its address in the console. A new dangerous page is a line
# here; tests/test_fresh_factor.py tries each of them, and names every other page with a reason.
DANGEROUS: Mapping[str, Dangerous] = {
    # Rights and roles
    "accounts_user_change": SENT,  # whether somebody is a superuser, and by which name they enter
    "accounts_user_choose_platform_role": OPENED,
    "accounts_user_merge_another": OPENED,
    "catalog_shopinvitation_add": OPENED,
    "catalog_shopmember_change": SENT,
    "catalog_shopmember_delete": OPENED,
    "catalog_shopmember_changelist": DELETED,
    # Who is let in at all, and what somebody is given for nothing
    "accounts_user_changelist": Dangerous(actions=frozenset({"activate", "deactivate", "ban"})),
    "accounts_user_grant_premium": OPENED,
    "accounts_user_end_premium": OPENED,
    # What people win from then on
    "lottery_wheel_changelist": Dangerous(actions=frozenset({"publish"})),
    # Passwords and second factors
    "accounts_user_add": OPENED,
    "auth_user_password_change": OPENED,
    "password_change": OPENED,
    "accounts_user_reset_second_factor": OPENED,
    "second_factor_set_up": OPENED,
    "second_factor_codes": OPENED,
    "second_factor_remove": OPENED,
    # The platform
    "ops_processbeat_maintenance": SENT,
    "ops_livesetting_set": SENT,
    # Where alerts go, with the secrets in their addresses
    "ops_alertchannel_add": OPENED,
    "ops_alertchannel_change": SENT,
    "ops_alertchannel_delete": OPENED,
    "ops_alertchannel_changelist": DELETED,
}


def addresses() -> list[URLPattern]:
    """The address of the question that is asked before a page is opened."""
    return [path("fresh-factor/", admin.site.admin_view(ask), name="fresh_factor")]


# --- The guard ------------------------------------------------------------------------------------
def fresh_factor_owed(request: HttpRequest) -> HttpResponse | None:
    """The question that somebody has to answer before this request does anything; None without.

    What was typed is in the page that asks, and is sent on with the answer: nothing is lost. Only
    where a password or a secret was typed, everything is asked for again.
    """
    match = request.resolver_match
    dangerous = DANGEROUS.get(match.url_name or "") if match else None
    if dangerous is None or not dangerous.is_asked(request) or console_session.is_fresh(request):
        return None
    if request.method != "POST":
        return _ask_first(request)
    why = ""
    if ANSWER in request.POST:
        request.sensitive_post_parameters = "__ALL__"  # type: ignore[attr-defined]  # of Django's
        try:
            confirm(request, request.POST[ANSWER])
        except DomainError as refusal:
            why = str(refusal)
        else:
            if ANEW in request.POST:
                return HttpResponseRedirect(request.get_full_path())
            _forget_answer(request)
            return None
    template = "fresh_factor_dialog" if _is_of_dialog(request) else "fresh_factor"
    return _page(request, template, why=why, **_kept(request))


def _ask_first(request: HttpRequest) -> HttpResponse:
    if not _is_of_dialog(request):
        return HttpResponseRedirect(_question(request.get_full_path()))
    # A dialog lies in a page: the page is opened anew, and with it the dialog.
    page = own_address(request, request.headers.get("HX-Current-URL", ""))
    return HttpResponse(headers={"HX-Redirect": _question(page)})


def _question(following: str) -> str:
    return f"{reverse('admin:fresh_factor')}?{urlencode({'next': following})}"


def _is_of_dialog(request: HttpRequest) -> bool:
    return "HX-Request" in request.headers


def _kept(request: HttpRequest) -> dict[str, Any]:
    """What was typed goes with the answer; but no password or secret is written into a page.

    Where one was typed, the page is opened anew after the answer: sent on without it, a form might
    take it for left empty.
    """
    opens_anew = ANEW in request.POST or any(map(_is_secret, request.POST.items()))
    carried = [(ANEW, "1")] if opens_anew else list(_carried(request))
    return {"carried": carried, "opens_anew": opens_anew}


def _carried(request: HttpRequest) -> Iterator[tuple[str, str]]:
    for name, values in request.POST.lists():
        if name not in OF_THE_QUESTION:
            yield from ((name, str(value)) for value in values)


def _is_secret(typed: tuple[str, object]) -> bool:
    name, value = typed
    if name in OF_THE_QUESTION or not value or name == "usable_password":  # a choice, which is none
        return False
    return any(word in name for word in SECRET_WORDS)


def _forget_answer(request: HttpRequest) -> None:
    sent = request.POST.copy()
    del sent[ANSWER]
    request.POST = sent  # type: ignore[assignment]


# --- The question ---------------------------------------------------------------------------------
@sensitive_variables("answer")
def confirm(request: HttpRequest, answer: str) -> None:
    """Make sure that whoever is signed in is who they were: by their second factor, else password.

    Raises the refusals of `console_sign_in`, which counts the tries.
    """
    person = request.user
    assert isinstance(person, User)  # noqa: S101  admin_view lets nobody else in
    if second_factors.factor_of(person):
        passed = console_sign_in.confirm_second_factor(person=person, answer=answer)
        console_session.note_factor(request, factor_id=passed.factor_id)
        tell_codes_left(request, passed)
    else:
        console_sign_in.confirm_password(person=person, password=answer)
        console_session.note_factor(request)
    security_log.note("fresh_factor_given", person_id=person.pk)


def ask(request: HttpRequest) -> HttpResponse:
    """The question on a page of its own, which leads on to where somebody wanted to go."""
    following = own_address(request, request.GET.get("next", ""))
    if "again" in request.POST:
        logout(request)
        return HttpResponseRedirect(f"{reverse('admin:login')}?{urlencode({'next': following})}")
    why = ""
    if request.method == "POST":
        try:
            confirm(request, request.POST.get(ANSWER, ""))
        except DomainError as refusal:
            why = str(refusal)
        else:
            return HttpResponseRedirect(following)
    elif console_session.is_fresh(request):
        return HttpResponseRedirect(following)
    return _page(request, "fresh_factor", why=why, following=following)


@never_cache  # no browser keeps what was typed on its disk
def _page(request: HttpRequest, name: str, **context: Any) -> HttpResponse:
    person = request.user
    assert isinstance(person, User)  # noqa: S101  admin_view lets nobody else in
    by_code = second_factors.factor_of(person) is not None
    return TemplateResponse(
        request,
        f"admin/accounts/{name}.html",
        {
            **admin.site.each_context(request),
            "title": _("Please confirm that it is you"),
            "form": AnswerForm(by_code=by_code),
            "by_code": by_code,
            # Whoever enters by SMS alone has an empty one, which Django would call usable.
            "has_password": bool(person.password) and person.has_usable_password(),
            "back": own_address(request, request.headers.get("Referer", "")),
            **context,
        },
    )


class AnswerForm(forms.Form):
    """The field of the answer, which is never shown again."""

    def __init__(self, *, by_code: bool) -> None:
        super().__init__()
        if by_code:
            label = _("Code of your phone, or a recovery code")
            widget = UnfoldAdminTextInputWidget
            attributes = {"autocomplete": "one-time-code", "spellcheck": "false"}
        else:
            label = _("Your password")
            widget = UnfoldAdminPasswordWidget
            attributes = {"autocomplete": "current-password"}
        field = forms.CharField(
            label=label, max_length=4096, widget=widget(attrs={**attributes, "autofocus": True})
        )
        self.fields[ANSWER] = field
