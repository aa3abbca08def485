"""The demo shop: who can sign in, what there is to win and to exchange."""

from django.conf import settings

from config.development import kept_secret

CUSTOMER_PHONE = "13800138001"
MERCHANT_PHONE = "13900139001"


def console_password() -> str:
    """The demo administrator's password: made once per DATA_DIR, printed by `serve`."""
    return kept_secret(settings.DATA_DIR / "secrets" / "console_password", length=9)
