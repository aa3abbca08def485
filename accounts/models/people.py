"""Who somebody is, and the head of their ledger."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self, override

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Lower
from django.db.models.lookups import Exact
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.nicknames import check_nickname
from ops.chain import GENESIS_HASH
from ops.locking import LockingQuerySet
from ops.sensitive import Kind, masked
from ops.service_columns import ServiceColumns
from ops.services import audit

OF_NUMBERS = "0123456789 +-()"  # what phone numbers are written with


def login_name(typed: str) -> str:
    """What somebody typed to say who they are, as it is kept: a user name or a phone number."""
    name = User.normalize_username(typed).strip()
    return re.sub(r"[ -]", "", name) if _is_number(name) else name


def _is_number(name: str) -> bool:
    return not name.strip(OF_NUMBERS)


def masked_email(address: str) -> str:
    """An address as others may see it, e.g. w****@example.com."""
    name, _at, host = address.rpartition("@")
    return f"{name[:1] if len(name) > 2 else ''}****@{host}"


class UserStatus(models.TextChoices):
    ACTIVE = "active", _("Active")
    INACTIVE = "inactive", _("Inactive")
    BANNED = "banned", _("Banned")


class UserQuerySet(LockingQuerySet["User"]):
    """People, to be asked for and to be held."""

    def of_one_person(self, person_id: int) -> Self:
        """The account of this id, and those that were merged into it."""
        return self.filter(Q(pk=person_id) | Q(merged_into=person_id))

    def premium(self) -> Self:
        """Those whose premium lasts today."""
        return self.filter(premium_until__gte=timezone.localdate())

    def by_email(self, address: str) -> Self:
        """Whoever has this e-mail address, in whatever case it is written; by the unique index."""
        return self.alias(address=Lower("email")).filter(address=address.lower())

    def by_login_name(self, typed: str) -> "User | None":
        """Whoever signs in to the console by this user name or whole phone number."""
        name = login_name(typed)
        # No user name is a number.
        return self.filter(**{"phone" if _is_number(name) else "username": name}).first()


class UserManager(BaseUserManager["User"].from_queryset(UserQuerySet)):  # type: ignore[misc]
    def create_superuser(
        self,
        username: str,
        password: str | None,
        *,
        nickname: str = "",
        phone: str | None = None,
        must_change_password: bool = False,
    ) -> "User":
        """Create somebody who may do everything in the console.

        Audited here, since libraries know no service. Without a password nobody can sign in as
        them, unless by their phone. Raises ValidationError for a wrong name.
        """
        person: User = self.model(
            username=username,
            nickname=nickname,
            phone=phone,
            is_staff=True,
            is_superuser=True,
            must_change_password=must_change_password,
        )
        person.clean()
        person.set_password(password)
        with transaction.atomic(using=self._db):
            person.save(using=self._db)
            audit.record(
                action="user.create_superuser",
                row=person,
                after={"username": username, "is_staff": True, "is_superuser": True},
            )
        return person


class User(ServiceColumns, AbstractBaseUser, PermissionsMixin):
    """A person: a customer by phone or WeChat; staff also by user name and password."""

    service_columns = (
        "status",
        "total_points",
        "lifetime_points",
        "points_version",
        "points_hash",
        "login_count",
        "last_login",
        "avatar",
        "email",
        "premium_until",
        "merged_into",
        "merged_accounts",
        "must_change_password",
    )
    sensitive: ClassVar[Mapping[str, Kind]] = {
        "phone": Kind.MASKED,
        "email": Kind.MASKED,
        "nickname": Kind.PERSONAL,
        "username": Kind.PERSONAL,
        "wechat_openid": Kind.SECRET,
        "wechat_unionid": Kind.SECRET,
        "password": Kind.SECRET,
    }

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
    email = models.EmailField(  # noqa: DJ001  unique by a constraint below
        _("e-mail"),
        null=True,
        blank=True,
        help_text=_("Of whom a link was opened in its mailbox."),
    )
    nickname = models.CharField(
        _("nickname"), max_length=40, blank=True, validators=[check_nickname]
    )
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
    premium_until = models.DateField(
        _("premium until"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("The last day, in the time zone of the platform."),
    )
    is_staff = models.BooleanField(_("may sign in to the console"), default=False)
    must_change_password = models.BooleanField(
        _("has to change the password"),
        default=False,
        db_default=False,
        editable=False,
        help_text=_("Somebody else set it: no page of the console opens before it is changed."),
    )
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
    # Where its points are now: an account that goes on, however many merges it took.
    merged_into = models.ForeignKey(
        "self",
        verbose_name=_("merged into"),
        null=True,
        blank=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,  # few have one: the index below names them alone
    )
    # So that every request of everybody else knows, without a question, that there are none.
    merged_accounts = models.PositiveIntegerField(
        _("accounts merged into it"), default=0, db_default=0, editable=False
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    _password: str | None  # what `set_password` was given, until it is saved

    objects: ClassVar = UserManager()

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        permissions = [
            ("close_user", _("Can deactivate, ban and activate people")),
            ("search_user", _("Can find people by their whole phone number")),
            ("password_user", _("Can set the password of a person")),
            ("premium_user", _("Can grant and end premium")),
            ("merge_user", _("Can merge two accounts of one person")),
            ("factor_user", _("Can reset the second factor of a person")),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=UserStatus.values), name="user_status_known"
            ),
            models.CheckConstraint(
                condition=Q(total_points__gte=0), name="user_points_never_negative"
            ),
            # One mailbox is one person's, in whatever case its address is written.
            models.UniqueConstraint(Lower("email"), name="user_email_of_one_person"),
            # Nobody gets into it any more, and nothing is joined to it: not at this moment either.
            models.CheckConstraint(
                condition=Q(merged_into=None)
                | Q(
                    status=UserStatus.INACTIVE,
                    phone=None,
                    wechat_openid=None,
                    wechat_unionid=None,
                    email=None,
                    total_points=0,
                    lifetime_points=0,
                ),
                name="user_merged_keeps_nothing",
            ),
            # Else somebody could take the phone number by which another signs in.
            models.CheckConstraint(
                condition=Q(username=None)
                | ~Q(Exact(Func(F("username"), Value(OF_NUMBERS), function="LTRIM"), Value(""))),
                name="user_name_is_no_number",
            ),
        ]
        indexes = [
            models.Index(
                fields=["merged_into"],
                condition=Q(merged_into__isnull=False),
                name="user_merged_into",
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.nickname or self.username or self.masked_phone or f"#{self.pk}"

    def get_full_name(self) -> str:
        """What the theme of the console calls whoever is signed in: most have no user name."""
        return str(self)

    @override
    def clean(self) -> None:
        """Say at its field that a user name may not look like a phone number."""
        super().clean()
        if self.username is not None and _is_number(self.username):
            raise ValidationError({"username": _("A user name needs more than digits.")})

    @override
    def save(self, **options: Any) -> None:
        """Save; after `set_password` the password alone of a person who is there already.

        What changes passwords (`changepassword`, one's own page of the console) holds the row it
        read for as long as somebody types, and would write back rights that were revoked meanwhile.
        """
        is_set = self._password is not None and not self._state.adding
        if is_set and options.get("update_fields") is None:
            options["update_fields"] = ["password"]
        super().save(**options)

    @property
    @override
    def is_active(self) -> bool:  # type: ignore[override]
        """Django's word for it; decides about the console."""
        return self.status == UserStatus.ACTIVE

    @property
    def is_merged(self) -> bool:
        """Whether it was merged into another account: nothing comes to it any more."""
        return self.merged_into_id is not None

    @property
    def is_premium(self) -> bool:
        """Whether their premium lasts today; it ends by itself at midnight after its last day."""
        return self.premium_until is not None and self.premium_until >= timezone.localdate()

    @property
    def masked_phone(self) -> str | None:
        """The phone as others may see it, e.g. 138****8001; None without a phone."""
        return masked(self.phone) if self.phone else None

    @property
    def masked_email(self) -> str | None:
        """The e-mail address as others may see it; None without one."""
        return masked_email(self.email) if self.email else None
