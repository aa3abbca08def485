"""What the address of a page may ask: what the page offers, and nothing a database cannot take."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from django.contrib.admin import ActionLocation
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import ModelAdmin
from django.contrib.admin.utils import get_fields_from_path, unquote
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import BadRequest, FieldDoesNotExist, ValidationError
from django.db.models import DateField, DateTimeField, Field, Model, QuerySet
from django.http import HttpRequest
from django.utils.text import smart_split

from ops import security_log

# How Django's filters of lists ask.
OF_DATES = ("__gte", "__lt")
ENDINGS = ("", "__exact", "__id__exact", "__isnull", "__isempty", *OF_DATES)
# Of dates that are asked for: near the ends of time everything overflows.
FIRST_YEAR, LAST_YEAR = 2000, 2100
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


def words_of(search: str) -> str:
    """What of a search is searched for: no more words than MOST_WORDS."""
    return " ".join(islice(smart_split(search.replace(NUL, "")), MOST_WORDS))


class AskedPage(ModelAdmin):
    """A page that is asked by its address, which anybody can write."""

    def pk_in_address(self, text: str) -> Any:
        """The id that stands in the address of a row; None for what cannot be one."""
        return read_pk(self.model, unquote(text))

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

    def response_action(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        action_location: Any = ActionLocation.CHANGE_LIST,
    ) -> Any:
        for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
            if read_pk(self.model, chosen) is None:
                raise BadRequest
        return super().response_action(request, queryset, action_location)


def _asked_by(offered: Any) -> str:
    """The parameter of an address by which a filter of a list is asked."""
    if isinstance(offered, str):
        return offered
    return str(offered[0]) if isinstance(offered, tuple) else str(offered.parameter_name)
