"""The console as a site: who may enter, and what its own pages answer."""

from functools import update_wrapper
from typing import Any, override

from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.core.exceptions import PermissionDenied
from django.core.paginator import InvalidPage, Paginator
from django.db.models.fields.related import RelatedField
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from unfold.sites import UnfoldAdminSite

from config import console_fresh_factor, console_second_factor
from config.console_fresh_factor import fresh_factor_owed
from config.console_password import OwnPasswordView
from config.console_sign_in import ConsoleSignInView
from config.console_steps import step_owed
from ops import security_log
from ops.access import access_of, is_platform_staff
from ops.api.maintenance import refuse
from ops.services import maintenance

FOUND_ON_A_PAGE = 100


class CompletionView(AutocompleteJsonView):
    """Offers rows to a field of a form; by the other end of it no form asks, and it would fail."""

    @override
    def process_request(self, request: HttpRequest) -> Any:
        asked = super().process_request(request)
        if not isinstance(asked[2], RelatedField):
            raise PermissionDenied
        return asked


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold is not typed
    """The console: open to whoever holds any right in it, at any shop."""

    @override
    @method_decorator(never_cache)
    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """As Django's own, with a view that knows more than one way in."""
        view = ConsoleSignInView()
        view.setup(request)
        if request.method == "GET" and self.has_permission(request):
            return HttpResponseRedirect(view.get_success_url())
        context = {
            **self.each_context(request),
            "title": _("Log in"),
            "subtitle": None,
            **(extra_context or {}),
        }
        return ConsoleSignInView.as_view(extra_context=context)(request)

    @override
    def has_permission(self, request: HttpRequest) -> bool:
        return access_of(request.user).opens_console

    @override
    def get_urls(self) -> list[URLResolver | URLPattern]:
        shortcut = path(
            "r/<path:content_type_id>/<path:object_id>/", nothing_here, name="view_on_site"
        )
        return [
            shortcut,
            *console_second_factor.addresses(),
            *console_fresh_factor.addresses(),
            *super().get_urls(),
        ]

    @override
    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Note in the security log what a page refuses."""

        def noted(request: HttpRequest, *args: Any, **options: Any) -> HttpResponseBase:
            try:
                answer: HttpResponseBase = view(request, *args, **options)
            except PermissionDenied:
                security_log.note("wall_refused", path=request.path[:100], what=request.method)
                raise
            return answer

        page = super().admin_view(update_wrapper(noted, view), cacheable)

        def guarded(request: HttpRequest, *args: Any, **options: Any) -> HttpResponseBase:
            notice = maintenance.current()
            if (
                notice.is_on
                and request.user.is_authenticated
                and not is_platform_staff(request.user)
            ):
                return refuse(request, notice)
            if request.user.is_authenticated and not self.has_permission(request):
                security_log.note("wall_refused", path=request.path[:100], what="door")
            elif request.user.is_authenticated and (owed := step_owed(request)):
                return HttpResponseRedirect(owed)
            elif request.user.is_authenticated and (question := fresh_factor_owed(request)):
                return question
            answer: HttpResponseBase = page(request, *args, **options)
            return answer

        return update_wrapper(guarded, page)

    @override
    def autocomplete_view(self, request: HttpRequest) -> HttpResponseBase:
        return CompletionView.as_view(admin_site=self)(request)

    @override
    def search(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Find pages by name, for the palette.

        Unfold's own keeps what it found for 5 minutes: whoever lost a right would still see it.
        """
        term = request.GET.get("s", "").lower()
        if not term:
            return HttpResponse()
        found = Paginator(
            self._search_apps(self.get_app_list(request), term), per_page=FOUND_ON_A_PAGE
        )
        try:
            results = found.page(request.GET.get("page", 1))
        except InvalidPage:
            results = found.page(1)
        return TemplateResponse(
            request,
            "unfold/helpers/command_results.html",
            {
                "search_term": term,
                "page_obj": found,
                "results": results,
                "page_counter": results.start_index() - 1,
                "execution_time": 0,
                "command_show_history": False,
            },
            headers={"HX-Trigger": "search"},
        )

    @override
    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """As unfold's own, with the form that goes by the service, and open to whoever owes it."""
        return OwnPasswordView.as_view(
            success_url=reverse("admin:password_change_done"),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )(request)


def nothing_here(request: HttpRequest, **_ids: str) -> HttpResponse:
    """Answer what Django's "view on site" would: whether such a row exists, which is not told."""
    raise Http404
