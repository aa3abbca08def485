"""What stands between whoever proved who they are and the pages of the console."""

from collections.abc import Callable

from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url

from accounts.models import User

# What somebody who is signed in owes before any page, in this order: the address of the page where
# it is done, or None. That page itself and the way out are open (`ConsoleSite.admin_view`).
STEPS: tuple[Callable[[HttpRequest], str | None], ...] = ()


def first_factor_passed(request: HttpRequest, person: User, *, next_page: str) -> HttpResponse:
    """Let in whoever gave the right password or code, and lead them where they wanted to go.

    `next_page` is an address of this site, or the name of one. The session gets a new key: what
    somebody knew of the one before is worth nothing.
    """
    login(request, person)
    return HttpResponseRedirect(resolve_url(next_page))


def step_owed(request: HttpRequest) -> str | None:
    """Where somebody who is signed in has to go before any other page; None where nothing waits."""
    return next((address for step in STEPS if (address := step(request))), None)
