"""What people are told of a limit is the limit in force."""

import pytest
from django.utils import translation

from accounts import errors as people
from accounts.limits import WRONG_TRIES
from catalog import errors as catalog
from catalog.limits import MAX_QUANTITY
from lottery import errors as lottery
from lottery.limits import MAX_COUNT
from reviews import errors as reviews
from reviews import serializers
from reviews.limits import LARGEST_AMOUNT, LEAST_AMOUNT, MOST_POINTS


@pytest.mark.parametrize(
    ("refusal", "limits"),
    [
        (people.CodeVoid(retry_after=1), [WRONG_TRIES]),
        (catalog.InvalidQuantity(), [MAX_QUANTITY]),
        (lottery.InvalidCount(), [MAX_COUNT]),
        (reviews.InvalidAmount(), [LEAST_AMOUNT, LARGEST_AMOUNT]),
        (reviews.InvalidDecision(), [MOST_POINTS]),
    ],
)
@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_a_refusal_names_the_limit(refusal, limits, language):
    with translation.override(language):
        assert all(str(limit) in str(refusal) for limit in limits)


def test_the_size_of_a_photo_is_the_setting(settings):
    assert "10 MB" in str(reviews.ImageTooLarge())
    settings.RECEIPT_MAX_BYTES = 12 * 2**20
    settings.RECEIPT_MAX_PIXELS = 48_000_000
    assert "12 MB" in str(reviews.ImageTooLarge())
    shown = str(serializers.UploadInput().fields["image"].help_text)
    assert "12 MB" in shown
    assert "48 megapixels" in shown
