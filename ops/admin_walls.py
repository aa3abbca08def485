"""The walls between shops in the console: one mechanism that every page and its rows inherit."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin import ActionLocation, RelatedFieldListFilter
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import BaseModelAdmin, InlineModelAdmin, ModelAdmin
from django.contrib.admin.utils import get_fields_from_path, unquote
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import BadRequest, FieldDoesNotExist, ValidationError
from django.db.models import DateField, DateTimeField, Field, Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.text import smart_split
from django.utils.translation import gettext_lazy as _

from ops import security_log
from ops.access import access_of
from ops.errors import DomainError
from ops.walls import OfShop, Wall

type Rows = QuerySet[Any]

# How Django's filters of lists ask.
OF_DATES = ("__gte", "__lt")
ENDINGS = ("", "__exact", "__id__exact", "__isnull", "__isempty", *OF_DATES)
FIRST_YEAR, LAST_YEAR = (
    2000,
    2100,
)  # of dates that are asked for: near the ends of time all overflow
PARTS_OF_DATES = {"year": (FIRST_YEAR, LAST_YEAR), "month": (1, 12), "day": (1, 31)}
MOST_WORDS = 10  # of a search: each is one more condition for every field
NUL = "\x00"  # PostgreSQL keeps no text with it, and fails when it is asked for some


def read_pk(model: type[Model], text: str) -> Any:
    """An id as the database knows it; None for what cannot be one."""
    try:
        return model._meta.pk.clean(text, None)
    except ValidationError:
        return None


def read_date(text: str) -> datetime | None:
    """A date or a moment as addresses write it; None for what is none of these times."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if FIRST_YEAR <= moment.year <= LAST_YEAR else None


class SelectOfIds(AutocompleteSelect):
    """Shows a form again that was sent what cannot be an id, where Django's own would fail."""

    def optgroups(self, name: str, value: Sequence[str], attr: Any = None) -> Any:
        model = self.field.remote_field.model
        ids = [one for one in value if one == "" or read_pk(model, one) is not None]
        return super().optgroups(name, ids, attr)


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


class WalledPage(_Walled, ModelAdmin):
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

    def pk_in_address(self, text: str) -> Any:
        """The id that stands in the address of a row; None for what cannot be one."""
        return read_pk(self.model, unquote(text))

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

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Whether the address of a list may filter by this: as the list offers it, no more.

        Django lets every column of the table be asked for, and in every way, so that a phone that
        is shown masked could be spelled out digit by digit.
        """
        is_text = NUL not in value  # or no value that a database keeps
        is_offered = is_text and self._offers(lookup, value)
        if is_offered and super().lookup_allowed(lookup, value, request):
            return True
        security_log.note("wall_refused", object=self.opts.label_lower, what="lookup")
        return False

    def _offers(self, lookup: str, value: str) -> bool:
        """Whether a filter of the list, or its dates, would ask so."""
        if self.date_hierarchy and lookup.startswith(f"{self.date_hierarchy}__"):
            least, most = PARTS_OF_DATES.get(lookup.rpartition("__")[2], (1, 0))
            is_whole = value.isascii() and value.isdecimal() and len(value) <= 4
            if is_whole and least <= int(value) <= most:
                return True
        return any(
            lookup == f"{_asked_by(one)}{ending}" and self._would_ask(one, ending, value)
            for one in self.list_filter
            for ending in ENDINGS
        )

    def _would_ask(self, offered: Any, ending: str, value: str) -> bool:
        """Whether this filter of the list would ask by this ending for this value."""
        is_of_field = isinstance(offered, str | tuple)
        field = is_of_field and get_fields_from_path(self.model, _asked_by(offered))[-1]
        if isinstance(field, DateField):
            return ending in {"__isnull", "__isempty"} or read_date(value) is not None
        return ending not in OF_DATES

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What the address fills into a new form, without what its fields cannot take."""
        sent = super().get_changeform_initial_data(request)
        read = {name: self._read_initial(name, value) for name, value in sent.items()}
        return {name: value for name, value in read.items() if value is not None}

    def _read_initial(self, name: str, value: Any) -> Any:
        try:
            field = self.opts.get_field(name)
        except FieldDoesNotExist:
            return value  # of a form that asks for more than its model, or of the page itself
        if not isinstance(field, Field):
            return None
        model: Any = field.related_model
        if field.many_to_many:
            return [one for one in value if read_pk(model, one) is not None]
        if field.is_relation:
            return read_pk(model, value)
        if isinstance(field, DateField):
            moment = read_date(value)
            is_day = not isinstance(field, DateTimeField)
            return moment.date() if moment and is_day else moment
        return value

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
        words = smart_split(search_term.replace(NUL, ""))
        search_term = " ".join(islice(words, MOST_WORDS))
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

    def response_action(
        self,
        request: HttpRequest,
        queryset: Rows,
        action_location: Any = ActionLocation.CHANGE_LIST,
    ) -> Any:
        for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
            if read_pk(self.model, chosen) is None:
                raise BadRequest
        return super().response_action(request, queryset, action_location)

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


def _asked_by(offered: Any) -> str:
    """The parameter of an address by which a filter of a list is asked."""
    if isinstance(offered, str):
        return offered
    return str(offered[0]) if isinstance(offered, tuple) else str(offered.parameter_name)


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
