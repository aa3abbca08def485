"""When a row was last written."""

from typing import Any, ClassVar, override

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class MutableQuerySet[M: models.Model](models.QuerySet[M]):
    """Rows whose `updated_at` moves with every UPDATE."""

    @override
    def update(self, **values: Any) -> int:
        """Set these columns, and when it was; what bulk_update and related managers do as well."""
        return super().update(**{"updated_at": Now(), **values})

    update.alters_data = True  # type: ignore[attr-defined]  # no template calls it


class Mutable(models.Model):
    """A row that changes: everything but what the database keeps append-only.

    `updated_at` is the moment of the newest UPDATE by the clock of the database, whoever made it:
    a form, a service, or the deletion of a row that this one pointed to. What goes past the models
    has to name it: raw SQL, a migration's RunPython, `bulk_create` with `update_conflicts`.
    """

    updated_at = models.DateTimeField(_("updated at"), db_default=Now(), editable=False)

    objects: ClassVar = MutableQuerySet.as_manager()

    class Meta:
        abstract = True
        # Django itself updates by the base manager, as when a row that is pointed to is deleted.
        base_manager_name = "objects"

    @override
    def save(self, **options: Any) -> None:
        """Save, and say when it was."""
        fields = options.get("update_fields")
        if fields is None or fields:
            self.updated_at = Now()
        if fields:
            options["update_fields"] = {*fields, "updated_at"}
        super().save(**options)
