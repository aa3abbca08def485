"""What stands between whoever proved who they are and the pages of the console."""

from collections.abc import Callable

from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import reverse

from accounts.models import User

# The way out, and texts for scripts: open whatever somebody owes.
ALWAYS_OPEN = {"logout", "jsi18n"}


def password_to_change(request: HttpRequest) -> str | None:
    """Whoever has a password that somebody else knows changes it before they do anything else."""
    person = request.user
    is_owed = isinstance(person, User) and person.must_change_password
    return reverse("admin:password_change") if is_owed else None


# What somebody who is signed in owes before any page, in this order: the address of the page where
# it is done, or None.
STEPS: tuple[Callable[[HttpRequest], str | None], ...] = (password_to_change,)


def first_factor_passed(request: HttpRequest, person: User, *, next_page: str) -> HttpResponse:
    """Let in whoever gave the right password or code, and lead them where they wanted to go.

    `next_page` is an address of this site, or the name of one. The session gets a new key: what
    somebody knew of the one before is worth nothing.
    """
    login(request, person)
    return HttpResponseRedirect(resolve_url(next_page))


def step_owed(request: HttpRequest) -> str | None:
    """Where somebody who is signed in has to go instead of the page that they ask for; else None.

    The page of the first step that they owe is open, and the way out.
    """
    match = request.resolver_match
    if match and match.url_name in ALWAYS_OPEN:
        return None
    owed = next((address for step in STEPS if (address := step(request))), None)
    return None if owed == request.path else owed
