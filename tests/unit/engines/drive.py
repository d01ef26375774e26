"""Drives a kernel by hand: answers what it asks for, in an order that the test chooses, and keeps the journal."""

from collections.abc import Callable
from typing import Any

import msgspec

from multiagent.core.outcome import Failure, Outcome, Patch
from multiagent.core.settings import TaskSettings
from multiagent.engines.actions import (
    Action,
    CancelStep,
    CancelTimer,
    Complete,
    Emit,
    Fail,
    RunStep,
    StartTimer,
    Yielded,
)
from multiagent.engines.base import Context, Workflow
from multiagent.engines.context import begin
from multiagent.engines.crossing import approach, cross, rows_to
from multiagent.engines.kernel import Value, encode
from multiagent.engines.replay import Replayed, Start, replay

START = 1_750_000_000_000


class Number(msgspec.Struct, frozen=True):
    """Input and output of the tests' steps."""

    value: int = 0


class Said(msgspec.Struct, frozen=True):
    """Payload of the tests' events."""

    text: str


def workflow(run: Callable[[Context, Number], Any], output: type[Any] = Number) -> Workflow[Number, Any]:
    """A workflow of a function."""
    return Workflow("test", run, Number, output)


class Driver:
    """A live run with a journal."""

    def __init__(self, definition: Workflow[Any, Any], data: Number | None = None) -> None:
        self.definition = definition
        self.start = Start("task", encode(data or Number()), START)
        self.journal: list[Outcome] = []
        self.results: dict[str, bytes | Failure] = {}
        self.emits: list[Emit] = []
        self.log: list[str] = []
        self.asked: dict[str, Action] = {}
        self.time = START
        self.ending: Complete | Fail | None = None
        self.kernel = begin(definition, "task", self.start.data, START)
        self._digest = ""
        self._patches: tuple[Patch, ...] = ()
        self._take()

    def _take(self) -> None:
        self.take(self.kernel.take())

    def take(self, yielded: Yielded) -> None:
        """Do what the run has yielded: note it, end."""
        self._digest, self._patches = yielded.digest, yielded.patches
        for action in yielded.actions:
            self.log.append(action.mark().decode())
            if isinstance(action, RunStep):
                self.asked[action.id] = action
            elif isinstance(action, StartTimer):
                self.asked[action.key] = action
            elif isinstance(action, CancelStep):
                self.asked.pop(action.id, None)
            elif isinstance(action, CancelTimer):
                self.asked.pop(action.key, None)
            elif isinstance(action, Emit):
                self.emits.append(action)
            else:
                self.ending = action
        if self.ending is not None and not any(row.kind == "end" for row in self.journal):
            value = self.ending.value if isinstance(self.ending, Complete) else encode(self.ending.failure)
            self._append("end", "", value)

    def _append(self, kind: Any, key: str, value: bytes = b"") -> Outcome:
        row = Outcome(
            len(self.journal) + 1, kind, key, self.time, value, self._digest, () if self.journal else self._patches
        )
        self.journal.append(row)
        return row

    def _feed(self, kind: Any, key: str, value: Value = None, carried: bytes = b"", after_ms: int = 1) -> None:
        self.time += after_ms
        row = self._append(kind, key, carried)
        place = len(self.journal) - 1
        self.kernel.feed(row, value)
        self._take()
        self.journal[place] = msgspec.structs.replace(row, patches=row.patches + self._patches)

    def pending(self) -> list[str]:
        """The keys of the steps that wait for their outcome, in the order asked."""
        return [action.key for action in self.asked.values() if isinstance(action, RunStep)]

    def marks(self) -> list[bytes]:
        """What waits for its outcome, as the kernel tells it: steps, then timers."""
        steps = [action.mark() for action in self.asked.values() if isinstance(action, RunStep)]
        return steps + [timer.mark() for timer in self.timers()]

    def timers(self) -> list[StartTimer]:
        """The timers that wait, in the order asked."""
        return [action for action in self.asked.values() if isinstance(action, StartTimer)]

    def _take_step(self, key: str) -> RunStep:
        for name, action in self.asked.items():
            if isinstance(action, RunStep) and action.key == key:
                del self.asked[name]
                return action
        raise AssertionError(f"step {key} is not pending; {self.pending()} are")

    def answer(self, key: str, value: int = 0) -> "Driver":
        """Feed a step's result."""
        self.results[key] = encode(Number(value))
        self._feed("result", self._take_step(key).id, self.results[key])
        return self

    def fail(self, key: str, code: str = "TOOL_FAILED") -> "Driver":
        """Feed a step's failure."""
        self.results[key] = Failure(code, f"{code} of {key}")
        self._feed("failed", self._take_step(key).id, self.results[key])
        return self

    def late(self, step_id: str, value: int = 0) -> "Driver":
        """Feed the outcome of a step that was cancelled."""
        self.results[step_id.rpartition("~")[0]] = encode(Number(value))
        self._feed("result", step_id, encode(Number(value)))
        return self

    def fire(self, key: str) -> "Driver":
        """Feed a timer."""
        timer = self.asked.pop(key)
        assert isinstance(timer, StartTimer)
        self._feed("timer", key, after_ms=max(0, timer.due - self.time))
        return self

    def signal(self, name: str, value: bytes = b"") -> "Driver":
        """Feed a signal."""
        self._feed("signal", name, carried=value)
        return self

    def cancel(self) -> "Driver":
        """Cancel the run."""
        return self.signal("__cancel", b"stop")

    def fork(self, cut: int, settings: TaskSettings | None = None, name: str = "fork") -> "Driver":
        """A fork of this run at row ``cut``, counted from 1 and not the end's; a run of its own, a minute later."""
        rows = rows_to(self.journal, cut)
        fork = Driver.__new__(Driver)
        fork.definition, fork.start, fork.log, fork.ending = self.definition, self.start, [], None
        keys = {row.key.rpartition("~")[0] for row in rows if row.kind in ("result", "failed")}
        fork.results = {key: value for key, value in self.results.items() if key in keys}
        crossed = cross(approach(self.definition, self.start, rows, self.results), name, settings, self.time + 60_000)
        fork.kernel, fork.time = crossed.kernel, crossed.own.time
        fork.journal = [*rows[:-1], crossed.fork, crossed.own]
        fork.emits = [action for action in crossed.led_to.actions if isinstance(action, Emit)]
        ended = fork.kernel.ended
        pending = () if ended else fork.kernel.pending()
        fork.asked = {one.id if isinstance(one, RunStep) else one.key: one for one in pending}
        fork.take(crossed.tail)
        return fork

    def replayed(self, definition: Workflow[Any, Any] | None = None) -> Replayed:
        """Replay the journal so far, here; check that the replay asks and emits the same."""
        again = replay(definition or self.definition, self.start, self.journal, self.results)
        assert again.ended == (self.ending is not None)
        if not again.ended:
            assert [a.mark() for a in again.kernel.pending()] == self.marks()
        return again

    @property
    def value(self) -> Any:
        """The result of the run."""
        assert isinstance(self.ending, Complete), self.ending
        return msgspec.json.decode(self.ending.value, type=self.definition.output)

    @property
    def failure(self) -> Failure:
        """The failure of the run."""
        assert isinstance(self.ending, Fail), self.ending
        return self.ending.failure
