"""What lies in the storage."""

from collections.abc import Mapping
from typing import ClassVar, override

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.sensitive import Kind
from ops.service_columns import ServiceColumns


class FilePurpose(models.TextChoices):
    RECEIPT = "receipt", _("Receipt")
    RECEIPT_THUMBNAIL = "receipt_thumbnail", _("Receipt thumbnail")
    PRODUCT = "product", _("Product picture")
    AVATAR = "avatar", _("Avatar")
    BACKUP = "backup", _("Backup")
    OTHER = "other", _("Other")


# What anybody may see who knows the address. Everything else is private.
PUBLIC_PURPOSES = frozenset({FilePurpose.PRODUCT})


class StoredFile(ServiceColumns):
    """A file in the storage: whose it is, what it is for, and when it may go."""

    service_columns = (
        "is_temporary",
        "expires_at",
    )
    # People name their files as they like; the path is made up and opens nothing.
    sensitive: ClassVar[Mapping[str, Kind]] = {"name": Kind.PERSONAL}

    owner_id = models.BigIntegerField(_("owner"), null=True, blank=True, db_index=True)
    purpose = models.CharField(_("purpose"), max_length=20, choices=FilePurpose)
    name = models.CharField(_("name"), max_length=255, blank=True, help_text=_("As it was sent."))
    path = models.CharField(_("path"), max_length=255, unique=True)
    media_type = models.CharField(_("media type"), max_length=100)
    size = models.PositiveBigIntegerField(_("size"), help_text=_("In bytes."))
    sha256 = models.CharField(_("SHA-256"), max_length=64, db_index=True)
    storage = models.CharField(_("storage"), max_length=40, db_default="default")
    is_temporary = models.BooleanField(_("temporary"), db_default=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        verbose_name = _("stored file")
        verbose_name_plural = _("stored files")
        constraints = [
            models.CheckConstraint(
                condition=Q(purpose__in=FilePurpose.values), name="storedfile_purpose_known"
            ),
            models.CheckConstraint(
                condition=Q(is_temporary=False) | Q(expires_at__isnull=False),
                name="storedfile_temporary_expires",
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.name or self.path
