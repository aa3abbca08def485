"""What one order, one change of stock and one invitation may be."""

from datetime import timedelta

MAX_QUANTITY = 99  # units
LONGEST_REASON = 200  # characters, of a change of stock
INVITATION_LIFETIME = timedelta(days=14)
MOST_INVITATIONS = 50  # pending ones of a shop
INVITATIONS_AN_HOUR = 30  # by one person, at whatever shop
