"""The settings of the platform with an app that does something after a restore."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as OURS

INSTALLED_APPS = [*OURS, "ops.tests.after_restore_probe.apps.ProbeConfig"]
