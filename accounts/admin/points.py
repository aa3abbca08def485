from django.contrib import admin, messages
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import PointsEntry, User
from accounts.models.points import OFTEN_PER_CAUSE, ONCE_PER_CAUSE
from ops.admin_base import ReadOnlyAdmin
from ops.admin_questions import words_of
from ops.walls import OfPlatform

MOST_PEOPLE = 100  # whose entries one search shows


@admin.register(PointsEntry)
class PointsEntryAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = ["created_at", "user", "sequence", "points", "source", "balance_after"]
    list_filter = ["source", "created_at"]
    list_select_related = ["user"]
    search_fields = ["=user__phone", "user__nickname", "=related_id"]
    search_permissions = {"=user__phone": "accounts.search_user"}
    search_help_text = _("Nickname, whole phone number, or the whole id of a cause")
    date_hierarchy = "created_at"
    sortable_by = ["created_at"]  # the columns without an index would sort all of them
    ordering = ["-id"]

    def get_ordering(self, request):
        """The newest first; what a search found is sorted, not looked for from the newest on."""
        return [(F("id") + 0).desc()] if request.GET.get("q") else super().get_ordering(request)

    def get_search_results(self, request, queryset, search_term):
        """The entries of the people whom their own page finds, and those of this cause.

        People first: a join would read the whole ledger, to look at each entry's person.
        """
        term = words_of(search_term).strip()
        if not term:
            return queryset, False
        people_page = self.admin_site._registry[User]
        people, _may_repeat = people_page.get_search_results(
            request, people_page.get_queryset(request), term
        )
        newest_first = people.order_by("-pk").values_list("pk", flat=True)
        people_ids = list(newest_first[: MOST_PEOPLE + 1])
        if len(people_ids) > MOST_PEOPLE:
            people_ids.pop()
            text = _("More than %(count)d people are found: these are entries of the newest.")
            self.message_user(request, text % {"count": MOST_PEOPLE}, messages.WARNING)
        # Each of the two has an index of its own.
        of_cause = Q(source__in=ONCE_PER_CAUSE, related_id=term) | Q(
            source__in=OFTEN_PER_CAUSE, related_id=term
        )
        return queryset.filter(Q(user__in=people_ids) | of_cause), False
