"""What the pages of every app's console build on."""

from collections.abc import Callable, Iterable
from functools import partial
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
