"""How many rows a page of the console lists, where counting each of millions takes too long."""

import json
from typing import Any

from django.core.paginator import Page, Paginator
from django.db import connections
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

COUNTED = 10_000  # rows that are counted one by one; of more, the planner says about how many
LOOKED_UP = 1_000  # rows behind which a page is found by ids alone


class CountedPaginator(Paginator[Any]):
    """Counts as far as it is quick, and says of more about how many there are.

    A page far behind is found by ids first: whatever is joined is joined for its rows alone, not
    for all those that are skipped.
    """

    template_name = "admin/counted_pages.html"
    is_estimated = False

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        counted: int = rows.order_by()[: COUNTED + 1].count()
        if counted <= COUNTED:
            return counted
        if connections[rows.db].vendor != "postgresql":
            return int(rows.count())
        self.is_estimated = True
        (plan,) = json.loads(rows.order_by().explain(format="json"))
        return max(counted, int(plan["Plan"]["Plan Rows"]))

    def page(self, number: Any) -> Page[Any]:
        found = super().page(number)
        rows: Any = self.object_list
        first = (found.number - 1) * self.per_page
        if first >= LOOKED_UP:
            pks = list(rows.values_list("pk", flat=True)[first : first + self.per_page])
            found.object_list = rows.filter(pk__in=pks)
        return found


class CountedList(ChangeList):
    """A list that counts by its paginator alone, with its filters and without.

    One that is too long to be counted has no hierarchy of dates either, with its filters or
    without: to say of which days there are rows, it would read all of them. The filter stays.
    """

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        is_whole = not self.query and not self.get_filters_params()
        paginator: Any = self.paginator
        if not is_whole:
            paginator = self.model_admin.get_paginator(
                request, self.root_queryset, self.list_per_page
            )
        self.full_result_count = paginator.count
        self.show_full_result_count = True
        self.show_admin_actions = bool(self.full_result_count)
        if self.full_result_count > COUNTED:
            self.date_hierarchy = None


class CountedPage(ModelAdmin):
    """A page whose list may have millions of rows."""

    paginator: Any = CountedPaginator
    show_full_result_count = False  # by a count of its own; `CountedList` knows it

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return CountedList
