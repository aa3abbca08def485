"""The audit trail of the console's own forms, and the history of a row.

What a form writes passes by no service: here every page records it, in the transaction of the form
and last in it.
"""

import json
from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.contrib.admin.utils import NestedObjects
from django.contrib.admin.views.main import PAGE_VAR
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import DEFAULT_DB_ALIAS, transaction
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from ops.access import access_of
from ops.admin_walls import WalledPage
from ops.models import AuditEntry
from ops.services import audit

ENTRIES_ON_A_PAGE = 100
# What was done, by the second word of an entry's action; one that is not here stands as it is.
VERBS: dict[str, str | Promise] = {
    "add": _("added"),
    "add_codes": _("codes added"),
    "approve": _("approved"),
    "cancel": _("cancelled"),
    "change": _("changed"),
    "change_role": _("role changed"),
    "change_status": _("status changed"),
    "change_stock": _("stock changed"),
    "close": _("done"),
    "choose_platform_role": _("role on the platform changed"),
    "create_superuser": _("made a superuser"),
    "decline": _("declined"),
    "delete": _("deleted"),
    "end": _("sign-in ended"),
    "end_premium": _("premium ended"),
    "enrol_second_factor": _("second factor set up"),
    "grant_premium": _("premium granted"),
    "invite": _("invited"),
    "join": _("joined"),
    "leave": _("left"),
    "load": _("loaded"),
    "make_default": _("made the default"),
    "off": _("turned off"),
    "on": _("turned on"),
    "publish": _("published"),
    "redeem": _("redeemed"),
    "reject": _("rejected"),
    "remove_second_factor": _("second factor removed"),
    "renew": _("made anew"),
    "renew_recovery_codes": _("new recovery codes"),
    "replace_second_factor": _("second factor replaced"),
    "reset": _("back to the default"),
    "reset_second_factor": _("second factor reset"),
    "revoke": _("sign-in ended"),
    "set_aside": _("put aside"),
    "set_password": _("password set"),
    "try_again": _("tried again"),
    "withdraw": _("withdrawn"),
}


