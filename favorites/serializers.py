from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from catalog.outputs import COLUMNS_OF_PRODUCTS, ProductOutput, product_items
from ops.api.fields import IdentifierField
from ops.api.rows import Writer, rows_through, through
from ops.identifiers import read_identifier

MAX_CHECKED = 100
LONGEST_KEY = 40


class FavoriteInput(serializers.Serializer):
    product_id = IdentifierField(is_needed=True)


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string"}]})
class KeyField(serializers.Field):
    """An id as a number or as text: the answer's keys are text, and may be sent back."""

    default_error_messages = {
        "invalid": _("An id is a number or a text."),
        "max_length": _("An id as text has at most {limit} characters."),
        "unprintable": _("An id as text has visible characters alone."),
    }

    def to_internal_value(self, data):
        if isinstance(data, bool) or not isinstance(data, int | str):
            self.fail("invalid")
        key = str(data)
        if len(key) > LONGEST_KEY:
            self.fail("max_length", limit=LONGEST_KEY)
        if not key.isprintable():
            self.fail("unprintable")
        return key


class CheckInput(serializers.Serializer):
    product_ids = serializers.ListField(child=KeyField(), max_length=MAX_CHECKED)

    def validate_product_ids(self, keys):
        return {key: read_identifier(key) for key in keys}


class FavoriteOutput(ProductOutput):
    """A product of the mall; `status` is `inactive` once it was withdrawn."""

    favorited_at = serializers.DateTimeField()


COLUMNS_OF_FAVORITES = ("id", "created_at", *through("product", COLUMNS_OF_PRODUCTS))


def favorite_items(request, rows):
    """Favorites as `FavoriteOutput` shows them, from their columns."""
    write = Writer(request)
    products = [*rows_through("product", COLUMNS_OF_PRODUCTS, rows)]
    items = product_items(request, products, is_favorite=True)
    return [
        {**item, "favorited_at": write.moment(row["created_at"])}
        for item, row in zip(items, rows, strict=True)
    ]


class FavoriteStateOutput(serializers.Serializer):
    product_id = serializers.IntegerField()
    is_favorite = serializers.BooleanField(default=True)
    favorited_at = serializers.DateTimeField(source="created_at")
