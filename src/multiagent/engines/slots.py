"""Steps in flight in this process: each is a task of the event loop that ends exactly once."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from multiagent.core.errors import PlatformError
from multiagent.core.events import EventKind
from multiagent.core.facts import StepEnded
from multiagent.core.fault import fault
from multiagent.core.outcome import Failure
from multiagent.engines.attempt import (
    ALONE_FROM,
    GRACE_SECONDS,
    POISONED_FROM,
    Ended,
    Tools,
    Work,
    perform,
    poisoned,
    started_op,
    step_event,
)
from multiagent.engines.base import Step
from multiagent.engines.deaths import deaths_of
from multiagent.engines.kernel import encode
from multiagent.engines.turns import Turns
from multiagent.storage.sql.base import Reader
from multiagent.storage.sql.ops import StepStarted

_CANCELLED: Final = Failure("CANCELLED", "the step was cancelled by its workflow")
_FROM_WITHIN: Final = Failure("INTERNAL", "the step's code ended as cancelled, but nobody had cancelled it")
_log = logging.getLogger("multiagent.engine")


class Workshop(Tools, Protocol):
    """Where steps are done: a process's tools, what it reads, and the steps it has code for."""

    @property
    def reader(self) -> Reader:
        """Where facts are read."""
        ...

    @property
    def steps(self) -> Mapping[str, Step[Any, Any]]:
        """Steps by name."""
        ...


class Slot:
    """One step in flight. ``done`` is told how it ended, ``broken`` that this process cannot go on with its run."""

    __slots__ = ("_announced", "_began", "_broken", "_cancelled", "_done", "_ended", "_inside", "_parts", "_started",
                 "_step", "_task", "_turns", "id", "work")  # fmt: skip

    def __init__(
        self,
        parts: Workshop,
        turns: Turns,
        step_id: str,
        work: Work,
        done: "Callable[[Slot, Ended], None]",
        broken: Callable[[Exception], None],
    ) -> None:
        self._parts = parts
        self._turns = turns
        self._done = done
        self._broken = broken
        self._step: Step[Any, Any] = parts.steps[work.definition.name]
        self._task: asyncio.Task[None] | None = None
        self._started = StepStarted(1, 0)
        self._began = parts.clock.now()
        self._cancelled = False
        self._announced = False
        self._ended = False
        self._inside: bool | None = None
        self.id = step_id
        self.work = work

    def begin(self, started: StepStarted, *, announced: bool) -> None:
        """Start the task; ``announced`` where the attempt's first event is written already."""
        self._started = started
        self._announced = announced
        self._task = asyncio.get_running_loop().create_task(self._main(), name=self.work.key)

    def cancel(self) -> None:
        """The workflow wants it no more: end within a second, and say so."""
        if self._task is not None and not self._ended:
            self._cancelled = True
            self._task.cancel()
            self._parts.timers.after(GRACE_SECONDS, lambda: self._stuck(_CANCELLED))

    async def stop(self) -> None:
        """End with the process: stop the code, and note that it was stopped, not lost."""
        task = self._task
        if task is None or self._ended:
            return
        self._ended = True
        task.cancel()
        await asyncio.wait([task], timeout=GRACE_SECONDS)
        if self._announced:
            fact = StepEnded(self.work.key, self.work.definition.name, self._started.attempt, code="ENGINE_UNAVAILABLE")
            now = self._parts.clock.now()
            op = step_event(self.work, self._started.attempt, 0, EventKind.STEP_FAILED, encode(fact), now)
            try:
                self._parts.writer.queue(op)
            except PlatformError as error:
                _log.warning("the stop of step %s could not be noted: %s", self.work.key, error)

    def _stuck(self, failure: Failure) -> None:
        if not self._ended:
            _log.error("step %s of task %s does not end; it is given up", self.work.key, self.work.task)
            self._leave()
            self._finish(Ended(self._started.attempt, 0, self._began, error=failure))

    def _leave(self) -> None:
        """Give the turn back, once."""
        alone, self._inside = self._inside, None
        if alone is not None:
            self._turns.leave(alone=alone)

    def _finish(self, ended: Ended) -> None:
        if not self._ended:
            self._ended = True
            self._done(self, ended)

    async def _main(self) -> None:
        try:
            self._finish(await self._perform())
        except asyncio.CancelledError:
            failure = _CANCELLED if self._cancelled else _FROM_WITHIN
            self._finish(Ended(self._started.attempt, 0, self._began, error=failure))
        except Exception as error:  # noqa: BLE001 — not the step's code: this process cannot go on with the run
            _log.exception("step %s of task %s could not be handled", self.work.key, self.work.task)
            if not self._ended:
                self._ended = True
                self._broken(error)

    async def _perform(self) -> Ended:
        alone = False
        if self._started.deaths >= ALONE_FROM:
            deaths, was_alone = await deaths_of(self._parts.reader, self.work)
            if deaths >= POISONED_FROM and was_alone:
                failure = poisoned(self.work, deaths)
                return Ended(self._started.attempt, 1, self._began, error=failure)
            alone = deaths >= ALONE_FROM
        if alone or not self._turns.try_enter():
            await self._turns.enter(alone=alone)
        self._inside = alone
        try:
            await self._announce(alone=alone)
            fault("after-start-before-run")
            ended = await perform(self._parts, self._step, self.work, self._started, self._stuck)
        finally:
            self._leave()
        fault("after-run-before-store")
        return ended

    async def _announce(self, *, alone: bool) -> None:
        if self._announced:
            return
        op = started_op(self.work, self._started.attempt, self._parts.clock.now(), alone=alone)
        await self._parts.writer.commit(op)  # before the code runs: deaths are counted by it
        self._announced = True
