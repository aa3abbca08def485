"""Where alerts are told."""

from typing import ClassVar, override

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ops import sensitive
from ops.updated_at import Mutable


class ChannelKind(models.TextChoices):
    DINGTALK = "dingtalk", _("DingTalk")
    WECOM = "wecom", _("WeCom")
    FEISHU = "feishu", _("Feishu")
    SLACK = "slack", _("Slack")
    EMAIL = "email", _("E-mail")
    WEBHOOK = "webhook", _("Webhook")


class AlertChannel(Mutable):
    """A group of people, or a program, that is told of alerts.

    Its address holds a secret, so it is encrypted; `shown_address` is what may be seen of it.
    """

    name = models.CharField(_("name"), max_length=100, unique=True)
    kind = models.CharField(_("kind"), max_length=8, choices=ChannelKind)
    sensitive: ClassVar = {"address_encrypted": sensitive.Kind.SECRET}

    address_encrypted = models.TextField(_("address"), editable=False)
    shown_address = models.CharField(_("present address"), max_length=200, editable=False)
    takes_info = models.BooleanField(_("takes information"), default=False)
    takes_warning = models.BooleanField(_("takes warnings"), default=True)
    takes_critical = models.BooleanField(_("takes what is critical"), default=True)
    is_enabled = models.BooleanField(_("enabled"), default=True, db_default=True)

    class Meta:
        verbose_name = _("alert channel")
        verbose_name_plural = _("alert channels")
        permissions = [("test_alertchannel", _("Can send a test message to alert channels"))]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=ChannelKind.values), name="alertchannel_kind_known"
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.name

    def takes(self, severity: str) -> bool:
        """Whether alerts of this severity are told here when the rule names no channel."""
        return bool(getattr(self, f"takes_{severity}"))
