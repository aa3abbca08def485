"""What stands between whoever proved who they are and the pages of the console."""

from collections.abc import Callable
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from accounts import console_session
from accounts.models import User
from accounts.services import second_factors
from catalog.models import ShopMember, ShopRole

# The way out, texts for scripts, and the question who somebody is: open whatever somebody owes.
ALWAYS_OPEN = {"logout", "jsi18n", "fresh_factor"}
NEXT_KEY = "next_page"  # of the session: where somebody goes on to who set up a second factor
# That an owner put off setting up a second factor, in this browser: their id, signed.
LATER_COOKIE = "second_factor_later"


def second_factor_to_set_up(request: HttpRequest) -> str | None:
    """Whoever has rights on the whole platform sets up a second factor before anything else."""
    person = request.user
    is_owed = (
        isinstance(person, User)
        and second_factors.must_have(person)
        and second_factors.factor_of(person) is None
    )
    return reverse("admin:second_factor_set_up") if is_owed else None


def password_to_change(request: HttpRequest) -> str | None:
    """Whoever has a password that somebody else knows changes it before they do anything else."""
    person = request.user
    is_owed = isinstance(person, User) and person.must_change_password
    return reverse("admin:password_change") if is_owed else None


# What somebody who is signed in owes before any page, in this order: the address of the page where
# it is done, or None.
STEPS: tuple[Callable[[HttpRequest], str | None], ...] = (
    password_to_change,
    second_factor_to_set_up,
)


def first_factor_passed(request: HttpRequest, person: User, *, next_page: str) -> HttpResponse:
    """Let in whoever gave the right password or code, and lead them where they wanted to go.

    `next_page` is an address of this site, or the name of one. Whoever has a second factor is asked
    for it first. The session gets a new key: what somebody knew of the one before is worth nothing.
    """
    # Whoever's it was: also the first step of somebody else, who did not finish theirs here.
    request.session.flush()
    following = resolve_url(next_page)
    if second_factors.factor_of(person):
        console_session.begin_second_step(request, person, next_page=following)
        return HttpResponseRedirect(reverse("admin:second_step"))
    login(request, person)
    if second_factor_to_set_up(request):
        request.session[NEXT_KEY] = following
    elif _is_offered_second_factor(request, person):
        offer = reverse("admin:second_factor_offer")
        return HttpResponseRedirect(f"{offer}?{urlencode({'next': following})}")
    return HttpResponseRedirect(following)


def _is_offered_second_factor(request: HttpRequest, person: User) -> bool:
    """Owners of shops are told of it after they signed in, until they put it off."""
    if not settings.SECOND_FACTOR_ASKED:
        return False
    if request.get_signed_cookie(LATER_COOKIE, default="") == str(person.pk):
        return False
    return ShopMember.objects.filter(person=person, role=ShopRole.OWNER).exists()


def step_owed(request: HttpRequest) -> str | None:
    """Where somebody who is signed in has to go instead of the page that they ask for; else None.

    The page of the first step that they owe is open, and the way out.
    """
    match = request.resolver_match
    if match and match.url_name in ALWAYS_OPEN:
        return None
    owed = next((address for step in STEPS if (address := step(request))), None)
    return None if owed == request.path else owed


def own_address(request: HttpRequest, address: str) -> str:
    """An address of this site, and the first page of the console in the place of any other."""
    is_ours = url_has_allowed_host_and_scheme(
        address, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return address if is_ours else reverse("admin:index")
