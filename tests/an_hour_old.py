"""The platform's HTTP in a process that began an hour ago, for what is patient in the beginning."""

from config.wsgi import application
from ops import life_signs

__all__ = ["application"]

life_signs._begun -= 3600
