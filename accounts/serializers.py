from typing import Literal

import orjson
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import validate_email
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.errors import InvalidPhone, NoImage, WeChatRefused, WrongCode
from accounts.limits import (
    LONGEST_DEVICE_INFO,
    LONGEST_WECHAT_CODE,
    largest_avatar_in_megabytes,
)
from accounts.models import (
    DeviceSession,
    PointsEntry,
    PointsSource,
    User,
    check_nickname,
    tidy_nickname,
)
from accounts.services import profile
from ops.api.fields import FlagField, TextField
from ops.api.rows import Writer
from ops.errors import NotSignedIn
from ops.request_context import request_at_hand
from ops.services import files

# As ECMAScript writes what `PHONE_PATTERN` says.
PHONE = settings.PHONE_PATTERN.replace(r"\A", "^").replace(r"\Z", "$")
DEVICE_FACTS = ("platform", "model", "os_version", "app_version")


@extend_schema_field({"type": "string", "pattern": PHONE, "examples": ["13800138001"]})
class PhoneField(TextField):
    """A phone number; the service says which ones are served."""

    def __init__(self, **kwargs):
        super().__init__(help_text="Of the regions that this deployment serves.", **kwargs)


@extend_schema_field({"type": "string", "pattern": "^[0-9]{6}$", "examples": ["123456"]})
class SignInCodeField(TextField):
    """A code as it came by SMS."""


@extend_schema_field(
    {
        "type": "object",
        "properties": {name: {"type": "string"} for name in DEVICE_FACTS},
        "additionalProperties": True,
    }
)
class DeviceInfoField(serializers.JSONField):
    """What an app says of its device: any JSON, so that no app is refused for it."""


class OfDevice(serializers.Serializer):
    """What every sign-in may say of its device."""

    device_info = DeviceInfoField(
        required=False,
        allow_null=True,
        help_text=f"Shown to the person among their devices. At most {LONGEST_DEVICE_INFO} "
        "characters; more members than these may be sent.",
    )

    def validate_device_info(self, value):
        if len(str(value)) > LONGEST_DEVICE_INFO:
            limit = {"limit": LONGEST_DEVICE_INFO}
            raise serializers.ValidationError(_("At most %(limit)d characters.") % limit)
        if not _can_be_kept(value):
            raise serializers.ValidationError(_("It holds a character or number that is none."))
        return value


class CodeInput(serializers.Serializer):
    refusals = {"phone": InvalidPhone}

    phone = PhoneField()


class LoginInput(OfDevice):
    refusals = {"phone": InvalidPhone, "code": WrongCode}

    phone = PhoneField()
    code = SignInCodeField(help_text="As it came by SMS.")


class WeChatInput(OfDevice):
    refusals = {"code": WeChatRefused, "phone_code": WeChatRefused}

    code = TextField(max_length=LONGEST_WECHAT_CODE, help_text="Of wx.login; it works once.")
    phone_code = TextField(
        required=False,
        max_length=LONGEST_WECHAT_CODE,
        help_text="Of the phone button: it proves a phone besides, which then belongs to the "
        "same account. It works once.",
    )


def _can_be_kept(value):
    """Whether JSON that could be read can be written too: no NUL, half character, huge number."""
    try:
        written = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return rb"\u0000" not in written and orjson.loads(written) == value


class RefreshInput(serializers.Serializer):
    refusals = {"refresh_token": NotSignedIn}

    refresh_token = TextField()


class LogoutInput(serializers.Serializer):
    everywhere = FlagField(required=False, default=False)


class ImageField(serializers.FileField):
    """A file as it was sent; whether it is a picture, and which, is not asked here."""

    def __init__(self, **kwargs):
        text = f"JPEG, PNG, WebP or HEIC, at most {largest_avatar_in_megabytes()} MB."
        super().__init__(**{"help_text": text, **kwargs})

    def to_internal_value(self, data):
        if not isinstance(data, UploadedFile):
            self.fail("invalid")
        return data


class NicknameField(TextField):
    """A nickname as it is kept. Made tidy first: NFC may be longer than what was sent."""

    def run_validation(self, data=serializers.empty):
        return super().run_validation(tidy_nickname(data) if isinstance(data, str) else data)


@extend_schema_field({"type": "string", "format": "email", "examples": ["wang@example.com"]})
class EmailField(TextField):
    """An address as it is kept: its host in lower case, which says the same."""

    def to_internal_value(self, data):
        name, at, host = super().to_internal_value(data).strip().rpartition("@")
        return f"{name}{at}{host.lower()}"


class ProfileInput(serializers.Serializer):
    nickname = NicknameField(required=False, max_length=40, validators=[check_nickname])
    email = EmailField(
        required=False,
        allow_null=True,
        max_length=254,
        validators=[validate_email],
        help_text="A link is sent there; the address counts once it was opened. Null: none.",
    )


class AvatarInput(serializers.Serializer):
    refusals = {"image": NoImage}

    image = ImageField()


class PointsQuery(serializers.Serializer):
    type = serializers.ChoiceField(choices=["earn", "spend"], required=False)
    source = serializers.ChoiceField(  # type: ignore[assignment]  # a field, not its argument
        choices=PointsSource.choices, required=False
    )


class CodeOutput(serializers.Serializer):
    expires_in = serializers.IntegerField(help_text="Seconds.")
    resend_after = serializers.IntegerField(help_text="Seconds.")


class TokenOutput(serializers.Serializer):
    access_token = serializers.CharField()
    refresh_token = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds.")


