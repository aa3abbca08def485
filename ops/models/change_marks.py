"""Marks of changes."""

from typing import override

from django.db import models
from django.utils.translation import gettext_lazy as _

from ops.updated_at import Mutable


class ChangeMark(Mutable):
    """That a transaction changed something of a topic. Triggers write it (`ops.change_marks`).

    `number` is the transaction's on PostgreSQL, where one row is written for each transaction and
    topic. On SQLite it is a random one that every change of the topic's only row replaces.
    """

    topic = models.CharField(_("topic"), max_length=20)
    number = models.BigIntegerField(_("number"))

    class Meta:
        verbose_name = _("change mark")
        verbose_name_plural = _("change marks")
        constraints = [
            models.UniqueConstraint(fields=["number", "topic"], name="changemark_once"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.topic} {self.number}"
