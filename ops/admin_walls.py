"""The walls between shops in the console: one mechanism that every page and its rows inherit."""

from dataclasses import replace
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin import ActionLocation, RelatedFieldListFilter
from django.contrib.admin.options import BaseModelAdmin, InlineModelAdmin
from django.contrib.admin.utils import get_fields_from_path
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ops import security_log
from ops.access import access_of
from ops.admin_questions import AskedPage, SelectOfIds, words_of
from ops.errors import DomainError
from ops.walls import OfShop, Wall

type Rows = QuerySet[Any]


class _Walled(BaseModelAdmin):
    """What pages and the rows below them share: a right is held for a model, and at shops."""

    def may(self, request: HttpRequest, action: str, row: Any = None) -> bool:
        """Whether the person may do this with a row; without one, whether with any at all.

        `action` is the beginning of a permission's name: `cancel` for `catalog.cancel_order`.
        """
        raise NotImplementedError

    def permission(self, action: str) -> str:
        """The whole name of a permission for the rows of this page."""
        return f"{self.opts.app_label}.{action}_{self.opts.model_name}"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "view", obj) or self.may(request, "change", obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "add", obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "delete", obj)

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> Rows:
        """The rows that a field offers, and takes: those of shops where the form may be sent.

        Seeing a row of another shop is not enough: a wheel of one shop would give the other's.
        """
        rows = super().get_field_queryset(db, db_field, request)
        model = db_field.remote_field.model
        if rows is None:
            rows = model._default_manager.all()
        shops = self._shops_of_form(request)
        if shops is None:
            return rows
        if self.says_the_shop(db_field):
            return rows.filter(pk__in=shops)
        page = self.admin_site._registry.get(model)
        if not isinstance(page, WalledPage):
            return rows.none()
        seen = page.limited(rows, request, page.permission("view"))
        return page.wall.to_look_at(seen, shops=shops, person=request.user)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """The shop of a row is left empty by those alone who hold the right everywhere.

        A row of no shop is the platform's: prizes of such a wheel are collected in every shop.
        """
        if self.says_the_shop(db_field) and self._shops_of_form(request) is not None:
            options["required"] = True
        if db_field.name in self.get_autocomplete_fields(request):
            options.setdefault("widget", SelectOfIds(db_field, self.admin_site))
        return super().formfield_for_foreignkey(db_field, request, **options)

    def _shops_of_form(self, request: HttpRequest) -> frozenset[int] | None:
        """The shops where the form at hand may be sent; None where it may be everywhere."""
        match = request.resolver_match
        is_new = match is not None and str(match.url_name).endswith("_add")
        return access_of(request.user).shops(self.permission("add" if is_new else "change"))

    def says_the_shop(self, db_field: Any) -> bool:
        """Whether this field decides at which shop a row lies."""
        return False


