"""People, the devices they are signed in on, and the ledger of their points."""

import hashlib
import json
from datetime import UTC, datetime
from typing import ClassVar, override

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.locking import LockingQuerySet

GENESIS_HASH = "0" * 64


class UserStatus(models.TextChoices):
    ACTIVE = "active", _("Active")
    INACTIVE = "inactive", _("Inactive")
    BANNED = "banned", _("Banned")


class UserQuerySet(LockingQuerySet["User"]):
    """People, to be asked for and to be held."""


class UserManager(BaseUserManager["User"].from_queryset(UserQuerySet)):  # type: ignore[misc]
    def create_superuser(self, username: str, password: str, **fields: object) -> "User":
        """Create somebody who may do everything in the console; `createsuperuser` calls this."""
        person: User = self.model(username=username, is_staff=True, is_superuser=True, **fields)
        person.set_password(password)
        person.save(using=self._db)
        return person


class User(AbstractBaseUser, PermissionsMixin):
    """A person: a customer by phone or WeChat; staff also by user name and password."""

    username = models.CharField(
        _("user name"),
        max_length=150,
        unique=True,
        null=True,
        blank=True,
        help_text=_("For the console alone; customers have none."),
    )
    phone = models.CharField(_("phone"), max_length=20, unique=True, null=True, blank=True)
    wechat_openid = models.CharField(
        _("WeChat openid"), max_length=64, unique=True, null=True, blank=True
    )
    wechat_unionid = models.CharField(
        _("WeChat unionid"), max_length=64, unique=True, null=True, blank=True
    )
    nickname = models.CharField(_("nickname"), max_length=40, blank=True)
    avatar = models.ForeignKey(
        "ops.StoredFile",
        verbose_name=_("avatar"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    status = models.CharField(
        _("status"), max_length=8, choices=UserStatus, default=UserStatus.ACTIVE
    )
    is_premium = models.BooleanField(_("premium"), default=False)
    is_staff = models.BooleanField(_("may sign in to the console"), default=False)
    total_points = models.PositiveBigIntegerField(_("points"), default=0, editable=False)
    lifetime_points = models.PositiveBigIntegerField(
        _("lifetime points"),
        default=0,
        editable=False,
        help_text=_("Receipt points less their reversals; they decide the tier."),
    )
    points_version = models.PositiveBigIntegerField(
        _("points version"), default=0, editable=False, help_text=_("The newest ledger entry.")
    )
    points_hash = models.CharField(
        _("points hash"), max_length=64, default=GENESIS_HASH, editable=False
    )
    daily_upload_quota = models.PositiveIntegerField(
        _("daily upload quota"),
        null=True,
        blank=True,
        help_text=_("Empty: the platform's, by premium or not."),
    )
    login_count = models.PositiveIntegerField(_("sign-ins"), default=0, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=UserStatus.values), name="user_status_known"
            ),
            models.CheckConstraint(
                condition=Q(total_points__gte=0), name="user_points_never_negative"
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.nickname or self.username or self.masked_phone or f"#{self.pk}"

    @property
    @override
    def is_active(self) -> bool:  # type: ignore[override]
        """Django's word for it; decides about the console."""
        return self.status == UserStatus.ACTIVE

    @property
    def masked_phone(self) -> str | None:
        """The phone as others may see it, e.g. 138****8001; None without a phone."""
        return f"{self.phone[:3]}****{self.phone[-4:]}" if self.phone else None


class Tier(models.Model):
    """A level reached with lifetime points; its multiplier raises what a receipt gives."""

    name = models.CharField(_("name"), max_length=40, unique=True)
    threshold = models.PositiveBigIntegerField(
        _("threshold"), unique=True, help_text=_("Lifetime points from which it holds.")
    )
    multiplier = models.DecimalField(_("multiplier"), max_digits=4, decimal_places=2)

    class Meta:
        verbose_name = _("tier")
        verbose_name_plural = _("tiers")
        ordering = ["threshold"]
        constraints = [
            models.CheckConstraint(
                condition=Q(multiplier__gte=1), name="tier_multiplier_at_least_one"
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.name


class SignInCode(models.Model):
    """A code sent by SMS; only the newest one of a phone counts."""

    phone = models.CharField(_("phone"), max_length=20)
    day = models.DateField(_("day"))
    number = models.PositiveSmallIntegerField(_("number of the day"))
    code_hash = models.CharField(_("code hash"), max_length=64)
    ip_address = models.GenericIPAddressField(_("address"), null=True, blank=True)
    wrong_tries = models.PositiveSmallIntegerField(_("wrong tries"), default=0)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires at"))
    used_at = models.DateTimeField(_("used at"), null=True, blank=True)

    class Meta:
        verbose_name = _("sign-in code")
        verbose_name_plural = _("sign-in codes")
        constraints = [
            # Two requests at once want the same number: one of them was too fast.
            models.UniqueConstraint(
                fields=["phone", "day", "number"], name="signincode_one_at_a_time"
            ),
        ]
        indexes = [models.Index(fields=["phone", "-created_at"], name="signincode_newest")]

    @override
    def __str__(self) -> str:
        return f"{self.phone[:3]}**** {self.created_at:%Y-%m-%d %H:%M}"


class RegistrationMark(models.Model):
    """That a phone or openid had its welcome points: a keyed hash, kept for ever."""

    key_hash = models.CharField(_("key hash"), max_length=64, unique=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        verbose_name = _("registration mark")
        verbose_name_plural = _("registration marks")

    @override
    def __str__(self) -> str:
        return self.key_hash[:12]


class DeviceSession(models.Model):
    """One sign-in on one device: the family of its refresh tokens.

    The tokens themselves are not kept. `generation` counts the rotations and `rotated_at` dates
    the newest, which is enough to sign the same pair again when its answer was lost on the way.
    """

    user = models.ForeignKey(
        User, verbose_name=_("person"), on_delete=models.CASCADE, related_name="sessions"
    )
    generation = models.PositiveIntegerField(_("generation"), default=0)
    rotated_at = models.DateTimeField(_("rotated at"))
    device_info = models.JSONField(_("device"), null=True, blank=True)
    ip_address = models.GenericIPAddressField(_("address"), null=True, blank=True)
    user_agent = models.CharField(_("user agent"), max_length=255, blank=True)
    created_at = models.DateTimeField(_("signed in at"), default=timezone.now)
    last_activity_at = models.DateTimeField(_("last activity"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires at"))
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True, db_index=True)

    class Meta:
        verbose_name = _("device")
        verbose_name_plural = _("devices")
        indexes = [
            models.Index(
                fields=["user"], condition=Q(revoked_at__isnull=True), name="devicesession_live"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.user_id} {self.device_info or self.user_agent}"[:80]


class PointsSource(models.TextChoices):
    REGISTER = "register", _("Welcome")
    PHOTO_UPLOAD = "photo_upload", _("Receipt")
    LOTTERY = "lottery", _("Draw")
    PRIZE = "prize", _("Prize")
    EXCHANGE = "exchange", _("Exchange")
    CANCEL = "cancel", _("Returned order")
    EXPIRE = "expire", _("Expired")
    ADJUST = "adjust", _("Adjustment")
    REVERSE = "reverse", _("Reversal")
    MERGE = "merge", _("Merged accounts")


# What can happen to its cause only once; a receipt may be paid, reversed and paid again.
ONCE_PER_CAUSE = (
    PointsSource.REGISTER,
    PointsSource.LOTTERY,
    PointsSource.PRIZE,
    PointsSource.EXCHANGE,
    PointsSource.CANCEL,
)


class PointsEntry(models.Model):
    """One change of a person's points. Append-only: a trigger refuses UPDATE and DELETE.

    Each entry carries the hash of the one before it, so that no row can be altered, taken out or
    slipped in without breaking the chain. It holds no personal data: erasing a person leaves it.
    """

    user = models.ForeignKey(
        User, verbose_name=_("person"), on_delete=models.PROTECT, related_name="points_entries"
    )
    sequence = models.PositiveBigIntegerField(_("number"))
    points = models.BigIntegerField(_("points"))
    source = models.CharField(_("source"), max_length=12, choices=PointsSource)
    related_id = models.CharField(_("related to"), max_length=40, blank=True)
    balance_after = models.PositiveBigIntegerField(_("balance after"))
    previous_hash = models.CharField(_("previous hash"), max_length=64)
    entry_hash = models.CharField(_("hash"), max_length=64)
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        constraints = [
            models.UniqueConstraint(fields=["user", "sequence"], name="pointsentry_one_sequence"),
            models.UniqueConstraint(
                fields=["source", "related_id"],
                condition=Q(source__in=ONCE_PER_CAUSE),
                name="pointsentry_once_per_cause",
            ),
            models.CheckConstraint(
                condition=Q(source__in=PointsSource.values), name="pointsentry_source_known"
            ),
            models.CheckConstraint(condition=~Q(points=0), name="pointsentry_changes_something"),
            models.CheckConstraint(
                condition=Q(balance_after__gte=0), name="pointsentry_balance_never_negative"
            ),
            models.CheckConstraint(
                condition=Q(balance_after__gte=F("points")), name="pointsentry_balance_adds_up"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.user_id}/{self.sequence}: {self.points:+d}"

    def computed_hash(self) -> str:
        """The hash this entry must carry, from its own fields (product.md, PointsEntry)."""
        return hash_entry(
            user_id=self.user_id,
            sequence=self.sequence,
            points=self.points,
            source=self.source,
            related_id=self.related_id,
            balance_after=self.balance_after,
            created_at=self.created_at,
            previous_hash=self.previous_hash,
        )


def hash_entry(
    *,
    user_id: int,
    sequence: int,
    points: int,
    source: str,
    related_id: str,
    balance_after: int,
    created_at: datetime,
    previous_hash: str,
) -> str:
    """SHA-256, in hex, of an entry's canonical JSON: UTF-8, sorted keys, no spaces.

    The time is written in UTC, as ISO 8601 with microseconds (2026-01-31T04:05:06.000007+00:00).
    """
    canonical = json.dumps(
        {
            "user_id": user_id,
            "sequence": sequence,
            "points": points,
            "source": source,
            "related_id": related_id,
            "balance_after": balance_after,
            "created_at": created_at.astimezone(UTC).isoformat(timespec="microseconds"),
            "previous_hash": previous_hash,
        },
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    return hashlib.sha256(canonical.encode()).hexdigest()
