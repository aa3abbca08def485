"""What one order and one change of stock may be."""

MAX_QUANTITY = 99  # units
LONGEST_REASON = 200  # characters, of a change of stock
