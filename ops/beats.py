"""What every process does by itself for the platform."""

from ops.services import live_settings, maintenance
from ops.services.pulse import Beat, beats


def register() -> None:
    """Register the beats of the platform itself."""
    beats.register("live settings", Beat(live_settings.refresh, every=live_settings.REFRESH_EVERY))
    beats.register("maintenance", Beat(maintenance.keep_up, every=maintenance.READ_EVERY))