class WalledPage(_Walled, AskedPage):
    """Limits what a page shows, offers and changes to what is within the person's reach.

    `wall` says where its rows lie. `search_permissions` names, for a search field that leads to
    what is sensitive, the permission without which it finds nothing.
    """

    wall: ClassVar[Wall]
    search_permissions: ClassVar[dict[str, str]] = {}

    # --- What may be done with what --------------------------------------------------------
    def may(self, request: HttpRequest, action: str, row: Any = None) -> bool:
        if row is None:
            return access_of(request.user).may(self.permission(action))
        # The theme asks with the id that stands in the address.
        pk = row.pk if isinstance(row, Model) else self.pk_in_address(row)
        return self.within_reach(request, action).filter(pk=pk).exists()

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A right that is held at shops adds rows of these shops, and none that are no shop's."""
        holds_everywhere = access_of(request.user).shops(self.permission("add")) is None
        names_a_shop = any(self.says_the_shop(field) for field in self.opts.concrete_fields)
        return super().has_add_permission(request, obj) and (holds_everywhere or names_a_shop)

    def within_reach(self, request: HttpRequest, action: str) -> Rows:
        """The rows with which the person may do this."""
        return self.limited(self.model._default_manager.all(), request, self.permission(action))

    def limited(self, rows: Rows, request: HttpRequest, *permissions: str) -> Rows:
        """Those of the rows for which the person holds one of these permissions."""
        access = access_of(request.user)
        shops = access.shops(*permissions)
        if shops is None:
            return rows
        if not any(access.may(permission) for permission in permissions):
            return rows.none()
        is_looking = self.permission("view") in permissions
        limit = self.wall.to_look_at if is_looking else self.wall.within
        return limit(rows, shops=shops, person=request.user)

    def says_the_shop(self, db_field: Any) -> bool:
        return isinstance(self.wall, OfShop) and self.wall.path == db_field.name

    # --- What is shown ---------------------------------------------------------------------
    def get_queryset(self, request: HttpRequest) -> Rows:
        rows = super().get_queryset(request)
        return self.limited(rows, request, self.permission("view"), self.permission("change"))

    def get_ordering(self, request: HttpRequest) -> Any:
        """The newest first, where neither the page nor the model says otherwise.

        Autocompletion pages through rows: without an order it would repeat some and miss others.
        """
        return super().get_ordering(request) or self.opts.ordering or ["-pk"]

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is None:
            self.note_nothing_there(object_id)
        return row

    def note_nothing_there(self, object_id: str) -> None:
        """Note that somebody asked for a row that is not there, or not for them."""
        security_log.note("wall_refused", object=f"{self.opts.label_lower}:{object_id}"[:80])

    def get_list_filter(self, request: HttpRequest) -> Any:
        return [self._walled_filter(one) for one in super().get_list_filter(request)]

    def _walled_filter(self, name: Any) -> Any:
        is_path = isinstance(name, str)
        if is_path and get_fields_from_path(self.model, name)[-1].is_relation:
            return name, WalledRelatedFilter
        return name

    def get_search_fields(self, request: HttpRequest) -> Any:
        """What may be searched by among all the rows that the page shows."""
        access = access_of(request.user)
        shown_at = access.shops(self.permission("view"), self.permission("change"))

        def may_search(field: str) -> bool:
            if field not in self.search_permissions:
                return True
            shops = access.shops(self.search_permissions[field])
            return shops is None or bool(shown_at is not None and shops and shops >= shown_at)

        return [field for field in super().get_search_fields(request) if may_search(field)]

    def get_search_results(
        self, request: HttpRequest, queryset: Rows, search_term: str
    ) -> tuple[Rows, bool]:
        """The rows that a search finds, and whether one may be among them twice.

        Where somebody may search by what is sensitive at some of their shops alone, it finds rows
        of these, by its whole value. Words beyond the tenth are left out.
        """
        search_term = words_of(search_term)
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        everywhere = self.get_search_fields(request)
        for field, permission in self.search_permissions.items():
            is_held = access_of(request.user).may(permission)
            if search_term and is_held and field not in everywhere:
                value = {field.removeprefix("="): search_term.strip()}
                reached = self.limited(queryset, request, permission).filter(**value)
                either = Q(pk__in=found.values("pk")) | Q(pk__in=reached.values("pk"))
                found = queryset.filter(either)
        return found, may_repeat

    # --- Actions -----------------------------------------------------------------------------
    def get_actions(
        self, request: HttpRequest, action_location: Any = ActionLocation.CHANGE_LIST
    ) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request, action_location)
        return {
            name: replace(action, func=self._on_rows_within_reach(action.func))
            for name, action in actions.items()
        }

    def _on_rows_within_reach(self, function: Any) -> Any:
        """An action that does nothing when one of the rows is beyond reach of its permission."""

        def act(page: Any, request: HttpRequest, rows: Rows) -> Any:
            for action in function.allowed_permissions:
                reached = self.within_reach(request, action)
                if rows.exclude(pk__in=reached.values("pk")).exists():
                    what = function.__name__
                    security_log.note("wall_refused", object=self.opts.label_lower, what=what)
                    text = _("Nothing was done: you may not do this with all that you chose.")
                    self.message_user(request, text, messages.ERROR)
                    return None
            try:
                return function(page, request, rows)
            except DomainError as refusal:
                self.message_user(request, str(refusal), messages.ERROR)
                return None

        return act


class WalledInline(_Walled, InlineModelAdmin):
    """Rows below a page: what lies there lies where the page's row lies."""

    def may(self, request: HttpRequest, action: str, row: Any = None) -> bool:
        permission = self.permission(action)
        if row is None:
            return access_of(request.user).may(permission)
        page: Any = self.admin_site._registry[self.parent_model]
        rows = page.model._default_manager.filter(pk=row.pk)
        return bool(page.limited(rows, request, permission).exists())


class WalledRelatedFilter(RelatedFieldListFilter):
    """A filter of a list that names nothing beyond the person's reach."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        page = model_admin.admin_site._registry.get(field.related_model)
        rows = field.related_model._default_manager.none()
        if isinstance(page, WalledPage):
            rows = page.get_queryset(request)
        return field.get_choices(
            include_blank=False,
            ordering=self.field_admin_ordering(field, request, model_admin),
            limit_choices_to={"pk__in": rows.order_by().values("pk")},
        )
