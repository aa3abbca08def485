"""What the pages of every app's console build on."""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import messages
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from ops.errors import DomainError


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is not typed
    """Shows rows that only services write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
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
    changed = 0
    for row in rows:
        try:
            change(row)
        except DomainError as refusal:
            page.message_user(request, f"{row}: {refusal}", messages.ERROR)
        else:
            changed += 1
            if success:
                page.message_user(request, str(success(row)), messages.SUCCESS)
    return changed
