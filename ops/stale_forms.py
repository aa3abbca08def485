"""Forms of the console that were open while their rows changed.

A page carries one signed list of what its forms showed: a digest of every field, by row. When it is
sent back, each field is compared with what stands now, under the lock of the row. By field and not
by a version of the row: a product that sells all day could otherwise never be edited.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast, override

from django import forms
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core import signing
from django.core.exceptions import ValidationError
from django.db.models import Field, Model
from django.forms.boundfield import BoundField
from django.forms.models import InlineForeignKeyField
from django.http import QueryDict
from django.utils.crypto import salted_hmac
from django.utils.datastructures import MultiValueDict
from django.utils.formats import localize
from django.utils.text import Truncator
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

SHOWN = "_shown"  # the hidden input that carries what a page showed
LONGEST_VALUE = 80  # characters of a value that a message quotes
_SALT = "ops.stale_forms"

type Digests = Mapping[str, str]  # of one row, by field
type Shown = Mapping[str, Digests]  # of a page, by what `form_key` makes


class StaleCheckedForm(forms.ModelForm[Model]):
    """Refuses each field whose row changed since the form was shown, and says to what.

    What the person entered is kept; a field that they left alone takes the value of now, so that
    saving again never undoes somebody else's change unseen. A field that was changed to the very
    value that was entered is no conflict. A form may have a field that no model knows: `stands_for`
    maps its name to the model's field behind it.
    """

    shown: Digests | None = None  # None: nobody knows what it showed
    is_stale = False
    stale_labels: Sequence[str] = ()  # of the fields that changed meanwhile

    @override
    def full_clean(self) -> None:
        told: dict[str | None, Any] = {}
        if self.is_bound and not self.instance._state.adding:
            # First of all, so that nothing is said about a value that was left alone and is gone.
            told = {name: self._compare(self[name]) for name in compared_fields(self)}
            if self.shown is None:
                told[None] = _("It cannot be told any more what this page showed.")
        super().full_clean()
        stale = {name: message for name, message in told.items() if message}
        self.is_stale = bool(stale)
        self.stale_labels = [str(self[name].label) for name in stale if name is not None]
        for name, message in stale.items():
            self.add_error(name, message)

    def _post_clean(self) -> None:
        # The console shows no fractions of a second: what was left alone keeps those it has.
        for name in compared_fields(self):
            if isinstance(self.cleaned_data.get(name), datetime) and name not in self.changed_data:
                self.cleaned_data[name] = getattr(self.instance, name)
        super()._post_clean()  # type: ignore[misc]

    def _compare(self, field: BoundField) -> str | None:
        """What a person is told of a field; None where there is no conflict."""
        was, now = (self.shown or {}).get(field.name), digest_of(field)
        entered = None if was == now else _digest_entered(field, left_alone=was)
        if now in {was, entered}:
            return None
        if entered == was and was is not None:
            message = gettext("Changed meanwhile: “%(now)s” stands here now.")
            self._take_value_of_now(field)
        else:
            message = gettext("Changed meanwhile to “%(now)s”: saving again replaces it.")
        return message % {"now": _in_words(field, _value_now(field))}

    def _take_value_of_now(self, field: BoundField) -> None:
        sent: Any = copy(self.data)
        for name, values in _as_sent(field).items():
            sent.setlist(name, values)
        self.data = sent


class StaleCheckedFormSet(forms.BaseInlineFormSet[Model, Model, StaleCheckedForm]):
    """The same for the rows below: also when rows came or went meanwhile.

    Rows that came are shown. Of those that went, what the person had changed is kept as a new row.
    """

    shown_rows: Shown = {}
    model: type[Model]
    prefix: str
    # What the stubs do not know of Django's form sets.
    _non_form_errors: Any
    management_form: Any

    @override
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.stale_messages: list[str] = []
        if self.is_bound:
            self._follow_the_rows()

    @property
    def is_stale(self) -> bool:
        """Whether a row came, went or changed since the page was shown."""
        return bool(self.stale_messages) or any(form.is_stale for form in self.forms)

    @override
    def full_clean(self) -> None:
        super().full_clean()
        if self.is_bound:
            messages = [*self.stale_messages, *self._changed_ones_to_be_deleted()]
            self._non_form_errors.extend(ValidationError(message) for message in messages)

    def _construct_form(self, i: int, **options: Any) -> StaleCheckedForm:
        form: StaleCheckedForm = super()._construct_form(i, **options)  # type: ignore[misc]
        form.shown = self.shown_rows.get(form_key(form.instance, self.prefix), {})
        return form

    def _changed_ones_to_be_deleted(self) -> Iterator[str]:
        # A form set asks no row about its errors that is going to be deleted.
        marked = [form for form in self.initial_forms if self._is_marked(f"{form.prefix}")]
        if rows := [str(form.instance) for form in marked if form.is_stale]:
            yield gettext(
                "Changed meanwhile, though marked to be deleted: %(rows)s. "
                "Saving again deletes them."
            ) % {"rows": _names(rows)}

    def _is_marked(self, prefix: str) -> bool:
        return bool(self.can_delete and self.data.get(f"{prefix}-DELETE"))

    def _follow_the_rows(self) -> None:
        """Bring what was sent into the order of the rows of now, for a page is drawn by it."""
        numbers = range(min(self.initial_form_count(), self.total_form_count()))
        sent_rows = {self.data.get(self._name_of_id(number)): number for number in numbers}
        rows = {str(row.pk): row for row in self.get_queryset()}
        if list(sent_rows) == list(rows):
            return
        sent, files = self._by_number(self.data), self._by_number(self.files or MultiValueDict())
        came = [row for pk, row in rows.items() if pk not in sent_rows]
        went = [number for pk, number in sent_rows.items() if pk not in rows]
        # A row that went and was to be deleted is as the person wanted it.
        went = [number for number in went if not self._is_marked(self.add_prefix(number))]
        kept = [number for number in went if self._was_entered(number)]
        self._tell(came, went, kept)
        for number in kept:
            sent[number] = {**sent[number], self.model._meta.pk.name: [""]}
        new = range(len(numbers), self.total_form_count())
        order = [sent_rows.get(pk, row) for pk, row in rows.items()] + kept + [*new]
        self._renumber(order, sent, files, initial_count=len(rows))

    def _tell(self, came: list[Model], went: list[int], kept: list[int]) -> None:
        def titles(numbers: Iterable[int]) -> list[str]:
            return [self._shown_of(number).get("", "?") for number in numbers]

        dropped = [number for number in went if number not in kept]
        for message, names in (
            (_("Added meanwhile and shown now: %(rows)s."), [str(row) for row in came]),
            (_("Deleted meanwhile: %(rows)s."), titles(dropped)),
            (
                _(
                    "Deleted meanwhile: %(rows)s. What you entered is kept: "
                    "saving again adds it as new."
                ),
                titles(kept),
            ),
        ):
            if names:
                self.stale_messages.append(message % {"rows": _names(names)})

    def _shown_of(self, number: int) -> Digests:
        pk = self.data.get(self._name_of_id(number))
        return self.shown_rows.get(f"{self.prefix}/{pk}", {})

    def _was_entered(self, number: int) -> bool:
        """Whether the person changed something in a row since it was shown to them."""
        form = self.form(data=self.data, files=self.files, prefix=self.add_prefix(number))
        shown = self._shown_of(number)
        return any(
            _digest_entered(form[name], left_alone=shown.get(name)) != shown.get(name)
            for name in self._compared_fields(form)
        )

    def _compared_fields(self, form: StaleCheckedForm) -> list[str]:
        # The row above is known by its page; a form that is not the set's own would ask for it.
        return [name for name in compared_fields(form) if name != self.fk.name]

    def _name_of_id(self, number: int) -> str:
        return f"{self.add_prefix(number)}-{self.model._meta.pk.name}"

    def _by_number(self, sent: Any) -> dict[int, dict[str, list[Any]]]:
        by_number: dict[int, dict[str, list[Any]]] = {}
        for name, values in sent.lists():
            if match := re.fullmatch(rf"{re.escape(self.prefix)}-([0-9]+)-(.+)", name):
                by_number.setdefault(int(match[1]), {})[match[2]] = values
        return by_number

    def _renumber(
        self,
        order: list[Any],
        sent: dict[int, dict[str, list[Any]]],
        files: dict[int, dict[str, list[Any]]],
        *,
        initial_count: int,
    ) -> None:
        """Send it all anew in this order: of numbers, and of rows that came meanwhile."""
        data, renumbered_files = QueryDict(mutable=True), MultiValueDict[str, Any]()
        for number, source in enumerate(order):
            came = isinstance(source, Model)
            values = self._as_sent(source) if came else sent.get(source, {})
            for name, value in values.items():
                data.setlist(f"{self.add_prefix(number)}-{name}", value)
            for name, value in ({} if came else files.get(source, {})).items():
                renumbered_files.setlist(f"{self.add_prefix(number)}-{name}", value)
        for name, count in (("INITIAL_FORMS", initial_count), ("TOTAL_FORMS", len(order))):
            data[f"{self.prefix}-{name}"] = str(count)
        self.data, self.files = data, renumbered_files
        del self.management_form  # it was read from the data before

    def _as_sent(self, row: Model) -> dict[str, list[str]]:
        form = self.form(instance=row)
        sent = {self.model._meta.pk.name: [str(row.pk)]}
        for name in self._compared_fields(form):
            sent |= _as_sent(form[name])
        return sent


# --- What a page carries --------------------------------------------------------------------------
def form_key(row: Model, prefix: str | None = None) -> str:
    """What a row's form is called in what a page carries; the page's own has no prefix."""
    return "" if prefix is None else f"{prefix}/{row.pk}"


def sign(form: StaleCheckedForm, formsets: Iterable[StaleCheckedFormSet]) -> str:
    """What a page carries: what its form and the rows below show, signed for its row alone."""
    digests = {form_key(form.instance): digests_of(form)}
    for formset in formsets:
        for row in formset.initial_forms:
            digests[form_key(row.instance, formset.prefix)] = digests_of(row)
    shown = {"row": _address(form.instance), "digests": digests}
    return signing.dumps(shown, salt=_SALT, compress=True)


def read(signed: str, row: Model) -> Shown | None:
    """What the page of this row carried; None when that is missing, forged or another row's."""
    try:
        shown = signing.loads(signed, salt=_SALT)
    except signing.BadSignature:
        return None
    digests: Shown = shown["digests"]
    return digests if shown["row"] == _address(row) else None


