"""Live settings in tests: one that is set as staff would."""

from typing import Any

from ops.services import live_settings
from ops.setting_kinds import Setting


def set_live(setting: Setting[Any], value: Any, **facts: Any) -> None:
    """Change a setting; it is in force at once, and at its default again in the next test."""
    assert live_settings.change(key=setting.key, value=value, **facts)
    assert setting.value == value
