from django.db.models import Q
from django.utils.translation import gettext as _
from rest_framework import serializers

from accounts.errors import InvalidPhone
from catalog.errors import ExchangeCodeUnknown, InvalidQuantity
from catalog.limits import MAX_QUANTITY
from catalog.models import Category, OrderStatus, Shop, ShopMember, ShopRole
from catalog.outputs import OrderOutput
from ops.api.fields import IdentifierField, IdentifierTextField, TextField, WholeNumberField
from ops.identifiers import find, read_identifier

SORTS = {
    "newest": ("-id",),
    "points": ("points_price", "id"),
    "-points": ("-points_price", "-id"),
    "sales": ("-sales_count", "-id"),
}


class MallQuery(serializers.Serializer):
    category = serializers.CharField(required=False, help_text="Its name or its id.")
    search = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=100,
        help_text="In name and description; empty as if left out.",
    )
    shop = IdentifierTextField(required=False, help_text="The id of a shop.")
    min_points = serializers.IntegerField(required=False, min_value=0)
    max_points = serializers.IntegerField(required=False, min_value=0)
    affordable = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Only what the person's points cover; strangers get everything.",
    )
    sort = serializers.ChoiceField(choices=list(SORTS), required=False, default="newest")

    def validate_category(self, text):
        is_meant = Q(name=text)
        if (pk := read_identifier(text)) is not None:
            is_meant |= Q(pk=pk)
        found = Category.objects.filter(is_meant).first()
        if found is None:
            raise serializers.ValidationError(_("There is no such category."))
        return found

    def validate_shop(self, text):
        found = find(Shop.objects.all(), read_identifier(text))
        if found is None:
            raise serializers.ValidationError(_("There is no such shop."))
        return found


class OrdersQuery(serializers.Serializer):
    status = serializers.ChoiceField(choices=OrderStatus.choices, required=False)


class ExchangeInput(serializers.Serializer):
    refusals = {"quantity": InvalidQuantity}

    product_id = IdentifierField(is_needed=True)
    quantity = WholeNumberField(required=False, default=1, min_value=1, max_value=MAX_QUANTITY)


class RedeemInput(serializers.Serializer):
    refusals = {"exchange_code": ExchangeCodeUnknown}

    exchange_code = TextField(help_text="Case, spaces and hyphens do not matter.")


MEMBER_STATUSES = ("active", "invited")
NAMED_BY = ("phone", "member_id", "invitation_id")
DECISIONS = ("accept", "decline")


class MembersQuery(serializers.Serializer):
    status = serializers.ChoiceField(
        choices=MEMBER_STATUSES,
        required=False,
        default="active",
        help_text="Those who work there, or those who were invited and have not answered.",
    )


class SecondFactorInput(serializers.Serializer):
    """What whoever has a second factor of the console sends beside a change of members."""

    second_factor = TextField(
        required=False,
        allow_blank=True,
        max_length=64,
        help_text="Six digits of the phone, or a recovery code; for whoever has a second factor.",
    )


class InvitationInput(SecondFactorInput):
    refusals = {"phone": InvalidPhone}

    phone = TextField(help_text="The whole number; it need not have an account.")
    role = serializers.ChoiceField(choices=ShopRole.choices)


class WhichMember(SecondFactorInput):
    """Exactly one of these names somebody who works at the shop, or was invited to."""

    refusals = {"phone": InvalidPhone}

    phone = TextField(required=False, help_text="The whole number.")
    member_id = IdentifierField(help_text="In the place of the phone.")
    invitation_id = IdentifierField(help_text="In the place of the phone.")

    def validate(self, named):
        given = [name for name in NAMED_BY if name in self.initial_data]
        if len(given) != 1:
            text = _("Name somebody by one of these: phone, member_id, invitation_id.")
            raise serializers.ValidationError({given[-1] if given else "phone": [text]})
        return named


class WhoGoesQuery(serializers.Serializer):
    member_id = IdentifierTextField(required=False, help_text="Who works there.")
    invitation_id = IdentifierTextField(required=False, help_text="Who was invited.")


class RoleInput(WhichMember):
    role = serializers.ChoiceField(choices=ShopRole.choices)


class InvitationAnswerInput(serializers.Serializer):
    decision = serializers.ChoiceField(choices=DECISIONS)


class MemberPersonOutput(serializers.Serializer):
    nickname = serializers.CharField(allow_null=True)
    mobile = serializers.CharField(allow_null=True)


class MemberOutput(serializers.Serializer):
    """Somebody who works at a shop, or was invited to: of the latter nothing but the phone."""

    member_id = serializers.IntegerField(allow_null=True)
    invitation_id = serializers.IntegerField(allow_null=True)
    status = serializers.ChoiceField(choices=MEMBER_STATUSES)
    role = serializers.ChoiceField(choices=ShopRole.choices)
    user = MemberPersonOutput()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, row):
        if isinstance(row, ShopMember):
            said = {
                "member_id": row.pk,
                "invitation_id": None,
                "status": "active",
                "user": {"nickname": row.person.nickname, "mobile": row.person.masked_phone},
                "expires_at": None,
            }
        else:
            said = {
                "member_id": None,
                "invitation_id": row.pk,
                "status": "invited",
                "user": {"nickname": None, "mobile": row.masked_phone},
                "expires_at": row.expires_at,
            }
        return super().to_representation({**said, "role": row.role, "created_at": row.created_at})


class ShopOutput(serializers.ModelSerializer):
    shop_id = serializers.IntegerField(source="pk")
    open = serializers.BooleanField(source="is_open")

    class Meta:
        model = Shop
        fields = ["shop_id", "name", "address", "open"]


class InvitationOutput(serializers.Serializer):
    invitation_id = serializers.IntegerField(source="pk")
    shop = ShopOutput()
    role = serializers.ChoiceField(choices=ShopRole.choices)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()


class AnsweredOutput(serializers.Serializer):
    """What came of an answer: where somebody works now, and as what; nulls where they declined."""

    shop_id = serializers.IntegerField(allow_null=True)
    role = serializers.ChoiceField(choices=ShopRole.choices, allow_null=True)


class CategoryOutput(serializers.ModelSerializer):
    category_id = serializers.IntegerField(source="pk")

    class Meta:
        model = Category
        fields = ["category_id", "name"]


class ExchangeOutput(serializers.Serializer):
    exchange_id = serializers.IntegerField()
    exchange_code = serializers.CharField()
    remaining_points = serializers.IntegerField()
    points_version = serializers.IntegerField()
    order = OrderOutput()
