"""A sign of life to an address outside: when it stays away, somebody there says that we are silent.

Services such as healthchecks.io or Uptime Kuma give such an address.
"""

import requests
from django.conf import settings

from ops.monitoring.channels import TIME_LIMIT


def beat() -> str:
    """Ask for ALERT_HEARTBEAT_URL once; returns what was answered, empty where there is none.

    Raises requests.RequestException when nobody takes it.
    """
    if not settings.ALERT_HEARTBEAT_URL:
        return ""
    answer = requests.get(settings.ALERT_HEARTBEAT_URL, timeout=TIME_LIMIT, allow_redirects=False)
    answer.raise_for_status()
    return f"HTTP {answer.status_code}"
