"""The console's pages, one module for each kind of row. Importing a module registers its pages."""

from accounts.admin import (
    console_devices,
    device_sessions,
    people,
    points,
    registration_marks,
    sign_in_codes,
    tiers,
)

__all__ = [
    "console_devices",
    "device_sessions",
    "people",
    "points",
    "registration_marks",
    "sign_in_codes",
    "tiers",
]
