"""System checks: a setting that names a class has to name one that is there."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, register
from django.utils.module_loading import import_string

NAMES_A_CLASS = ("SMS_SENDER", "RECEIPT_READER")


@register()
def classes_are_there(**_options: Any) -> list[Error]:
    """Name the settings whose class cannot be imported, before the first use finds out."""
    errors = []
    for name in NAMES_A_CLASS:
        try:
            import_string(getattr(settings, name))
        except ImportError as error:
            errors.append(Error(f"{name} names no class: {error}.", id="config.E001"))
    return errors
