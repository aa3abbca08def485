"""What one order may be."""

MAX_QUANTITY = 99  # units
