"""Live settings that are not at their default."""

from typing import ClassVar, override

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ops.locking import LockingQuerySet
from ops.setting_kinds import LONGEST_KEY
from ops.updated_at import Mutable


class LiveSettingQuerySet(LockingQuerySet["LiveSetting"]):
    """Stored values, to be held while one is changed."""


class LiveSetting(Mutable):
    """The value of a live setting that somebody changed; at its default it has no row.

    What it is, and which values it takes, its app declares (`ops.setting_kinds`). Its key is its
    id, so that the audit trail knows it however often it went back to its default.
    """

    key = models.CharField(
        pgettext_lazy("of a setting", "key"), max_length=LONGEST_KEY, primary_key=True
    )
    value = models.JSONField(_("value"))

    objects: ClassVar = LiveSettingQuerySet.as_manager()

    class Meta:
        verbose_name = _("setting")
        verbose_name_plural = _("settings")
        ordering = ["key"]

    @override
    def __str__(self) -> str:
        return self.key
