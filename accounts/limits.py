"""What sign-in takes before it stops listening, and how much the profile takes."""

from datetime import timedelta

from django.conf import settings

WRONG_TRIES = 5  # of one code
LONGEST_DEVICE_INFO = 2000  # characters
LONGEST_WECHAT_CODE = 512  # characters

EMAIL_LINK_LIFETIME = timedelta(hours=24)
# So many links a person may ask for in a day, and so many are sent to one mailbox.
EMAIL_LINKS_A_DAY = 5
RESEND_LINK_AFTER = timedelta(seconds=60)


def largest_avatar() -> int:
    """The size of the largest picture that is taken, in bytes: the setting RECEIPT_MAX_BYTES."""
    size: int = settings.RECEIPT_MAX_BYTES
    return size


def largest_avatar_in_megabytes() -> str:
    """The same for people, e.g. 10 or 10.5."""
    return f"{largest_avatar() / 2**20:g}"