def compared_fields(form: StaleCheckedForm) -> list[str]:
    """The fields of a form that a person fills; a form set adds others, which name the row."""
    return [
        name
        for name, field in form.fields.items()
        if name in form.base_fields
        and not field.disabled
        and not isinstance(field, InlineForeignKeyField)
    ]


def digests_of(form: StaleCheckedForm) -> Digests:
    """What a form shows: its fields' digests, and under no name what the row is called."""
    title = Truncator(str(form.instance)).chars(LONGEST_VALUE)
    return {"": title, **{name: digest_of(form[name]) for name in compared_fields(form)}}


def digest_of(field: BoundField) -> str:
    """The digest of what stands now in the row behind a field."""
    return digest(_canonical(field.field, _value_now(field)))


def digest(text: str) -> str:
    """A keyed digest, so that nobody can guess by it at what a page does not show."""
    return salted_hmac(_SALT, text, algorithm="sha256").hexdigest()[:16]


def _address(row: Model) -> str:
    return f"{row._meta.label} {row.pk}"


# --- Values ---------------------------------------------------------------------------------------
def _value_now(field: BoundField) -> Any:
    if column := _column_behind(field):
        row = cast("StaleCheckedForm", field.form).instance
        return cast("Field[Any, Any]", row._meta.get_field(column)).value_from_object(row)
    return field.initial


