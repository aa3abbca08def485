"""What the pages of every app's console build on."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, cast
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import BaseDialogForm

from ops import stale_forms
from ops.admin_counts import CountedPage
from ops.admin_trail import TrailedPage
from ops.admin_walls import WalledInline
from ops.errors import DomainError
from ops.locking import locked
from ops.services import idempotency
from ops.stale_forms import StaleCheckedForm, StaleCheckedFormSet


class EditAdmin(TrailedPage, CountedPage):
    """A page whose form is refused where somebody else changed the row while it was open.

    Pages where people change something build on it; their forms and rows need nothing for it.
    """

    dates = ("created_at", "updated_at")  # those of a row that is there
    change_form_before_template = "admin/what_was_shown.html"

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Hold the row of a form that is sent, so that it is compared with what stays.

        Every page that saves a form does it in a transaction; the others change nothing.
        """
        row = super().get_object(request, object_id, from_field)
        is_sent = request.method == "POST" and transaction.get_connection().in_atomic_block
        if row is None or not is_sent:
            return row
        try:
            return locked(self.get_queryset(request)).get(pk=row.pk)
        except self.model.DoesNotExist:
            return None

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **options: Any
    ) -> HttpResponse:
        """Tell what a service refused while the form was saved; nothing of it was."""
        try:
            answer: HttpResponse = super().changeform_view(request, object_id, *args, **options)
        except DomainError as refusal:
            return self._refused(request, refusal)
        return answer

    def delete_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        """The same where a service refuses to delete."""
        try:
            answer: HttpResponse = super().delete_view(request, *args, **options)
        except DomainError as refusal:
            return self._refused(request, refusal)
        return answer

    def _refused(self, request: HttpRequest, refusal: DomainError) -> HttpResponse:
        self.message_user(request, str(refusal), messages.ERROR)
        return redirect(request.get_full_path())

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A row stays at its shop: its ledgers and its trail are there."""
        fields = super().get_readonly_fields(request, obj)
        shop = [field.name for field in self.opts.concrete_fields if self.says_the_shop(field)]
        return [*fields, *(shop if obj else [])]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is not None:
            return fieldsets
        kept = []
        for name, facts in fieldsets:
            if fields := [field for field in facts["fields"] if field not in self.dates]:
                kept.append((name, {**facts, "fields": fields}))
        return kept

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any
    ) -> Any:
        form = super().get_form(request, obj, change, **options)
        if obj is None:
            return form
        shown = _what_was_shown(request, obj)
        digests = None if shown is None else shown.get(stale_forms.form_key(obj))
        return type(form.__name__, (StaleCheckedForm, form), {"shown": digests})

    def get_formsets_with_inlines(self, request: HttpRequest, obj: Any = None) -> Iterator[Any]:
        for formset, inline in super().get_formsets_with_inlines(request, obj):
            if obj is None or not inline.has_change_permission(request, obj):
                yield formset, inline
                continue
            if request.method == "POST":
                list(locked(inline.model._default_manager.filter(**{formset.fk.name: obj})))
            facts = {
                "form": type(formset.form.__name__, (StaleCheckedForm, formset.form), {}),
                "shown_rows": _what_was_shown(request, obj) or {},
            }
            yield type(formset.__name__, (StaleCheckedFormSet, formset), facts), inline

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> HttpResponse:
        form: forms.BaseForm = context["adminform"].form
        formsets = [inline.formset for inline in context["inline_admin_formsets"]]
        if isinstance(form, StaleCheckedForm):
            rows = [one for one in formsets if isinstance(one, StaleCheckedFormSet)]
            context["what_was_shown"] = stale_forms.sign(form, rows)
            if form.is_stale or any(formset.is_stale for formset in rows):
                text = _(
                    "Nothing was saved: somebody changed this while the page was open. "
                    "What you entered is kept. Look at the marked places, then save again."
                )
                fields = "; ".join(_stale_fields(form, rows))
                said = _("Changed meanwhile: %(fields)s.") % {"fields": fields} if fields else ""
                self.message_user(request, f"{text} {said}".strip(), messages.ERROR)
                context["errors"] = None  # and no word of errors that somebody has to correct
        for one in (form, *(one for formset in formsets for one in formset.forms)):
            _ask_for_files_again(one)
        answer: HttpResponse = super().render_change_form(request, context, *args, **options)
        return answer


def _what_was_shown(request: HttpRequest, row: Model) -> stale_forms.Shown | None:
    return stale_forms.read(request.POST.get(stale_forms.SHOWN, ""), row)


def _ask_for_files_again(form: forms.BaseForm) -> None:
    """A browser keeps what was typed into a form that is refused, but no file."""
    for name, field in form.fields.items():
        if form.is_bound and isinstance(field, forms.FileField) and form[name].data:
            form.add_error(name, _("Choose the file again."))


class EditInline(WalledInline, TabularInline):
    """Rows below a page that are edited with it."""


class ReadOnlyAdmin(TrailedPage, CountedPage):
    """Shows rows that only services write."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def change_each[Row: Model](
    page: ModelAdmin,
    request: HttpRequest,
    *,
    rows: Iterable[Row],
    change: Callable[[Row], object],
    success: Callable[[Row], object] | None = None,
) -> int:
    """Change every row of an action and tell each refusal beside its row; returns how many went.

    A refused row stops no other. `success` is the message for a row that was changed.
    """

    def change_one(row: Row) -> bool:
        told = success and partial(success, row)
        return change_page(
            page, request, change=partial(change, row), success=told, name=f"{row}: "
        )

    return sum(change_one(row) for row in rows)


