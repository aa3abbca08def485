"""What one request and one prize may be."""

from decimal import Decimal

MAX_COUNT = 10  # draws of one request
MAX_PRIZE_VALUE = Decimal(50_000)  # yuan; China's SAMR order 32