def _column_behind(field: BoundField) -> str | None:
    stands_for: Mapping[str, str] = getattr(field.form, "stands_for", {})
    return stands_for.get(field.name)


def _digest_entered(field: BoundField, *, left_alone: str | None) -> str | None:
    """The digest of what was entered; None for what is no value of the field.

    Nothing is sent of a file that was left alone: it is what it was, if that is known.
    """
    entered: Any = field.data
    if isinstance(field.field, forms.FileField):
        return (left_alone or digest_of(field)) if entered is None else None
    try:
        return digest(_canonical(field.field, field.field.clean(entered)))
    except ValidationError:
        return None


def _canonical(field: forms.Field, value: Any) -> str:
    """A value as text, the same for what a row holds and for what a browser makes of it."""
    value = field.prepare_value(value)
    if isinstance(value, list | tuple):
        return "\n".join(sorted(map(_plain, value)))
    return _plain(value)


def _plain(value: Any) -> str:
    match value:
        case None:
            return ""
        case Decimal():
            return f"{value.normalize():f}"
        case datetime():  # to the second, as the console shows it
            return value.astimezone(UTC).isoformat(timespec="seconds")
        case _:  # browsers write the ends of lines in their own way
            return str(value).replace("\r\n", "\n").strip()


def _in_words(field: BoundField, value: Any) -> str:
    """A value as a person reads it."""
    kind: Any = field.field
    words: Any
    if column := _column_behind(field):
        words = str(getattr(cast("StaleCheckedForm", field.form).instance, column))
    elif isinstance(kind, forms.ModelMultipleChoiceField):
        words = _names(kind.label_from_instance(row) for row in value)
    elif isinstance(kind, forms.ModelChoiceField):
        choices: Any = kind.queryset
        row = choices.model._default_manager.filter(pk=value).first()
        words = kind.label_from_instance(row) if row else ""
    elif isinstance(kind, forms.ChoiceField):
        choices = kind.choices
        words = next((str(label) for key, label in choices if key == value), "")
    elif isinstance(value, bool):
        words = gettext("Yes") if value else gettext("No")
    elif isinstance(value, datetime):
        words = str(localize(localtime(value)))
    else:
        words = "" if value is None else str(localize(value))
    return Truncator(words or gettext("nothing")).chars(LONGEST_VALUE)


def _names(rows: Iterable[str]) -> str:
    return gettext(", ").join(map(str, rows))


def _as_sent(field: BoundField) -> dict[str, list[str]]:
    """What a browser sends of a field that shows the value of now and is left alone."""
    value = field.field.prepare_value(_value_now(field))
    return _as_sent_by(field.field.widget, field.html_name, value)


def _as_sent_by(widget: Any, name: str, value: Any) -> dict[str, list[str]]:
    if isinstance(widget, RelatedFieldWidgetWrapper):
        widget = widget.widget
    if isinstance(widget, forms.MultiWidget):
        several: Any = widget
        parts = zip(several.widgets, several.widgets_names, several.decompress(value), strict=True)
        sent: dict[str, list[str]] = {}
        for part, suffix, part_value in parts:
            sent |= _as_sent_by(part, name + suffix, part_value)
        return sent
    if isinstance(widget, forms.CheckboxInput):
        return {name: ["on"] if widget.check_test(value) else []}
    shown = widget.format_value(value)
    return {name: shown if isinstance(shown, list) else ["" if shown is None else shown]}
