"""Metrics for Prometheus, named and labelled as those of Argo CD and Flux.

Labels only have values of this program's own, and the names of servers: so the number of series is bounded.
"""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from reconciler.model.outcome import ServerStatus
from reconciler.version import VERSION
from reconciler.watch.records import BROKER_NOTICE, SOURCE_NOTICE, ServerState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from reconciler.watch.records import Overview, ServerRecord

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

RESULTS: Final[Mapping[str, str]] = {
    "planned": "There were changes, and none was written: they are held, or the server is suspended. The page says "
    '"planned only".',
    ServerStatus.UNCHANGED.value: "The server was as declared.",
    ServerStatus.APPLIED.value: "What may be written was written; other changes may be held.",
    ServerStatus.FAILED.value: "The server, or the connection to it, had an error.",
    ServerStatus.UNREACHABLE.value: "The server is down or out of reach.",
    ServerStatus.UNKNOWN.value: "A write may or may not have arrived.",
    ServerStatus.REFUSED.value: "A guard refused the plan.",
    ServerStatus.NOT_ATTEMPTED.value: "The server waits for its turn, or the rollout had stopped or was superseded.",
}
"""The results of runs, with their meanings."""

CAUSES: Final[Mapping[str, str]] = {
    SOURCE_NOTICE: "The newest version of the manifests is not in force.",
    BROKER_NOTICE: "With `watch --engine`: the broker does not respond, so that no server is checked or written.",
    "rollout_stopped": "Too many servers failed, and the commit goes no further.",
    "round_failed": "A round failed as a whole.",
    "state_lost": "The state directory was corrupt, and the watcher began a new one.",
    "state_not_read": "The state directory cannot be read.",
    "state_not_saved": "The state directory cannot be written.",
    "history_not_read": "The history of runs cannot be read.",
}
"""What notices may be about, with their meanings; alerts name them."""

_OTHER: Final = "other"
_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)

_HEALTH: Final[Mapping[ServerState, str]] = {
    ServerState.SYNCED: "Healthy",
    ServerState.PENDING: "Progressing",
    ServerState.DRIFTED: "Degraded",
    ServerState.SUSPENDED: "Suspended",
    ServerState.STOPPED: "Degraded",
    ServerState.REFUSED: "Degraded",
    ServerState.FAILED: "Degraded",
    ServerState.UNREACHABLE: "Degraded",
    ServerState.UNKNOWN: "Unknown",
}


class Metrics:
    """Counts runs, and writes what Prometheus reads. Thread-safe."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._runs = Counter("reconciler_reconcile", "Runs on servers, by result.", ["result"], registry=self._registry)
        for result in RESULTS:
            self._runs.labels(result)
        self._seconds = Histogram(
            "reconciler_reconcile_duration_seconds",
            "Duration of a run on one server.",
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def count_run(self, result: str, seconds: float) -> None:
        """Counts a run on one server; ``result`` is that of its ``RunRecord``."""
        self._runs.labels(result if result in RESULTS else _OTHER).inc()
        self._seconds.observe(max(seconds, 0.0))

    def render(self, overview: Overview) -> bytes:
        """All metrics, in the format of ``CONTENT_TYPE``. Those of servers are of the ones that exist now."""
        return generate_latest(_Families(self._families(overview)))

    def _families(self, overview: Overview) -> Iterator[Metric]:
        for family in self._registry.collect():
            # When a series began is of no use to Prometheus' text format, which would show it as a metric of its own.
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
        yield _gauge("reconciler_build_info", "The version that runs.", ("version",), [((VERSION,), 1)])
        yield from _fleet_gauges(overview)
        yield from _server_gauges(overview.servers)


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """As prometheus-client asks for them."""
        return self._families


def sync_of(record: ServerRecord) -> str:
    """Argo CD's word for whether a server is as declared. A suspended one is never ``Synced``."""
    if record.state is ServerState.SYNCED:
        return "Synced"
    if record.state in {ServerState.UNKNOWN, ServerState.UNREACHABLE}:
        return "Unknown"
    in_doubt = record.state in {ServerState.SUSPENDED, ServerState.STOPPED, ServerState.FAILED} and not record.changes
    return "Unknown" if in_doubt else "OutOfSync"


def health_of(record: ServerRecord) -> str:
    """Argo CD's word for how a server is."""
    return _HEALTH[record.state]


def _fleet_gauges(overview: Overview) -> Iterator[Metric]:
    states = Tally(record.state for record in overview.servers)
    yield _gauge(
        "reconciler_servers",
        "Servers, by state.",
        ("state",),
        [((state.value,), states[state]) for state in ServerState],
    )
    causes = Tally(cause if cause in CAUSES else _OTHER for cause in overview.notices)
    yield _gauge(
        "reconciler_notices",
        "What is wrong with the watcher or its source; the page shows it in words.",
        ("about",),
        [((cause,), causes[cause]) for cause in (*CAUSES, _OTHER)],
    )


def _server_gauges(servers: Iterable[ServerRecord]) -> Iterator[Metric]:
    yield _gauge(
        "reconciler_server_info",
        "Whether a server is as declared (sync), and how it is (health).",
        ("server", "sync", "health"),
        [((one.name, sync_of(one), health_of(one)), 1) for one in servers],
    )
    yield _gauge(
        "reconciler_server_state",
        "The state of a server, in the words of the page.",
        ("server", "state"),
        [((one.name, one.state.value), 1) for one in servers],
    )
    numbers: Mapping[tuple[str, str], Callable[[ServerRecord], float | None]] = {
        ("reconciler_drift_accounts", "Accounts that were changed on the server; absent while that is not known."): (
            lambda one: one.drift if one.is_drift_known else None
        ),
        ("reconciler_last_success_timestamp_seconds", "When a server was last as declared; absent if it never was."): (
            lambda one: one.last_success.timestamp() if one.last_success else None
        ),
    }
    for (name, words), number in numbers.items():
        known = [((one.name,), value) for one in servers if (value := number(one)) is not None]
        yield _gauge(name, words, ("server",), known)


def _gauge(
    name: str, words: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=labels)
    for names, value in values:
        family.add_metric([name.encode("utf-8", "replace").decode() for name in names], value)
    return family
