"""A sign of life to an address outside: when it stays away, somebody there says that we are silent.

Services such as healthchecks.io or Uptime Kuma give such an address.
"""

import requests
from django.conf import settings

from ops.monitoring.channels import TIME_LIMIT, NotDelivered


def beat() -> None:
    """Ask for ALERT_HEARTBEAT_URL once, where there is one.

    Raises NotDelivered when nobody takes it; without the address, which is a secret.
    """
    if not settings.ALERT_HEARTBEAT_URL:
        return
    try:
        answer = requests.get(
            settings.ALERT_HEARTBEAT_URL, timeout=TIME_LIMIT, allow_redirects=False, stream=True
        )
        answer.close()
    except requests.RequestException as error:
        raise NotDelivered(type(error).__name__) from None
    if not answer.ok:
        raise NotDelivered(f"HTTP {answer.status_code}")