def avatar_address(person):
    """Where the picture of a person is seen, signed for a while; None without one."""
    if person.avatar_id is None:
        return None
    path, request = files.signed_path(person.avatar_id), request_at_hand()
    return request.build_absolute_uri(path) if request else path


class AvatarOutput(serializers.Serializer):
    avatar = serializers.SerializerMethodField()

    @extend_schema_field(serializers.URLField)
    def get_avatar(self, person):
        return avatar_address(person)


class StatisticsOutput(serializers.Serializer):
    draws = serializers.IntegerField()
    wins = serializers.IntegerField(help_text="Draws that gave a prize.")
    exchanges = serializers.IntegerField(help_text="Orders of the mall that were not taken back.")
    uploads = serializers.IntegerField(help_text="Receipts, whatever became of them.")
    points_earned = serializers.IntegerField(help_text="The sum of all entries of type earn.")
    points_spent = serializers.IntegerField(help_text="The same of type spend, without its sign.")


class UserOutput(serializers.ModelSerializer):
    """`user_info`, with what the apps above know about the person."""

    user_id = serializers.IntegerField(source="pk")
    mobile = serializers.CharField(source="masked_phone", allow_null=True)
    avatar = serializers.SerializerMethodField()
    tier = serializers.SerializerMethodField()
    is_merchant = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = [
            "user_id",
            "mobile",
            "nickname",
            "avatar",
            "total_points",
            "points_version",
            "is_merchant",
            "is_premium",
            "tier",
            "status",
        ]

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_avatar(self, person):
        return avatar_address(person)

    def get_tier(self, person) -> str | None:
        reached, _following = profile.tiers_around(person.lifetime_points)
        return reached.name if reached else None

    def get_is_merchant(self, person) -> bool:
        return profile.facts["is_merchant"](person)


class SignInOutput(serializers.Serializer):
    access_token = serializers.CharField(source="pair.access_token")
    refresh_token = serializers.CharField(source="pair.refresh_token")
    expires_in = serializers.IntegerField(source="pair.expires_in", help_text="Seconds.")
    is_new_user = serializers.BooleanField()
    user_info = UserOutput(source="person")


class VerifyOutput(serializers.Serializer):
    valid = serializers.BooleanField(help_text="Always true: a bad token is refused.")
    expires_at = serializers.DateTimeField()
    user_info = UserOutput()


class DeviceOutput(serializers.ModelSerializer):
    device_info = DeviceInfoField(
        allow_null=True, help_text="What the app said of the device when it signed in."
    )
    current = serializers.BooleanField(help_text="Whether it is the one that asks.")

    class Meta:
        model = DeviceSession
        fields = ["id", "device_info", "ip_address", "last_activity_at", "current"]


COLUMNS_OF_DEVICES = ("id", "device_info", "ip_address", "last_activity_at")


def device_items(request, rows):
    """Devices as `DeviceOutput` shows them, from their columns."""
    write = Writer(request)
    return [
        {
            "id": row["id"],
            "device_info": row["device_info"],
            "ip_address": row["ip_address"],
            "last_activity_at": write.moment(row["last_activity_at"]),
            "current": request.auth is not None and row["id"] == request.auth.pk,
        }
        for row in rows
    ]


class NextTierOutput(serializers.Serializer):
    name = serializers.CharField()
    missing_points = serializers.IntegerField()


class ProfileOutput(UserOutput):
    email = serializers.CharField(source="masked_email", allow_null=True)
    uploads_left_today = serializers.SerializerMethodField()
    next_tier = serializers.SerializerMethodField()

    class Meta(UserOutput.Meta):
        fields = [
            *UserOutput.Meta.fields,
            "email",
            "premium_until",
            "created_at",
            "last_login",
            "login_count",
            "lifetime_points",
            "uploads_left_today",
            "next_tier",
        ]

    def get_uploads_left_today(self, person) -> int:
        return profile.facts["uploads_left_today"](person)

    @extend_schema_field(NextTierOutput(allow_null=True))
    def get_next_tier(self, person):
        _reached, following = profile.tiers_around(person.lifetime_points)
        if following is None:
            return None
        missing = following.threshold - person.lifetime_points
        return NextTierOutput({"name": following.name, "missing_points": missing}).data


class PointsEntryOutput(serializers.ModelSerializer):
    version = serializers.IntegerField(source="sequence")
    type = serializers.SerializerMethodField()
    description = serializers.CharField(source="get_source_display")
    related_id = serializers.SerializerMethodField()

    class Meta:
        model = PointsEntry
        fields = [
            "id",
            "version",
            "type",
            "points",
            "source",
            "description",
            "balance_after",
            "related_id",
            "created_at",
        ]

    def get_type(self, entry) -> Literal["earn", "spend"]:
        return "earn" if entry.points > 0 else "spend"

    def get_related_id(self, entry) -> str | None:
        return entry.related_id or None


COLUMNS_OF_ENTRIES = (
    "id",
    "sequence",
    "points",
    "source",
    "balance_after",
    "related_id",
    "created_at",
)


def entry_items(request, rows):
    """Entries as `PointsEntryOutput` shows them, from their columns."""
    write = Writer(request)
    words = {source.value: str(source.label) for source in PointsSource}
    return [
        {
            "id": row["id"],
            "version": row["sequence"],
            "type": "earn" if row["points"] > 0 else "spend",
            "points": row["points"],
            "source": row["source"],
            "description": words[row["source"]],
            "balance_after": row["balance_after"],
            "related_id": row["related_id"] or None,
            "created_at": write.moment(row["created_at"]),
        }
        for row in rows
    ]
