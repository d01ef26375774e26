"""What a process that serves counts of its own work: its steps, the bills it books, the tasks it sees begin and end."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from multiagent.agents.steps import Steps
from multiagent.core.clock import Clock
from multiagent.core.events import EventHeader, EventKind
from multiagent.engines.base import Step, StepInfo
from multiagent.storage.factory import Storage
from multiagent.storage.sql.base import Writer
from multiagent.storage.sql.ops import Op, Settled, StoreUsage
from multiagent.telemetry.metrics import Metrics, StepEnd

TASKS: Final[Mapping[EventKind, str]] = {
    EventKind.TASK_SUBMITTED: "submitted",
    EventKind.TASK_COMPLETED: "completed",
    EventKind.TASK_FAILED: "failed",
    EventKind.TASK_CANCELLED: "cancelled",
    EventKind.TASK_QUARANTINED: "quarantined",
}
"""The events that are counted, and as what."""


class Meter:
    """Counts into one process's metrics."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock

    def storage(self, storage: Storage) -> Storage:
        """Return the same storage; what this process is the first to write is counted."""
        storage.writer.on_commit(self._committed)
        return replace(storage, writer=BookingWriter(storage.writer, self._metrics))

    def steps(self, steps: Steps) -> Steps:
        """Return the same steps, each counted and timed as it runs."""
        return tuple(self._step(step) for step in steps)

    def _committed(self, headers: Sequence[EventHeader]) -> None:
        for header in headers:
            if (status := TASKS.get(header.kind)) is not None:
                self._metrics.task(status)

    def _step(self, step: Step[Any, Any]) -> Step[Any, Any]:
        name, queue = step.definition.name, step.definition.queue

        async def code(info: StepInfo, given: object) -> object:
            self._metrics.step_began(name, queue)
            began = self._clock.monotonic()
            status: StepEnd = "failed"
            try:
                output: object = await step.code(info, given)
                status = "completed"
            except asyncio.CancelledError:
                status = "cancelled"
                raise
            finally:
                self._metrics.step_ended(name, queue, status, self._clock.monotonic() - began)
            return output

        return replace(step, code=code)


class BookingWriter:
    """A ``Writer`` that counts the lines of the bill which this process is the first to write."""

    def __init__(self, writer: Writer, metrics: Metrics) -> None:
        self._writer = writer
        self._metrics = metrics

    async def commit(self, *ops: Op) -> tuple[object, ...]:
        """See ``Writer.commit``. What was settled before is not counted again."""
        answers = await self._writer.commit(*ops)
        if not any(isinstance(answer, Settled) and not answer.changed for answer in answers):
            for op in ops:
                if isinstance(op, StoreUsage):
                    self._metrics.spent(op)
        return answers

    def queue(self, *ops: Op) -> None:
        """See ``Writer.queue``."""
        self._writer.queue(*ops)

    def on_commit(self, listener: Callable[[Sequence[EventHeader]], None]) -> Callable[[], None]:
        """See ``Writer.on_commit``."""
        return self._writer.on_commit(listener)

    def on_release(self, listener: Callable[[], None]) -> Callable[[], None]:
        """See ``Writer.on_release``."""
        return self._writer.on_release(listener)
