"""Metrics: what is told is counted, what is looked at is asked for when somebody reads."""

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from multiagent.core.usage import Usage
from multiagent.telemetry.metrics import Look, Metrics


class Line(msgspec.Struct, frozen=True):
    """A line of a bill."""

    vendor: str
    model: str
    usage: Usage
    cost_pico: int
    saved_pico: int = 0


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels, in the order of the labels' names."""
    return {
        (one.name, *(one.labels[label] for label in sorted(one.labels))): one.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for one in family.samples
    }


def test_a_step_is_in_flight_until_it_ends_and_counted_by_how_it_ended() -> None:
    metrics = Metrics()
    for _ in range(3):
        metrics.step_began("run", "agent")
    metrics.step_ended("run", "agent", "completed", 0.02)
    metrics.step_ended("run", "agent", "failed", 20.0)
    found = samples(metrics)
    assert found["multiagent_steps_in_flight", "agent", "run"] == 1
    assert found["multiagent_steps_total", "agent", "completed", "run"] == 1
    assert found["multiagent_steps_total", "agent", "failed", "run"] == 1
    assert found["multiagent_step_seconds_count", "agent", "run"] == 2
    assert found["multiagent_step_seconds_sum", "agent", "run"] == 20.02
    assert found["multiagent_step_seconds_bucket", "0.025", "agent", "run"] == 1


def test_what_is_spent_is_counted_by_vendor_and_model() -> None:
    metrics = Metrics()
    metrics.spent(Line("acme", "large", Usage(100, 20), 2_500_000_000_000))
    metrics.spent(Line("acme", "large", Usage(10, 5), 0, 500_000_000_000))
    found = samples(metrics)
    assert found["multiagent_model_calls_total", "large", "acme"] == 2
    assert found["multiagent_tokens_total", "prompt", "large", "acme"] == 110
    assert found["multiagent_tokens_total", "completion", "large", "acme"] == 25
    assert found["multiagent_cost_usd_total", "large", "acme"] == 2.5
    assert found["multiagent_saved_usd_total", "large", "acme"] == 0.5


def test_a_gauge_is_asked_when_somebody_reads() -> None:
    metrics, now = Metrics(), {"busy": 0.0, "idle": 2.0}
    metrics.look(Look("sandbox_workers", "Workers of the sandbox", "state", lambda: now))
    assert samples(metrics)["multiagent_sandbox_workers", "busy"] == 0
    now["busy"] = 2.0
    assert samples(metrics)["multiagent_sandbox_workers", "busy"] == 2


def test_two_processes_in_one_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.task("completed")
    assert ("multiagent_tasks_total", "completed") in samples(one)
    assert ("multiagent_tasks_total", "completed") not in samples(other)
