"""What is taken of a receipt and of a decision; sizes of pictures are settings."""

from decimal import Decimal

LEAST_AMOUNT = Decimal("0.01")  # yuan
LARGEST_AMOUNT = Decimal("9999.99")  # yuan
MOST_POINTS = 100_000  # that one decision may give
