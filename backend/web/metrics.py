"""What Prometheus reads: the numbers of the status, asked for at each visit, and those of this process."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from flask import current_app
from prometheus_client import CollectorRegistry, Metric, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from backend.errors import Busy
from backend.pipeline.status import status
from backend.storage.database import is_transient
from backend.web.context import runtime

KEY = "chimein-metrics"

logger = logging.getLogger(__name__)


def registry() -> CollectorRegistry:
    """The registry of the application that answers the current request."""
    found: CollectorRegistry = current_app.extensions[KEY]
    return found


def build_registry(version: str) -> CollectorRegistry:
    """A registry of its own, so that two applications in one process do not meet."""
    built = CollectorRegistry()
    ProcessCollector(registry=built)
    PlatformCollector(registry=built)
    built.register(_Status(version))
    return built


class _Status(Collector):
    """The status as gauges: `{"pending_events": 3}` becomes `chimein_pending_events 3`."""

    def __init__(self, version: str) -> None:
        self._version = version

    def collect(self) -> Iterable[Metric]:
        info = GaugeMetricFamily("chimein_build_info", "Which version runs; always 1.", labels=["version"])
        info.add_metric([self._version], 1)
        yield info
        try:
            numbers = status(runtime())
        except Exception as error:
            if not (isinstance(error, Busy) or is_transient(error)):
                raise
            logger.warning("the status cannot be had: %s", error)
            yield GaugeMetricFamily("chimein_up", "Whether log and database answer.", value=0)
            return
        yield GaugeMetricFamily("chimein_up", "Whether log and database answer.", value=1)
        for name, value in _numbers(numbers):
            yield GaugeMetricFamily(f"chimein_{name}", f"{name.replace('_', ' ')}, as in /api/v1/status", value=value)

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked at registration: the database may not be up yet."""
        return []


def _numbers(values: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, (int, float)):
            yield name, float(value)
