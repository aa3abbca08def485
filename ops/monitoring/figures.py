"""The few figures of a sample that charts need: what their series come to together."""

from collections.abc import Mapping

from ops.charts import Figure, charts
from ops.monitoring.series import Series


def of(readings: Mapping[Series, float]) -> dict[str, float]:
    """The figures of all charts, by name.

    What only grows is 0 where nothing was counted yet. Of what is read, nothing is said where it
    could not be read.
    """
    wanted: dict[str, list[Figure]] = {}
    found: dict[str, float] = {}
    for figure in {figure for chart in charts.values() for figure in chart.figures}:
        wanted.setdefault(figure.metric, []).append(figure)
        if figure.only_grows:
            found[figure.name] = 0.0
    for series, value in readings.items():
        for figure in wanted.get(series.metric, ()):
            if series.has(dict(figure.labels)):
                found[figure.name] = found.get(figure.name, 0.0) + value
    return found