def change_page(
    page: ModelAdmin,
    request: HttpRequest,
    *,
    change: Callable[[], object],
    success: Callable[[], object] | None = None,
    name: str = "",
) -> bool:
    """Change what a page shows and tell how it went; False when it was refused."""
    try:
        change()
    except DomainError as refusal:
        page.message_user(request, f"{name}{refusal}", messages.ERROR)
        return False
    if success:
        page.message_user(request, str(success()), messages.SUCCESS)
    return True


def _stale_fields(form: StaleCheckedForm, rows: Iterable[StaleCheckedFormSet]) -> Iterator[str]:
    """Which fields changed meanwhile: a long page or a wide table has their marks out of sight."""
    if form.stale_labels:
        yield ", ".join(form.stale_labels)
    for one in (one for formset in rows for one in formset.forms):
        if one.stale_labels:
            yield f"{one.instance} ({', '.join(one.stale_labels)})"


class BookingForm(BaseDialogForm):
    """What a dialog asks for that books something. Every dialog that is opened books once."""

    request_key = forms.UUIDField(initial=uuid4, widget=forms.HiddenInput)


def book_once(
    page: ModelAdmin,
    request: HttpRequest,
    form: BookingForm,
    *,
    book: Callable[[], object],
    success: Callable[[], object],
    back_to: str,
) -> HttpResponse:
    """Book what a dialog asked for, tell how it went, and go on to the page `back_to`.

    However often and at whatever moment the same dialog is sent, it books once; the other answers
    say so. A refusal books nothing, and the same dialog may be sent again.
    """

    def effect() -> None:
        book()

    def change() -> None:
        outcome = idempotency.run_once(
            owner_id=cast("int", request.user.pk),
            path=request.path[:255],
            key=str(form.cleaned_data["request_key"]),
            fingerprint="",  # whatever it says the second time: it is not booked
            effect=effect,
        )
        told = _("This was sent twice and booked once.") if outcome.is_replay else success()
        page.message_user(request, str(told), messages.SUCCESS)

    change_page(page, request, change=change)
    if "HX-Request" in request.headers:
        # A dialog lies in the page: a redirect would be loaded into it.
        return HttpResponse(headers={"HX-Redirect": back_to})
    return redirect(back_to)
