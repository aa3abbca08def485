"""What the metrics of a machine were at a moment."""

from typing import override

from django.db import models
from django.utils.translation import gettext_lazy as _

from ops.updated_at import Mutable


class MetricSample(Mutable):
    """All readings of one machine at one moment: a series, as /metrics writes it, and its value.

    One row for all of them, since they are taken and thinned together. `host` is the id of the
    machine (`ops.services.machine`), which begins with a name of its host.
    """

    host = models.CharField(_("machine"), max_length=100)
    taken_at = models.DateTimeField(_("taken at"))
    readings = models.JSONField(_("readings"))

    class Meta:
        verbose_name = _("metric sample")
        verbose_name_plural = _("metric samples")
        constraints = [
            models.UniqueConstraint(fields=["host", "taken_at"], name="metricsample_once"),
        ]
        indexes = [models.Index(fields=["-taken_at"], name="metricsample_newest")]

    @override
    def __str__(self) -> str:
        return f"{self.host} {self.taken_at:%Y-%m-%d %H:%M:%S}"


class ChartSample(Mutable):
    """The few figures of a sample that charts are drawn from, by the name of the figure.

    A row of its own: readings have hundreds of series, and charts look at thousands of moments.
    """

    host = models.CharField(_("machine"), max_length=100)
    taken_at = models.DateTimeField(_("taken at"))
    figures = models.JSONField(_("figures"))

    class Meta:
        verbose_name = _("figures of charts")
        verbose_name_plural = _("figures of charts")
        constraints = [
            models.UniqueConstraint(fields=["host", "taken_at"], name="chartsample_once"),
        ]
        indexes = [models.Index(fields=["-taken_at"], name="chartsample_newest")]

    @override
    def __str__(self) -> str:
        return f"{self.host} {self.taken_at:%Y-%m-%d %H:%M:%S}"
