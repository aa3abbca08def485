"""The answers that were given to an Idempotency-Key."""

from collections.abc import Mapping
from typing import ClassVar, override

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.sensitive import Kind
from ops.updated_at import Mutable

LONGEST_KEY = 128  # characters


class IdempotencyRecord(Mutable):
    """The answer to a request with an Idempotency-Key, committed with the request's effect."""

    # The key is whatever a client chose; the fingerprint is a bare hash of what may be guessed.
    sensitive: ClassVar[Mapping[str, Kind]] = {
        "key": Kind.PERSONAL,
        "fingerprint": Kind.SECRET,
        "answer": Kind.SECRET,
    }

    owner_id = models.BigIntegerField(_("person"))
    path = models.CharField(_("path"), max_length=255)
    key = models.CharField(_("key"), max_length=LONGEST_KEY)
    fingerprint = models.CharField(_("fingerprint"), max_length=64)
    answer = models.TextField(_("answer"), blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, db_index=True)

    class Meta:
        verbose_name = _("idempotency record")
        verbose_name_plural = _("idempotency records")
        constraints = [
            models.UniqueConstraint(
                fields=["owner_id", "path", "key"], name="idempotencyrecord_one_effect"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.path} {self.key}"
