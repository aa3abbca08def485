"""The accounts of the demo, by which anybody could enter: what they are, and whether they are here.

The audit trail says that the demo was loaded, and nobody takes that out of it.
"""

import logging

from django.conf import settings
from django.contrib.auth.hashers import is_password_usable
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from accounts.models import User, UserStatus
from ops.models import AuditEntry

logger = logging.getLogger(__name__)

ADMIN_NAME = "admin"
CUSTOMER_PHONE = "13800138001"
MERCHANT_PHONE = "13900139001"
PHONES = frozenset({CUSTOMER_PHONE, MERCHANT_PHONE})


def is_loaded() -> bool:
    """Whether the demo was ever loaded into this database."""
    return AuditEntry.objects.filter(action="demo.load").exists()


def default_accounts() -> list[str]:
    """Names of the demo's accounts that open the console still; none where it was never loaded.

    The administrator's counts until somebody sets another password than the one that was printed.
    The owner's counts by its phone: it is in these pages, and somebody's who may ask for a code.
    """
    if not is_loaded():
        return []
    found = []
    active = User.objects.filter(status=UserStatus.ACTIVE, is_staff=True)
    # Columns by name: this is asked before the tables are as this version has them.
    for pk, password in active.filter(username=ADMIN_NAME).values_list("pk", "password"):
        own = AuditEntry.objects.filter(
            action="user.set_password", object_type="accounts.user", object_id=str(pk)
        )
        if password and is_password_usable(password) and not own.exists():
            found.append(ADMIN_NAME)
    if active.filter(phone=MERCHANT_PHONE).exists():
        found.append(MERCHANT_PHONE)
    return found


def refuse_default_accounts() -> None:
    """Raise ImproperlyConfigured outside of DEBUG while the demo's accounts open the console.

    A database that cannot be asked is logged instead: the start goes on.
    """
    if settings.DEBUG:
        return
    try:
        names = default_accounts()
    except DatabaseError as error:
        logger.warning("The accounts of the demo could not be looked for: %s", error)
        return
    if names:
        raise ImproperlyConfigured(
            f"Accounts of the demo are open, and whoever read its pages could enter: "
            f"{', '.join(names)}. Set a password (manage.py set_password) or deactivate them."
        )
