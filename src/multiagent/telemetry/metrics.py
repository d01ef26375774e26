"""What a process counts, as Prometheus reads it. What is counted is told; what is only looked at is asked for then."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from multiagent.core.errors import ConfigInvalid
from multiagent.core.money import PICO
from multiagent.core.usage import Usage
from multiagent.telemetry.pages import Page, Pages

if TYPE_CHECKING:
    from prometheus_client import Counter
    from prometheus_client.core import GaugeMetricFamily

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0)
"""The upper bounds of the buckets of how long steps take."""

StepEnd = Literal["completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Look:
    """A gauge that is asked for its values, by the value of its ``label``, when somebody reads the metrics."""

    name: str
    help: str
    label: str
    read: Callable[[], Mapping[str, float]]


class Spending(Protocol):
    """One line of the bill."""

    @property
    def vendor(self) -> str:
        """Whose model answered."""
        ...

    @property
    def model(self) -> str:
        """Which model answered."""
        ...

    @property
    def usage(self) -> Usage:
        """Its tokens."""
        ...

    @property
    def cost_pico(self) -> int:
        """What it cost."""
        ...

    @property
    def saved_pico(self) -> int:
        """What a cache saved."""
        ...


class Metrics:
    """The counters of one process, in a registry of its own."""

    def __init__(self) -> None:
        try:
            import prometheus_client as client
        except ImportError:
            raise ConfigInvalid('metrics need prometheus-client; install it: pip install "multiagent[serve]"') from None
        client.disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no types
        self._client = client
        self._registry = client.CollectorRegistry()
        client.ProcessCollector(registry=self._registry)
        self._looks: dict[str, Look] = {}
        self._registry.register(_Looking(self._looks))
        step, model = ("step", "queue"), ("vendor", "model")
        self._steps = self._counter("steps", "Steps that ended here", *step, "status")
        self._running = client.Gauge(
            "multiagent_steps_in_flight", "Steps that run here now", step, registry=self._registry
        )
        self._seconds = client.Histogram(
            "multiagent_step_seconds", "How long steps ran here", step, registry=self._registry, buckets=SECONDS
        )
        self._tasks = self._counter("tasks", "Tasks whose submission or end was stored by this process", "status")
        self._calls = self._counter("model_calls", "Model calls that this process booked", *model)
        self._tokens = self._counter("tokens", "Tokens that this process booked", *model, "kind")
        self._cost = self._counter("cost_usd", "US dollars that this process booked", *model)
        self._saved = self._counter("saved_usd", "US dollars that caches saved", *model)

    def _counter(self, name: str, told: str, *labels: str) -> "Counter":
        return self._client.Counter(f"multiagent_{name}", told, labels, registry=self._registry)

    def step_began(self, step: str, queue: str) -> None:
        """Count a step that begins."""
        self._running.labels(step, queue).inc()

    def step_ended(self, step: str, queue: str, status: StepEnd, seconds: float) -> None:
        """Count a step that ended; it was counted as it began."""
        self._running.labels(step, queue).dec()
        self._steps.labels(step, queue, status).inc()
        self._seconds.labels(step, queue).observe(seconds)

    def task(self, status: str) -> None:
        """Count a task that was submitted or has ended."""
        self._tasks.labels(status).inc()

    def spent(self, line: Spending) -> None:
        """Count a line of the bill."""
        of = (line.vendor, line.model)
        self._calls.labels(*of).inc()
        self._tokens.labels(*of, "prompt").inc(line.usage.prompt)
        self._tokens.labels(*of, "completion").inc(line.usage.completion)
        self._cost.labels(*of).inc(line.cost_pico / PICO)
        self._saved.labels(*of).inc(line.saved_pico / PICO)

    def look(self, look: Look) -> None:
        """From now on show this gauge, too, in place of an earlier one of its name."""
        self._looks[look.name] = look

    def pages(self) -> Pages:
        """Return the page ``/metrics``."""
        return {"/metrics": self._page}

    async def _page(self) -> Page:
        return Page(self.text(), self._client.CONTENT_TYPE_LATEST)

    def text(self) -> bytes:
        """Return all there is, in Prometheus's text format."""
        return self._client.generate_latest(self._registry)


class _Looking:
    def __init__(self, looks: Mapping[str, Look]) -> None:
        self._looks = looks

    def collect(self) -> "Iterator[GaugeMetricFamily]":
        """See ``prometheus_client.registry.Collector``."""
        from prometheus_client.core import GaugeMetricFamily

        for look in self._looks.values():
            family = GaugeMetricFamily(f"multiagent_{look.name}", look.help, labels=(look.label,))
            for value, number in look.read().items():
                family.add_metric((value,), number)
            yield family