class TrailedPage(WalledPage):
    """A page that records what its form changes, and shows the history of its rows.

    A page whose form goes by services, which record it themselves, says so.
    """

    is_recorded_by_services = False
    object_history_template = "admin/history.html"

    # --- What a form changes ---------------------------------------------------------------
    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        # As it is stored: what was entered is in the form's row already.
        form.values_before = audit.values_of(self._stored(form.instance)) if change else {}
        return super().save_form(request, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        # The form sets hold these very rows, which lose their ids when they are deleted.
        rows = [row for formset in formsets for row in formset.get_queryset()] if change else []
        before = {id(row): audit.values_of(self._stored(row)) for row in rows}
        super().save_related(request, form, formsets, change)
        if self.is_recorded_by_services:
            return
        before[id(form.instance)] = form.values_before
        written, deleted = [form.instance], []
        for formset in formsets:
            written += [*formset.new_objects, *(row for row, _fields in formset.changed_objects)]
            deleted += formset.deleted_objects
        shop_id = self.wall.shop_of(form.instance)
        recorded = [
            audit.form_change(
                action="change" if before.get(id(row)) else "add",
                row=row,
                before=before.get(id(row)),
                after=audit.values_of(self._stored(row)),
                shop_id=shop_id,
            )
            for row in written
        ]
        recorded += [
            audit.form_change(action="delete", row=row, before=before[id(row)], shop_id=shop_id)
            for row in deleted
        ]
        audit.record_forms(recorded)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._delete([obj])

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        self._delete(list(queryset))

    @transaction.atomic
    def _delete(self, rows: list[Any]) -> None:
        recorded = [
            audit.form_change(
                action="delete",
                row=gone,
                before=audit.values_of(self._stored(gone)),
                shop_id=shop_id,
            )
            for row in rows
            for shop_id in [self.wall.shop_of(row)]
            for gone in [row, *self._going_with(row)]
        ]
        for row in rows:
            row.delete()
        audit.record_forms(recorded)

    def _going_with(self, row: Any) -> list[Any]:
        """The rows below a page that are deleted with its row."""
        found = NestedObjects(using=DEFAULT_DB_ALIAS)
        found.collect([row])
        below = [inline.model for inline in self.inlines]
        return [gone for model in below for gone in found.data.get(model, ())]

    def _stored(self, row: Any) -> Any:
        return type(row)._base_manager.get(pk=row.pk)

    # The framework's own log keeps no values, and nothing guards it.
    def log_addition(self, *_facts: Any) -> Any: ...

    def log_change(self, *_facts: Any) -> Any: ...

    def log_deletions(self, *_facts: Any) -> Any: ...

    # --- What was changed ------------------------------------------------------------------
    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """What staff, members and commands did with a row, newest first.

        Of what happened at other shops, and is no shop's, those alone read who read it everywhere.
        """
        # Without NUL, which PostgreSQL would not even look for: no row has it in its id.
        pk = str(self.pk_in_address(object_id)).replace("\x00", "")
        entries = AuditEntry.objects.filter(
            object_type=self.opts.label_lower, object_id=pk
        ).order_by("-id")
        shops = access_of(request.user).shops(self.permission("view"), self.permission("change"))
        if shops is not None:
            entries = entries.filter(shop_id__in=shops)
        page = self.get_paginator(request, entries, ENTRIES_ON_A_PAGE).get_page(
            request.GET.get(PAGE_VAR, 1)
        )
        name_people(page.object_list)
        context = {"entries": page, "told": [Told(entry) for entry in page]}
        return super().history_view(request, object_id, {**context, **(extra_context or {})})


class Told:
    """An entry in words: when, who, what, and the columns that changed."""

    def __init__(self, entry: AuditEntry) -> None:
        self.created_at = entry.created_at
        self.who = who(entry)
        self.what = verb(entry)
        self.lines = lines_of(entry)
        self.reason = entry.reason


def name_people(entries: Iterable[AuditEntry]) -> None:
    """Bring along who the people of these entries are, whom an entry knows by a bare id alone."""
    entries = list(entries)
    ids = {entry.actor_id for entry in entries if entry.actor_id is not None}
    people = get_user_model()._base_manager.in_bulk(ids)
    for entry in entries:
        entry.person = people.get(entry.actor_id)  # type: ignore[attr-defined]


def who(entry: Any) -> str:
    """Who acted; a person by name as well, where there still is one."""
    return f"{entry.actor_name} {entry.person}" if entry.person else str(entry.actor_name)


def verb(entry: AuditEntry) -> str:
    """What was done, in words."""
    _kind, _dot, word = entry.action.partition(".")
    return str(VERBS.get(word, entry.action))


def object_of(entry: AuditEntry) -> str:
    """What was changed: its kind in words, and its id."""
    try:
        kind = apps.get_model(entry.object_type)._meta.verbose_name
    except (LookupError, ValueError):
        kind = entry.object_type
    return f"{capfirst(kind)} {entry.object_id and f'#{entry.object_id}'}".strip()


def lines_of(entry: AuditEntry) -> SafeString:
    """A line for each column that changed: before → after."""
    lines = (
        (_label(entry, column), _readable(before), _readable(after))
        for column, before, after in entry.changes
    )
    rows = format_html_join(
        "",
        '<tr><th scope="row" class="pr-4 text-left font-medium">{}</th><td class="pr-4">{}</td>'
        '<td class="pr-4">→</td><td>{}</td></tr>',
        lines,
    )
    return format_html("<table>{}</table>", rows) if rows else SafeString("-")


def _label(entry: AuditEntry, column: str) -> str:
    try:
        field = apps.get_model(entry.object_type)._meta.get_field(column)
    except (LookupError, ValueError, FieldDoesNotExist):
        return column
    return str(capfirst(getattr(field, "verbose_name", column)))


def _readable(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
