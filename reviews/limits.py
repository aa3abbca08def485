"""What is taken of a photo, of a receipt and of a decision."""

from decimal import Decimal

from django.conf import settings

LEAST_AMOUNT = Decimal("0.01")  # yuan
LARGEST_AMOUNT = Decimal("9999.99")  # yuan
MOST_POINTS = 100_000  # that one decision may give
LONGEST_REASON = 500  # characters
SHORTEST_SIDE, LONGEST_SIDE = 100, 12_000  # pixels, of the picture of a receipt
UTMOST_SHAPE = 20  # how many times its shorter side the longer one is


def is_shape_of_receipt(width: int, height: int) -> bool:
    """Whether a picture of these sides, in pixels, can be one of a receipt."""
    short, long = min(width, height), max(width, height)
    return short >= SHORTEST_SIDE and long <= min(LONGEST_SIDE, short * UTMOST_SHAPE)


def largest_photo() -> int:
    """The size of the largest photo that is taken, in bytes: the setting RECEIPT_MAX_BYTES."""
    size: int = settings.RECEIPT_MAX_BYTES
    return size


def largest_photo_in_megabytes() -> str:
    """The same for people, e.g. 10 or 10.5."""
    return f"{largest_photo() / 2**20:g}"


def most_pixels() -> int:
    """The most pixels that a photo may have: the setting RECEIPT_MAX_PIXELS."""
    pixels: int = settings.RECEIPT_MAX_PIXELS
    return pixels
