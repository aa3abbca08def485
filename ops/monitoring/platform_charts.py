"""The charts of what the platform tells of itself. Importing it declares them."""

from django.utils.translation import gettext_lazy as _

from ops import metrics
from ops.charts import Chart, Group, Shows
from ops.logs import counts
from ops.measures import measures
from ops.monitoring.metrics import QUEUE_OLDEST

MEGABYTE = 1024**2

REQUESTS = Chart(
    name="requests",
    title=_("Requests"),
    group=Group.SERVING,
    measure=counts.REQUESTS,
    shows=Shows.COUNT,
)
ERRORS = Chart(
    name="errors",
    title=_("Requests that failed (5xx)"),
    group=Group.SERVING,
    measure=counts.REQUESTS,
    labels={"status": "5*"},
    shows=Shows.COUNT,
)
SECONDS = Chart(
    name="request_seconds",
    title=_("Time of an answer, on average"),
    group=Group.SERVING,
    measure=counts.REQUEST_SECONDS,
    shows=Shows.MEAN,
    unit=_("ms"),
    scale=1000,
)
SLOW = Chart(
    name="slow_requests",
    title=_("Slow requests"),
    group=Group.SERVING,
    measure=measures["platform_slow_requests_total"],
    shows=Shows.COUNT,
)
MEMORY = Chart(
    name="memory",
    title=_("Memory of the processes"),
    group=Group.WORKING,
    measure=metrics.MEMORY,
    shows=Shows.LEVEL,
    unit=_("MB"),
    scale=1 / MEGABYTE,
)
CPU = Chart(
    name="cpu",
    title=_("CPU time of the processes"),
    group=Group.WORKING,
    measure=metrics.CPU_SECONDS,
    shows=Shows.PER_SECOND,
    unit=_("percent of a core"),
    scale=100,
)
CONNECTIONS = Chart(
    name="connections",
    title=_("Database connections in use"),
    group=Group.SERVING,
    measure=metrics.POOL_CONNECTIONS,
    labels={"state": "used"},
    shows=Shows.LEVEL,
)
SOCKETS = Chart(
    name="sockets",
    title=_("Open sockets"),
    group=Group.SERVING,
    measure=metrics.SOCKETS_OPEN,
    shows=Shows.LEVEL,
)
QUEUE = Chart(
    name="queue_oldest",
    title=_("Age of the oldest task in the queue"),
    group=Group.WORKING,
    measure=QUEUE_OLDEST,
    shows=Shows.LEVEL,
    unit=_("s"),
)
